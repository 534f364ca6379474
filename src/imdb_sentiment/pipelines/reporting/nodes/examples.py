"""Examples for the page: single reviews, with the effect of each word on the prediction."""

from collections.abc import Iterable
from dataclasses import astuple
from typing import Any

import pandas as pd

from imdb_sentiment.evaluation.predictions import align_rows, is_correct
from imdb_sentiment.parameters import ReportParameters, ReviewsParameters
from imdb_sentiment.pipelines.label_check.nodes import fingerprint_reviews
from imdb_sentiment.pipelines.reporting.nodes.custom import CustomReviews
from imdb_sentiment.progress import track
from imdb_sentiment.serving import Predictor
from imdb_sentiment.serving.explanation import explain_cleaned, find_explained_label

Example = dict[str, Any]  # plain JSON values; `segments` are pairs of a text and its effect


def explain_mistakes(
    onnx_model: bytes, test_predictions: pd.DataFrame, report: ReportParameters
) -> list[Example]:
    """Explain the most confident wrong predictions.

    Args:
        onnx_model: Output of the pipeline training.
        test_predictions: Output of `score_test_reviews`.
        report: Number of examples.

    Returns:
        The most confident first: `row`, `sentiment`, `predicted_sentiment`, `probability`, and
        the `segments` of the text, each with its effect (see `explain_cleaned`) or None.

    """
    wrong = test_predictions[~is_correct(test_predictions)]
    wrong = wrong.sort_values("probability", ascending=False, kind="stable")
    return _explain_test_reviews(onnx_model, wrong.head(report.examples))


def explain_disagreements(
    onnx_model: bytes,
    test_predictions: pd.DataFrame,
    baseline_predictions: pd.DataFrame,
    report: ReportParameters,
) -> list[Example]:
    """Explain reviews for which the model and the baseline predict different labels.

    Args:
        onnx_model: Output of the pipeline training.
        test_predictions: Output of `score_test_reviews`.
        baseline_predictions: Output of `score_baseline`, for the same rows.
        report: Number of examples.

    Returns:
        The values of `explain_mistakes`, with `baseline_sentiment` and `baseline_probability`.
        Reviews that the model predicts correctly and others take turns; within each kind, they are
        sorted by the lower of the two confidences, highest first.

    """
    other = align_rows(baseline_predictions, test_predictions)
    # Copies, because pandas warns of additions to a table with a column for each of many labels.
    both = test_predictions.copy().assign(
        baseline_sentiment=other["predicted_sentiment"].to_numpy(),
        baseline_probability=other["probability"].to_numpy(),
    )
    both = both[both["baseline_sentiment"] != both["predicted_sentiment"]]
    confidence = both[["probability", "baseline_probability"]].min(axis=1)
    both = both.loc[confidence.sort_values(ascending=False, kind="stable").index]
    wrong = ~is_correct(both)
    both = both.copy().assign(wrong=wrong, turn=both.groupby(wrong).cumcount())
    chosen = both.sort_values(["turn", "wrong"]).head(report.examples)
    return _explain_test_reviews(onnx_model, chosen, "baseline_sentiment", "baseline_probability")


def explain_custom_reviews(
    onnx_model: bytes, custom_reviews: CustomReviews, report: ReportParameters
) -> list[Example]:
    """Explain the predictions for the custom reviews, the first ones if there are many.

    Args:
        onnx_model: Output of the pipeline training.
        custom_reviews: Output of `choose_custom_reviews`.
        report: Number of examples.

    Returns:
        `expected_sentiment`, None where the user does not say; `predicted_sentiment` and its
        `probability`, both None without a prediction; the `reason` for that (else None);
        `segments`, as in `explain_mistakes`; and `explained_probability`, that of the label which
        their effects are about (see `find_explained_label`), None if the model knows nothing.

    """
    predictor = Predictor(onnx_model)
    examples = []
    pairs = list(zip(custom_reviews.texts, custom_reviews.expected, strict=True))
    for text, expected in track(pairs[: report.custom_reviews], "Explaining", "custom reviews"):
        prediction, segments = explain_cleaned(predictor, text)
        explained = find_explained_label(predictor, prediction)
        examples.append(
            {
                "expected_sentiment": expected,
                "predicted_sentiment": prediction.label,
                "probability": prediction.probability,
                "reason": prediction.reason,
                "segments": list(map(astuple, segments)),
                "explained_probability": (
                    None if explained is None else prediction.probabilities[explained]
                ),
            }
        )
    return examples


def select_doubtful_labels(
    last_label_check: dict[str, Any],
    clean_reviews: Iterable[pd.DataFrame],
    reviews: ReviewsParameters,
    report: ReportParameters,
) -> dict[str, Any]:
    """Select the most doubtful labels, if they were found in the same reviews.

    Args:
        last_label_check: Output of the pipeline label_check; empty if it has never run.
        clean_reviews: Chunks with `row`, `text` and `code`.
        reviews: The labels.
        report: Number of examples.

    Returns:
        `checked` and `doubtful`, the numbers of labels, and the `first` of these; empty if there is
        no check of these reviews.

    """
    if not last_label_check or (
        last_label_check["reviews_sha256"] != fingerprint_reviews(clean_reviews, reviews)
    ):
        return {}
    return {**last_label_check, "first": last_label_check["first"][: report.examples]}


def _explain_test_reviews(
    onnx_model: bytes, predictions: pd.DataFrame, *extra_columns: str
) -> list[Example]:
    """Return rows of the predictions unchanged, with the segments of their texts."""
    predictor = Predictor(onnx_model)
    names = ["row", "sentiment", "predicted_sentiment", "probability", *extra_columns]
    examples = []
    for row in track(predictions.to_dict("records"), "Explaining", "test reviews"):
        _, segments = explain_cleaned(predictor, row["review"])
        examples.append(
            {name: row[name] for name in names} | {"segments": list(map(astuple, segments))}
        )
    return examples
