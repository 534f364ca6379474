"""Export of the trained model into one file, for deployment."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from tokenizers import Tokenizer

from imdb_sentiment.evaluation.examples import choose_diverse
from imdb_sentiment.evaluation.stacking import Weights
from imdb_sentiment.network.export import convert_to_onnx
from imdb_sentiment.network.model import KerasModel, score_logits
from imdb_sentiment.network.ngrams import NgramModel
from imdb_sentiment.network.training import PseudoLabels
from imdb_sentiment.parameters import (
    CustomReviewsParameters,
    ReviewsParameters,
    SplitParameters,
    TokenizerParameters,
    TrainingParameters,
)
from imdb_sentiment.pipelines.training.sets import list_learnable
from imdb_sentiment.serving import Predictor
from imdb_sentiment.text.encoded_reviews import EncodedReviews
from imdb_sentiment.text.sample_reviews import are_suitable
from imdb_sentiment.text.tables import to_strings
from imdb_sentiment.text.user_tables import choose_custom_column, gather_rows
from imdb_sentiment.urls import hide_secrets

MAX_EXPORT_DIFFERENCE = 1e-4  # between probabilities; rounding alone stays far below
MAX_COMPARED = 1000  # validation reviews whose probabilities are compared
MAX_EXAMPLES = 10  # custom reviews that are stored in the exported model
# Datasets whose lineage is stored in the exported model.
CHAIN = (
    "raw_reviews",
    "unlabelled_reviews",
    "clean_reviews",
    "tokenizer",
    "word_vectors",
    "best_hyperparameters",
    "model",
    "ngram_model",
    "calibration",
)
LEARNT = ("model", "ngram_model", "calibration")  # datasets that are fitted to the reviews


def export_model(
    *,
    model: KerasModel,
    ngram_model: NgramModel,
    calibration: dict[str, Any],
    decision: dict[str, Any],
    tokenizer: Tokenizer,
    tokenization: TokenizerParameters,
    train: EncodedReviews,
    validation: EncodedReviews,
    clean_reviews: Iterable[pd.DataFrame],
    custom_reviews: pd.DataFrame | Iterable[pd.DataFrame],
    run_facts: dict[str, Any],
    lineage: dict[str, dict[str, str]],
    reviews: ReviewsParameters,
    split: SplitParameters,
    training: TrainingParameters,
    custom: CustomReviewsParameters,
    pseudo_labels: Sequence[PseudoLabels] = (),
) -> tuple[bytes, dict[str, float]]:
    """Export the average of both models for deployment, and compare its probabilities.

    Args:
        model: The trained network.
        ngram_model: Linear model from `teach_ngrams`.
        calibration: Output of `fit_average`.
        decision: Output of `fit_decision`.
        tokenizer: The tokenizer of the training.
        tokenization: Number of tokens read from the beginning of a long review.
        train: Reviews that the models have learnt from, for their fingerprint.
        validation: Reviews to compare the probabilities on, encoded.
        clean_reviews: Chunks with the columns `row`, `text`, `code` and `split`: their texts.
        custom_reviews: The first ten are stored in the file, for people to try the model with. If
            they are the samples of the project and do not suit the data, ten test reviews are.
        run_facts: Time of the run, for a model without lineage.
        lineage: File, digest and time of what the model was made from, by the name of the dataset.
        reviews: Names of the table that the model has learnt from, and of its text column.
        split: Settings of the division of the table.
        training: Says whether the models have learnt from the validation reviews.
        custom: Name of the column with their text, or `auto`.
        pseudo_labels: Labels from `label_unlabelled_reviews`; empty for none.

    Returns:
        The ONNX model, and the largest difference between its probabilities and those of the
        average.

    Raises:
        RuntimeError: They differ by more than 1e-4.

    """
    first, *others = list_learnable(train, validation, training)
    weights = Weights(**calibration["weights"])
    examples = _choose_examples(
        gather_rows(custom_reviews), clean_reviews, tokenizer, reviews, custom
    )
    exported = convert_to_onnx(
        model,
        tokenizer,
        train.labels,
        head_length=tokenization.head_length,
        ngram_model=ngram_model if weights.ngrams else None,
        weights=weights,
        decision=decision,
        examples=examples,
        facts={
            # Not the time of the export, which may be repeated with the same model.
            "made": max(
                (lineage[name]["made"] for name in LEARNT if name in lineage),
                default=run_facts["time"],
            ),
            "reviews_file": reviews.file_name,
            "text_column": reviews.text_column,
            "split": split.model_dump_json(),
            "training": training.model_dump_json(),
            "calibration": json.dumps(calibration),
            "training_data_sha256": first.fingerprint(*others),
            "pseudo_labels": str(len(pseudo_labels[-1].sequences) if pseudo_labels else 0),
            "lineage": json.dumps(
                hide_secrets([{"name": name, **lineage[name]} for name in CHAIN if name in lineage])
            ),
        },
    )
    compared = validation.take(np.arange(min(MAX_COMPARED, len(validation))))
    texts = pd.concat(
        chunk.loc[chunk["row"].isin(compared.rows), ["row", "text"]] for chunk in clean_reviews
    ).set_index("row")["text"]
    cleaned = texts.reindex(pd.Index(compared.rows)).tolist()
    found = Predictor(exported).score_cleaned(cleaned)
    expected = weights.average(
        score_logits(model, compared.sequences), ngram_model.score_texts(cleaned)
    )
    # Where the model knows nothing, there is no answer.
    may_be_silent = compared.lengths == 0 if weights.network else True
    differences = np.abs(found - expected)[~(np.isnan(found[:, 0]) & may_be_silent)]
    difference = float(differences.max(initial=0))
    if not difference <= MAX_EXPORT_DIFFERENCE:
        raise RuntimeError(
            f"the exported model's probabilities differ from the network's by up to {difference:g}"
        )
    return exported, {"largest_probability_difference": difference}


def _choose_examples(
    custom_reviews: pd.DataFrame,
    clean_reviews: Iterable[pd.DataFrame],
    tokenizer: Tokenizer,
    reviews: ReviewsParameters,
    custom: CustomReviewsParameters,
) -> list[str]:
    """Return texts for people to try the model with, from which it has not learnt."""
    if are_suitable(custom_reviews, reviews.labels, tokenizer):
        column = choose_custom_column(custom_reviews, custom, reviews.text_column)
        return list(filter(None, to_strings(custom_reviews[column])))[:MAX_EXAMPLES]
    test = pd.concat(
        pd.DataFrame(
            {"row": chunk["row"], "code": chunk["code"], "length": chunk["text"].str.len()}
        )
        for chunk in (chunk[chunk["split"] == "test"] for chunk in clean_reviews)
    )
    chosen = choose_diverse(test["code"].tolist(), test["length"].tolist(), MAX_EXAMPLES)
    rows = set(test["row"].iloc[chosen])
    return [
        text
        for chunk in clean_reviews
        for text in chunk.loc[chunk["row"].isin(rows), "text"].tolist()
    ]
