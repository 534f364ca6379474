"""Single reviews, with the words that moved the model."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from imdb_sentiment.parameters import CustomReviewsParameters, ReportParameters
from imdb_sentiment.predictions import choose_texts, is_correct
from imdb_sentiment.serving import Predictor
from imdb_sentiment.serving.explanation import explain

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
        `segments` of the text, each with its effect (see `explain`) or None.

    """
    wrong = test_predictions[~is_correct(test_predictions)]
    surest = wrong.sort_values("probability", ascending=False, kind="stable")
    return _explain(onnx_model, surest.head(report.examples))


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
        network is right and where the baseline is in turn, those first of which both are sure.

    """
    other = baseline_predictions.set_index("row").loc[test_predictions["row"]]
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
    return _explain(onnx_model, chosen.iloc[order], ["baseline_sentiment", "baseline_probability"])


def explain_custom_reviews(
    onnx_model: bytes, custom_reviews: pd.DataFrame, custom: CustomReviewsParameters
) -> list[Example]:
    """Explain the predictions of the user's own reviews.

    Args:
        onnx_model: From the training pipeline.
        custom_reviews: The user's table.
        custom: Names the column with the text.

    Returns:
        As `explain_mistakes`, without `row` and `sentiment`; `predicted_sentiment` is None where
        no word is known.

    """
    return _explain(onnx_model, pd.DataFrame({"review": choose_texts(custom_reviews, custom)}))


def _explain(onnx_model: bytes, chosen: pd.DataFrame, besides: Iterable[str] = ()) -> list[Example]:
    predictor = Predictor(onnx_model)
    names = [name for name in ("row", "sentiment", *besides) if name in chosen]
    examples = []
    for review, *values in zip(chosen["review"], *(chosen[name] for name in names), strict=True):
        prediction, segments = explain(predictor, "" if pd.isna(review) else review)
        examples.append(
            {
                **{
                    name: value.item() if hasattr(value, "item") else value
                    for name, value in zip(names, values, strict=True)
                },
                "predicted_sentiment": prediction.label,
                "probability": prediction.probabilities.get(prediction.label or "", None),
                "segments": [[segment.text, segment.effect] for segment in segments],
            }
        )
    return examples
