"""Scores of the models on the test reviews; examples.py explains a few of the same reviews."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from imdb_sentiment.evaluation.logits import to_probabilities
from imdb_sentiment.evaluation.predictions import add_predictions, tabulate_predictions
from imdb_sentiment.evaluation.probabilities import DecisionRule, calibrate_baseline
from imdb_sentiment.evaluation.stacking import Weights
from imdb_sentiment.network.model import KerasModel, score_logits
from imdb_sentiment.network.ngrams import NgramModel
from imdb_sentiment.parameters import ReviewsParameters
from imdb_sentiment.pipelines.reporting.nodes.custom import CustomReviews
from imdb_sentiment.serving import Predictor
from imdb_sentiment.text.encoded_reviews import EncodedReviews


def score_test_reviews(
    *,
    model: KerasModel,
    ngram_model: NgramModel,
    calibration: dict[str, Any],
    decision: dict[str, Any],
    test: EncodedReviews,
    clean_reviews: Iterable[pd.DataFrame],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score the test reviews with the average that is shipped, and with each of its parts.

    Args:
        model: The trained network.
        ngram_model: Output of the pipeline training.
        calibration: Output of the pipeline training: the weights of both.
        decision: Output of the pipeline training: how the average's probabilities become a label.
            The parts alone decide likewise, but without weights of the labels.
        test: The encoded test reviews.
        clean_reviews: Chunks with `row`, `text` and `split`; the source of the texts.

    Returns:
        One row per test review, in the order of the file: `row`, `review`, `sentiment`,
        `predicted_sentiment`, the `probability` of that prediction, and `probability_LABEL` for
        each label; and a table of the predictions of each part, in which `model` is `lstm` or
        `ngrams` instead of `review`. The n-grams are missing if they have no weight.

    """
    texts = _select_test_rows(clean_reviews).set_index("row")["text"].reindex(pd.Index(test.rows))
    sentiments = np.array(test.labels, dtype=object)[test.codes]
    known = pd.DataFrame({"row": test.rows, "sentiment": sentiments})
    weights = Weights(**calibration["weights"])
    network = score_logits(model, test.sequences)
    ngrams = ngram_model.score_texts(texts)
    parts = {"lstm": network, "ngrams": ngrams} if weights.ngrams else {"lstm": network}
    rule = DecisionRule.from_json(decision | {"min_confidence": 0.0}, test.labels)
    # The probabilities of the parts are also those without the weights of the labels in the loss.
    bias = np.array(weights.bias) if len(weights.bias) else 0.0
    alone = replace(rule, weights=weights.invert_bias(len(test.labels)))
    tables = [
        known.assign(model=name).join(
            tabulate_predictions(to_probabilities(logits + bias), test.labels, alone)
        )
        for name, logits in parts.items()
    ]
    average = tabulate_predictions(weights.average(network, ngrams), test.labels, rule)
    known.insert(1, "review", texts.to_numpy())
    return known.join(average), pd.concat(tables, ignore_index=True)


def score_baseline(
    baseline: Any,
    baseline_decision: dict[str, Any],
    clean_reviews: Iterable[pd.DataFrame],
    reviews: ReviewsParameters,
) -> pd.DataFrame:
    """Score the test reviews with the linear baseline.

    Args:
        baseline: Output of the pipeline training, a scikit-learn pipeline.
        baseline_decision: Output of the pipeline training: the weights of its loss, and how its
            probabilities become a label.
        clean_reviews: Chunks with `row`, `text`, `code` and `split`.
        reviews: The labels.

    Returns:
        The columns of the model's predictions, except `review`.

    """
    # The pickled baseline uses it: with this import, lineage notices changes of its code.
    from imdb_sentiment.text.term_counts import TermCounter  # noqa: F401

    test = _select_test_rows(clean_reviews)
    loss_weights = [baseline_decision["loss_weights"][label] for label in reviews.labels]
    predictions = tabulate_predictions(
        calibrate_baseline(
            baseline.predict_proba(test["text"]),
            np.array(loss_weights),
            baseline_decision["temperature"],
        ),
        reviews.labels,
        DecisionRule.from_json(baseline_decision, reviews.labels),
    )
    sentiments = np.array(reviews.labels, dtype=object)[test["code"]]
    known = pd.DataFrame({"row": test["row"], "sentiment": sentiments})
    return pd.concat([known, predictions], axis="columns")


def score_custom_reviews(onnx_model: bytes, custom_reviews: CustomReviews) -> pd.DataFrame:
    """Score the custom reviews with the exported model, as it will be deployed.

    Args:
        onnx_model: Output of the pipeline training.
        custom_reviews: Output of `choose_custom_reviews`.

    Returns:
        The table with `predicted_sentiment`, `probability` and `probability_LABEL` added; they are
        empty for a review of which the model knows nothing, and the first two also where no label
        is as probable as `training.min_confidence`. Columns that have these names already are
        replaced.

    """
    predictor = Predictor(onnx_model)
    probabilities = predictor.score_cleaned(custom_reviews.texts)
    predictions = tabulate_predictions(probabilities, predictor.labels, predictor.rule)
    return add_predictions(custom_reviews.table, predictions)


def _select_test_rows(clean_reviews: Iterable[pd.DataFrame]) -> pd.DataFrame:
    chunks = (chunk[chunk["split"] == "test"] for chunk in clean_reviews)
    return pd.concat(chunks, ignore_index=True)
