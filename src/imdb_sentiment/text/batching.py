"""Batches of reviews of similar length, padded on the right to their longest review.

A recurrent network takes one step per column of a batch, including the padding. Masked padding does
not change the result, so columns that are padding in every review of a batch can be cut. Grouping
reviews by length makes most of the padding such columns.
"""

import numpy as np
import numpy.typing as npt

from imdb_sentiment.text.tokenizer import UNKNOWN_ID

HEAD_FRACTION = 0.25  # share of a shortened review that is from its beginning
ROWS_AT_A_TIME = 1 << 16  # NumPy makes a temporary array of the size of the sequences
COUNTED_AT_A_TIME = 10_000  # likewise, but NumPy counts a copy as int64

Batches = list[npt.NDArray[np.intp]]
Sequences = npt.NDArray[np.unsignedinteger]


def count_tokens(sequences: Sequences) -> npt.NDArray[np.intp]:
    """Count the tokens of each review, without padding.

    Args:
        sequences: Token ids, shape (reviews, sequence length), padded with 0.

    Returns:
        Number of tokens per review, shape (reviews,), dtype intp.

    """
    lengths = np.zeros(len(sequences), np.intp)
    for start in range(0, len(sequences), ROWS_AT_A_TIME):
        part = slice(start, start + ROWS_AT_A_TIME)
        lengths[part] = np.count_nonzero(sequences[part], axis=1)  # only padding is 0
    return lengths


def count_occurrences(sequences: Sequences, vocabulary_size: int) -> npt.NDArray[np.intp]:
    """Count how often each token id occurs, the padding included.

    Args:
        sequences: Token ids, shape (reviews, sequence length).
        vocabulary_size: Number of token ids.

    Returns:
        Number of occurrences, shape (vocabulary,), dtype intp.

    """
    counts = np.zeros(vocabulary_size, np.intp)
    for start in range(0, len(sequences), COUNTED_AT_A_TIME):
        part = sequences[start : start + COUNTED_AT_A_TIME]
        counts += np.bincount(part.ravel(), minlength=vocabulary_size)
    return counts


def pad_right(sequences: Sequences) -> Sequences:
    """Move the padding of each review to the right, and cut what is padding in all of them.

    The network masks padding, so it changes nothing where it is. On a GPU, the kernel of an LSTM
    needs it on the right, and at least one token per review: a review without a known word gets
    the unknown word.

    Args:
        sequences: Token ids, shape (reviews, sequence length), padded with 0 on the left.

    Returns:
        Token ids, shape (reviews, length of the longest review or 1), same dtype.

    """
    lengths = count_tokens(sequences)[:, np.newaxis]
    columns = np.arange(max(1, int(lengths.max(initial=0))))  # columns of the result
    length = sequences.shape[1]
    moved = np.take_along_axis(sequences, (length - lengths + columns) % length, axis=1)
    moved[columns >= lengths] = 0
    moved[:, :1][lengths == 0] = UNKNOWN_ID
    return moved


def shorten(sequences: Sequences, length: int) -> Sequences:
    """Leave out the middle of longer reviews.

    The share of the beginning is fixed: this makes training shorter, whatever part of a text
    `tokenizer.head_fraction` has left in a sequence.

    Args:
        sequences: Token ids, shape (reviews, sequence length), padded with 0 on the left.
        length: Number of tokens to keep, at most the sequence length: a quarter of them from the
            beginning of a longer review, the others from its end.

    Returns:
        Token ids, shape (reviews, length), same dtype, padded with 0 on the left.

    """
    surplus = count_tokens(sequences)[:, np.newaxis] - length
    columns = np.arange(sequences.shape[1] - length, sequences.shape[1])
    is_head = np.arange(length) < round(HEAD_FRACTION * length)
    kept = np.where((surplus > 0) & is_head, columns - surplus, columns)
    return np.take_along_axis(sequences, kept, axis=1)


def group_by_length(
    lengths: npt.NDArray[np.intp], batch_size: int, rng: np.random.Generator | None = None
) -> Batches:
    """Divide reviews into batches of similar length ("sequence bucketing", Khomenko et al., 2016).

    Args:
        lengths: Number of tokens per review, shape (reviews,).
        batch_size: Number of reviews per batch; one batch has the remainder.
        rng: Generator that shuffles the reviews of equal length and the order of the batches.
            Without it, the batches are sorted from short to long.

    Returns:
        Row numbers, one array of dtype intp per batch; each row is in exactly one batch.

    """
    order = rng.permutation(len(lengths)) if rng else np.arange(len(lengths))
    order = order[np.argsort(lengths[order], kind="stable")]
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    if rng:
        rng.shuffle(batches)
    return batches
