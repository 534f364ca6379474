"""Reviews that differ only in numbers and rare words, such as messages from a template."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from imdb_sentiment.text.batching import Sequences, count_occurrences
from imdb_sentiment.text.encoded_reviews import EncodedReviews
from imdb_sentiment.text.tokenizer import UNKNOWN_ID

MIN_TOKENS = 5  # minimum number of compared tokens: shorter reviews are often the same by chance
ROWS_AT_A_TIME = 1 << 14  # NumPy makes temporary arrays of eight bytes per token


def find_near_duplicates(
    reviews: EncodedReviews, learnt: Sequence[EncodedReviews], tokenizer: Tokenizer
) -> npt.NDArray[np.bool_]:
    """Return which reviews are nearly the same as one that a model has learnt from.

    These have the same known tokens, in any order, except those with a digit and those that occur
    only once in the learnt reviews, such as names. (Subwords of names often occur again, so with
    them, mostly numbers may differ.) At least five such tokens are needed. Reviews longer than the
    sequence length are compared by the tokens that the LSTM reads.

    Args:
        reviews: Encoded reviews.
        learnt: Sets that a model has learnt from, encoded in the same way.
        tokenizer: Tokenizer of both.

    Returns:
        A mask of shape (reviews,).

    """
    size = reviews.vocabulary_size
    counts = [count_occurrences(each.sequences, size) for each in learnt]
    is_compared = np.sum(counts, axis=0) > 1
    is_compared[: UNKNOWN_ID + 1] = False  # padding and the unknown word
    for token, number in tokenizer.get_vocab().items():
        is_compared[number] &= not any(map(str.isdigit, token))
    # The sum of one random number per token is the same for the same tokens, and hardly for others.
    numbers = np.random.default_rng(0).integers(1 << 63, size=len(is_compared), dtype=np.uint64)
    numbers[~is_compared] = 0

    def add_up(values: npt.NDArray[Any], each: EncodedReviews) -> npt.NDArray[Any]:
        return np.concatenate([values[part].sum(axis=1) for part in _divide(each.sequences)])

    known = np.concatenate([add_up(numbers, each) for each in learnt])
    is_long = add_up(is_compared, reviews) >= MIN_TOKENS
    found: npt.NDArray[np.bool_] = np.isin(add_up(numbers, reviews), known) & is_long
    return found


def _divide(sequences: Sequences) -> list[Sequences]:
    """Return parts of a limited number of rows each, at least one."""
    starts = range(0, max(1, len(sequences)), ROWS_AT_A_TIME)
    return [sequences[start : start + ROWS_AT_A_TIME] for start in starts]
