"""Predictions as tables: one row per review."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from imdb_sentiment.evaluation.logits import list_outputs
from imdb_sentiment.evaluation.probabilities import DecisionRule, prediction_columns


def tabulate_predictions(
    probabilities: npt.NDArray[np.float64],
    labels: tuple[str, ...],
    rule: DecisionRule,
) -> pd.DataFrame:
    """Return the predicted label of each review and its probability.

    Args:
        probabilities: Probability of each label, shape (reviews, labels); a row of NaN where there
            is no prediction.
        labels: Names of the labels in the order of their codes.
        rule: Rule that chooses a label.

    Returns:
        One row per review: `predicted_sentiment` (None without a prediction), its `probability`
        (NaN without one), and `probability_LABEL` for each label.

    """
    chosen = rule.choose(probabilities)
    predicted = np.array(labels, dtype=object)[chosen]
    probability = probabilities[np.arange(len(chosen)), chosen]
    is_sure = rule.measure_confidence(probabilities) >= rule.min_confidence  # not if it is NaN
    predicted[~is_sure] = None
    columns = [predicted, np.where(is_sure, probability, np.nan), *probabilities.T]
    return pd.DataFrame(dict(zip(prediction_columns(labels), columns, strict=True)))


def add_predictions(table: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Append the predictions to a table; columns that have their names already are replaced.

    Args:
        table: The user's table.
        predictions: One row per row of the table, in the same order.

    Returns:
        The other columns of the table, then those of the predictions; the table's index.

    """
    given = table.drop(columns=predictions.columns, errors="ignore")
    return pd.concat([given, predictions.set_axis(table.index)], axis="columns")


def choose_positive_labels(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Return the labels that get a curve each: the second of two, or all of more than two."""
    return tuple(labels[code] for code in list_outputs(len(labels)))


def get_codes(predictions: pd.DataFrame, labels: tuple[str, ...]) -> npt.NDArray[np.intp]:
    """Return the codes of the true labels, shape (reviews,)."""
    return pd.Index(labels).get_indexer(pd.Index(predictions["sentiment"]))


def get_predicted_codes(predictions: pd.DataFrame, labels: tuple[str, ...]) -> npt.NDArray[np.intp]:
    """Return the codes of the predicted labels, shape (reviews,)."""
    return pd.Index(labels).get_indexer(pd.Index(predictions["predicted_sentiment"]))


def get_probabilities(
    predictions: pd.DataFrame, labels: tuple[str, ...]
) -> npt.NDArray[np.float64]:
    """Return the probabilities of all labels, shape (reviews, labels)."""
    return predictions[[f"probability_{label}" for label in labels]].to_numpy(np.float64)


def align_rows(predictions: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Return predictions in the order of the same rows in another table; `row` is the index."""
    return predictions.set_index("row").loc[other["row"]]


def is_correct(predictions: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Return whether each prediction is right, shape (reviews,)."""
    return (predictions["sentiment"] == predictions["predicted_sentiment"]).to_numpy(bool)
