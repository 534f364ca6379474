"""Batches of reviews of similar length, cut to their longest review.

A recurrent network takes one step per column of a batch, including the padding. Masked padding does
not change the result, so columns that are padding in every review of a batch can be cut. Grouping
reviews by length makes most of the padding such columns.
"""

import numpy as np
import numpy.typing as npt

Batches = list[npt.NDArray[np.intp]]
Sequences = npt.NDArray[np.unsignedinteger]


def count_tokens(sequences: Sequences) -> npt.NDArray[np.intp]:
    """Count the tokens of each review, without padding.

    Args:
        sequences: Token ids, shape (reviews, sequence length), padded with 0.

    Returns:
        Number of tokens per review, shape (reviews,), dtype intp.

    """
    lengths: npt.NDArray[np.intp] = np.count_nonzero(sequences, axis=1)  # only padding is 0
    return lengths


def cut_padding(sequences: Sequences) -> Sequences:
    """Cut the columns on the left that are padding in every sequence.

    Args:
        sequences: Token ids, shape (reviews, sequence length), padded with 0 on the left.

    Returns:
        View of the sequences, shape (reviews, length of the longest review or 1), same dtype.

    """
    longest = int(count_tokens(sequences).max(initial=1))
    return sequences[:, sequences.shape[1] - longest :]


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
