"""Scores of predictions: one number each, or a table along a threshold, a group or a share."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from imdb_sentiment.evaluation.calibration import estimate_error_by_chance, measure_calibration
from imdb_sentiment.evaluation.objectives import ORDINAL_METRICS, make_metric
from imdb_sentiment.evaluation.predictions import (
    get_codes,
    get_predicted_codes,
    get_probabilities,
    is_correct,
)
from imdb_sentiment.evaluation.statistics import (
    estimate_accuracy_interval,
    estimate_accuracy_interval_of_groups,
)
from imdb_sentiment.parameters import MetricName, ReportParameters


def score_predictions(
    predictions: pd.DataFrame,
    labels: tuple[str, ...],
    report: ReportParameters,
    *,
    are_ordered: bool,
    groups: npt.NDArray[np.integer] | None,
) -> dict[str, float]:
    """Compare predictions with the true labels.

    Args:
        predictions: One row per review, with `sentiment`, `predicted_sentiment` and
            `probability_LABEL` for each label.
        labels: Names of the labels in the order of their codes; of two, the second is the positive
            class.
        report: Settings of the estimates of the calibration and of the interval with groups.
        are_ordered: Whether the labels are ordinal.
        groups: Group of each review, shape (reviews,); None if the reviews have no groups.

    Returns:
        `accuracy` with the ends of its 95% interval (`accuracy_low`, `accuracy_high`; Wilson's, or
        with groups that of `estimate_accuracy_interval_of_groups`),
        `balanced_accuracy`, `precision`, `recall`, `f1`, `f1_macro`, `roc_auc`, `log_loss` (natural
        logarithm), `calibration_error`, and that of a perfectly calibrated model
        (`calibration_error_by_chance`). With more than two labels precision, recall, F1 and ROC
        AUC (one label against the rest) are macro-averaged. For ordinal labels, also
        `mean_absolute_error`, in steps of the order, and `quadratic_kappa`.

    """
    from sklearn import metrics

    truth, probabilities = get_codes(predictions, labels), get_probabilities(predictions, labels)
    predicted = get_predicted_codes(predictions, labels)
    average = "binary" if len(labels) == 2 else "macro"  # noqa: PLR2004
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        truth, predicted, labels=range(len(labels)), average=average, zero_division=0
    )
    if groups is None:
        low, high = estimate_accuracy_interval(predicted == truth)
    else:
        low, high = estimate_accuracy_interval_of_groups(
            predicted == truth, groups, resamples=report.resamples, seed=report.seed
        )
    calibration = measure_calibration(probabilities, truth, report.calibration_bins)

    def measure(name: MetricName) -> float:
        metric = make_metric(name, None, labels, are_ordered=are_ordered)
        return metric.measure(truth, probabilities, predicted)

    return {
        "accuracy": measure("accuracy"),
        "accuracy_low": low,
        "accuracy_high": high,
        "balanced_accuracy": measure("balanced_accuracy"),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "f1_macro": measure("f1_macro"),
        "roc_auc": measure("roc_auc"),
        "log_loss": measure("log_loss"),
        "calibration_error": calibration.error,
        "calibration_error_by_chance": estimate_error_by_chance(
            probabilities, report.calibration_bins, resamples=report.resamples, seed=report.seed
        ),
        **({name: measure(name) for name in ORDINAL_METRICS} if are_ordered else {}),
    }


def describe_labels(
    predictions: pd.DataFrame, labels: tuple[str, ...]
) -> dict[str, dict[str, Any]]:
    """Return how well each label is found.

    Args:
        predictions: One row per review, with `sentiment` and `predicted_sentiment`.
        labels: Names of the labels in the order of their codes.

    Returns:
        For each label: `rows`, the number of reviews that have it; `predicted`, the number for
        which it is predicted; `precision` (None if it is never predicted), `recall` (None if no
        review has it) and `f1`; and `confused_with`, the label that is most often predicted for its
        reviews instead (None if there is none).

    """
    from sklearn import metrics

    matrix = metrics.confusion_matrix(
        get_codes(predictions, labels),
        get_predicted_codes(predictions, labels),
        labels=range(len(labels)),
    )
    found = {}
    for code, label in enumerate(labels):
        hits, rows, predicted = (
            int(n) for n in (matrix[code, code], matrix[code].sum(), matrix[:, code].sum())
        )
        others = np.delete(matrix[code], code)
        other_labels = [other for other in labels if other != label]
        found[label] = {
            "rows": rows,
            "predicted": predicted,
            "precision": hits / predicted if predicted else None,
            "recall": hits / rows if rows else None,
            "f1": 2 * hits / max(1, rows + predicted),
            "confused_with": other_labels[others.argmax()] if others.any() else None,
        }
    return found


def tabulate_thresholds(predictions: pd.DataFrame, label: str) -> pd.DataFrame:
    """Return the precision and recall of a label at each threshold of its probability.

    Args:
        predictions: One row per review, with `sentiment` and `probability_LABEL`.
        label: The label, which is predicted wherever its probability reaches the threshold.

    Returns:
        One row per `threshold`, 0.02 to 0.98; `precision` is NaN where no review reaches it.

    """
    truth = (predictions["sentiment"] == label).to_numpy()
    probability = predictions[f"probability_{label}"].to_numpy()
    thresholds = np.arange(1, 50) / 50
    predicted = probability >= thresholds[:, np.newaxis]  # (thresholds, reviews)
    positives, hits = predicted.sum(axis=1), (predicted & truth).sum(axis=1)
    nan = np.full(len(thresholds), np.nan)
    return pd.DataFrame(
        {
            "threshold": thresholds,
            "precision": np.divide(hits, positives, out=nan, where=positives > 0),
            "recall": hits / truth.sum() if truth.any() else np.nan,
        }
    )


def tabulate_accuracy_by_group(
    correct: npt.NDArray[np.bool_], groups: npt.NDArray[np.integer]
) -> pd.DataFrame:
    """Return the accuracy of each group of reviews, with its 95% interval (Wilson, 1927).

    Args:
        correct: Whether each prediction is right, shape (reviews,).
        groups: Number of the group of each review, shape (reviews,).

    Returns:
        One row per group in the order of their numbers: `accuracy`, and the ends of its interval,
        `low` and `high`.

    """
    grouped = pd.Series(correct).groupby(groups)
    intervals = [estimate_accuracy_interval(part.to_numpy()) for _, part in grouped]
    accuracy = grouped.mean()
    return pd.DataFrame(intervals, accuracy.index, ["low", "high"]).assign(accuracy=accuracy)


def tabulate_accuracy_by_coverage(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracy of the most confident predictions alone.

    Args:
        predictions: One row per review, with `sentiment`, `predicted_sentiment` and `probability`.

    Returns:
        One row per `coverage`, the share of the reviews that keep their prediction, 0.01 to 1, and
        the `accuracy` of these. If only some of the predictions with the same probability are
        among them, it is the mean over all choices.

    """
    percent = np.arange(1, 101)
    # Numbers from the most confident predictions on; the same for those that are equally confident.
    _, ranks = np.unique(-predictions["probability"].to_numpy(), return_inverse=True)
    accuracies = np.bincount(ranks, weights=is_correct(predictions)) / np.bincount(ranks)
    hits = np.cumsum(accuracies[np.sort(ranks)])
    counts = -(-percent * len(hits) // 100)  # rounded up, in whole numbers
    return pd.DataFrame({"coverage": percent / 100, "accuracy": hits[counts - 1] / counts})
