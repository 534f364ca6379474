"""The custom reviews: those of the user's file, or a few test reviews instead."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd
from tokenizers import Tokenizer

from imdb_sentiment.errors import InputError, make_printable
from imdb_sentiment.evaluation.examples import choose_diverse
from imdb_sentiment.evaluation.probabilities import prediction_columns
from imdb_sentiment.parameters import CustomReviewsParameters, ReviewsParameters
from imdb_sentiment.text.cleaning import clean_text
from imdb_sentiment.text.labels import find_codes
from imdb_sentiment.text.sample_reviews import are_suitable
from imdb_sentiment.text.tables import to_strings, with_text_names
from imdb_sentiment.text.user_tables import choose_custom_column, gather_rows

logger = logging.getLogger(__name__)

EXPECTED = "expected_sentiment"  # column of the label that the user expects
N_TEST_REVIEWS = 10  # number of test reviews that are used instead of custom reviews


@dataclass(frozen=True)
class CustomReviews:
    """The custom reviews of a run.

    Attributes:
        table: One row per review, with all its columns.
        texts: The cleaned text of each review, empty where there is none.
        expected: The label that each review should get, None where the user does not say.
        are_test_reviews: Whether they are test reviews instead of a file of the user's own.

    """

    table: pd.DataFrame
    texts: list[str]
    expected: list[str | None]
    are_test_reviews: bool


def find_custom_texts(
    custom_reviews: pd.DataFrame | Iterable[pd.DataFrame],
    reviews: ReviewsParameters,
    custom: CustomReviewsParameters,
) -> CustomReviewsParameters:
    """Find the column with the texts of the custom reviews.

    A node of its own, since it needs no model: in a run of all pipelines, a file that can't be used
    ends the run before the search.

    Args:
        custom_reviews: The user's table, whole or in chunks.
        reviews: The names of the columns in the training data.
        custom: Name of the column with the text, or `auto`.

    Returns:
        The name of the column.

    Raises:
        InputError: The column is missing, can't be found without doubt, or has the name of a
            column of the predictions.

    """
    chunks = [custom_reviews] if isinstance(custom_reviews, pd.DataFrame) else custom_reviews
    rows = with_text_names(next(iter(chunks), pd.DataFrame()))
    column = choose_custom_column(rows, custom, reviews.text_column)
    if column in prediction_columns(reviews.labels):
        raise InputError(
            f"the texts of the custom reviews are in the column {column!r}, which the file of "
            "their predictions needs: rename it"
        )
    return CustomReviewsParameters(text_column=column)


def choose_custom_reviews(
    custom_reviews: pd.DataFrame | Iterable[pd.DataFrame],
    test_predictions: pd.DataFrame,
    tokenizer: Tokenizer,
    reviews: ReviewsParameters,
    custom: CustomReviewsParameters,
) -> CustomReviews:
    """Return the user's own reviews, or test reviews if there is only an unsuitable sample.

    The test reviews differ in label, length and the confidence of the model. The choice does not
    depend on whether a prediction is right.

    Args:
        custom_reviews: The user's table, whole or in chunks.
        test_predictions: Output of `score_test_reviews`.
        tokenizer: Output of the pipeline data_processing.
        reviews: The labels, and the names of the columns in the training data.
        custom: Output of `find_custom_texts`.

    """
    table = gather_rows(custom_reviews)
    if are_suitable(table, reviews.labels, tokenizer):
        texts = to_strings(table[custom.text_column])
        expected = _find_expected(table, reviews)
        return CustomReviews(table, list(map(clean_text, texts)), expected, are_test_reviews=False)
    labels, texts = test_predictions["sentiment"].tolist(), test_predictions["review"].tolist()
    confidence = test_predictions["probability"].tolist()
    rows = choose_diverse(labels, list(map(len, texts)), N_TEST_REVIEWS, confidence)
    logger.info(
        "The project's custom reviews do not fit this table (other labels or another language), so "
        "%d of its test reviews are shown. To show your own texts, set custom_reviews_file in "
        "conf/local/globals.yml.",
        len(rows),
    )
    chosen = test_predictions.iloc[rows]
    names = ["row", reviews.text_column, EXPECTED]
    shown = chosen[["row", "review", "sentiment"]].set_axis(names, axis=1)
    return CustomReviews(
        shown.reset_index(drop=True),
        chosen["review"].tolist(),
        chosen["sentiment"].tolist(),
        are_test_reviews=True,
    )


def _find_expected(table: pd.DataFrame, reviews: ReviewsParameters) -> list[str | None]:
    """Return the expected label of each row, from a column for it or named as in the training."""
    column = next((name for name in (EXPECTED, reviews.label_column) if name in table), None)
    given = [""] * len(table) if column is None else to_strings(table[column])
    codes = find_codes(set(given), reviews.labels)
    unknown = sorted({*given} - codes.keys() - {""})
    if unknown:
        logger.warning(
            "Expected labels of custom reviews that are no labels of the model are ignored: %s",
            ", ".join(map(make_printable, unknown[:N_TEST_REVIEWS])),
        )
    return [reviews.labels[codes[label]] if label in codes else None for label in given]


def count_right(expected: Sequence[str | None], predicted: Sequence[str | None]) -> tuple[int, int]:
    """Return the number of reviews predicted as expected, and of those with both labels."""
    both = zip(expected, predicted, strict=True)
    pairs = [(e, p) for e, p in both if e is not None and not pd.isna(p)]
    return sum(e == p for e, p in pairs), len(pairs)
