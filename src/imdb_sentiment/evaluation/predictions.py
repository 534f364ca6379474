"""Predictions as columns of a table."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from imdb_sentiment.errors import require_column
from imdb_sentiment.evaluation.probabilities import prediction_columns
from imdb_sentiment.parameters import CustomReviewsParameters


def tabulate_predictions(
    probabilities: npt.NDArray[np.float64], labels: tuple[str, ...]
) -> pd.DataFrame:
    """Return the most probable label of each review and how probable it is.

    Args:
        probabilities: Shape (reviews, labels); a row of NaN where there is no prediction.
        labels: Names of the labels in the order of their codes.

    Returns:
        One row a review: `predicted_sentiment` (None without a prediction), its `probability`, and
        `probability_LABEL` for each label.

    """
    best = probabilities.argmax(axis=1)
    predicted = np.array(labels, dtype=object)[best]
    predicted[np.isnan(probabilities[:, 0])] = None
    columns = [predicted, probabilities[np.arange(len(best)), best], *probabilities.T]
    return pd.DataFrame(dict(zip(prediction_columns(labels), columns, strict=True)))


def choose_texts(custom_reviews: pd.DataFrame, custom: CustomReviewsParameters) -> pd.Series:
    """Return the text of each custom review, empty where there is none.

    Args:
        custom_reviews: The user's table.
        custom: Names the column with the text.

    Raises:
        InputError: The column is missing.

    """
    require_column(
        custom.text_column,
        custom_reviews.columns,
        "custom_reviews.csv",
        "custom_reviews.text_column",
    )
    return custom_reviews[custom.text_column].fillna("").astype(str)


def add_predictions(table: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Put the predictions beside the table's own columns, in place of any of their names.

    Args:
        table: What the user gave.
        predictions: One row for each row of it.

    """
    given = table.drop(columns=predictions.columns, errors="ignore")
    return pd.concat([given, predictions.set_axis(table.index)], axis="columns")


def choose_positive_labels(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Return the labels that are looked at one by one: of two, the second; else all."""
    return labels[1:] if len(labels) == 2 else labels  # noqa: PLR2004


def get_codes(predictions: pd.DataFrame, labels: tuple[str, ...]) -> npt.NDArray[np.intp]:
    """Return the places of the true labels in `labels`, shape (reviews,)."""
    return pd.Index(labels).get_indexer(pd.Index(predictions["sentiment"]))


def get_probabilities(
    predictions: pd.DataFrame, labels: tuple[str, ...]
) -> npt.NDArray[np.float64]:
    """Return the probabilities of all labels, shape (reviews, labels)."""
    return predictions[[f"probability_{label}" for label in labels]].to_numpy(np.float64)


def align_rows(predictions: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Return predictions in the order in which another table has the same rows."""
    return predictions.set_index("row").loc[other["row"]]


def is_correct(predictions: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Return whether each prediction is right, shape (reviews,)."""
    return (predictions["sentiment"] == predictions["predicted_sentiment"]).to_numpy(bool)
