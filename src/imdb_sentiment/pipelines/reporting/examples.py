"""Single reviews, with the words that moved the model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from imdb_sentiment.evaluation.predictions import align_rows, choose_texts, is_correct
from imdb_sentiment.parameters import CustomReviewsParameters, ReportParameters
from imdb_sentiment.serving import Predictor
from imdb_sentiment.serving.explanation import Segment, explain, explain_cleaned

# What the page needs of a review: plain JSON values, `segments` as pairs of text and effect.
Example = dict[str, Any]


def explain_mistakes(
    onnx_model: bytes, test_predictions: pd.DataFrame, report: ReportParameters
) -> list[Example]:
    """Explain the wrong predictions that the model was surest of.

    Args:
        onnx_model: From the training pipeline.
        test_predictions: From `score_test_reviews`.
        report: Has their number.

    Returns:
        For each, the surest first: `row`, `sentiment`, `predicted_sentiment`, `probability`, and
        `segments` of the text, each with its effect (see `explain_cleaned`) or None.

    """
    wrong = test_predictions[~is_correct(test_predictions)]
    surest = wrong.sort_values("probability", ascending=False, kind="stable")
    return _explain_tested(onnx_model, surest.head(report.examples))


def explain_disagreements(
    onnx_model: bytes,
    test_predictions: pd.DataFrame,
    baseline_predictions: pd.DataFrame,
    report: ReportParameters,
) -> list[Example]:
    """Explain reviews of which the network and the linear model think differently.

    Args:
        onnx_model: From the training pipeline.
        test_predictions: From `score_test_reviews`.
        baseline_predictions: From `score_baseline`, of the same rows.
        report: Has their number.

    Returns:
        As `explain_mistakes`, with `baseline_sentiment` and `baseline_probability`; where the
        network is right and where it is not in turn, those first of which both models are sure.

    """
    other = align_rows(baseline_predictions, test_predictions)
    both = test_predictions.assign(
        baseline_sentiment=other["predicted_sentiment"].to_numpy(),
        baseline_probability=other["probability"].to_numpy(),
    )
    both = both[both["baseline_sentiment"] != both["predicted_sentiment"]]
    surest = both.assign(sure=np.minimum(both["probability"], both["baseline_probability"]))
    surest = surest.sort_values("sure", ascending=False, kind="stable")
    right = is_correct(surest)
    chosen = pd.concat([surest[right], surest[~right]])
    turns = np.concatenate([np.arange(right.sum()), np.arange((~right).sum())])
    order = np.argsort(turns, kind="stable")[: report.examples]
    besides = ["baseline_sentiment", "baseline_probability"]
    return _explain_tested(onnx_model, chosen.iloc[order], besides)


def explain_custom_reviews(
    onnx_model: bytes,
    custom_reviews: pd.DataFrame,
    custom: CustomReviewsParameters,
    report: ReportParameters,
) -> list[Example]:
    """Explain the predictions of the user's own reviews, the first ones if there are many.

    Args:
        onnx_model: From the training pipeline.
        custom_reviews: The user's table.
        custom: Names the column with the text.
        report: Has their number.

    Returns:
        For each `predicted_sentiment` and its `probability`, both None where no word is known, and
        `segments`.

    """
    predictor = Predictor(onnx_model)
    examples = []
    for text in choose_texts(custom_reviews, custom)[: report.custom_reviews]:
        prediction, segments = explain(predictor, text)
        examples.append(
            {
                "predicted_sentiment": prediction.label,
                "probability": prediction.probability,
                "segments": _as_pairs(segments),
            }
        )
    return examples


def _explain_tested(
    onnx_model: bytes, chosen: pd.DataFrame, besides: Sequence[str] = ()
) -> list[Example]:
    """Return rows of the predictions as they are, with the segments of their texts."""
    predictor = Predictor(onnx_model)
    names = ["row", "sentiment", "predicted_sentiment", "probability", *besides]
    examples: list[Example] = [
        {str(name): value for name, value in row.items()}
        for row in chosen[names].to_dict("records")
    ]
    for example, review in zip(examples, chosen["review"], strict=True):
        _, segments = explain_cleaned(predictor, review)
        example["segments"] = _as_pairs(segments)
    return examples


def _as_pairs(segments: list[Segment]) -> list[tuple[str, float | None]]:
    return [(segment.text, segment.effect) for segment in segments]
