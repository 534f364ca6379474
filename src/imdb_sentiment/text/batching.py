"""Batches of reviews of like length, cut to their longest.

A recurrent network takes a step for each column of a batch, padding included. Masked padding
changes no result, so what all reviews of a batch have of it can be cut; grouping them by length
makes that much.
"""

import numpy as np
import numpy.typing as npt

Batches = list[npt.NDArray[np.intp]]
Sequences = npt.NDArray[np.unsignedinteger]


def count_tokens(sequences: Sequences) -> npt.NDArray[np.intp]:
    """Return the length of each review without its padding, shape (reviews,).

    Args:
        sequences: Token ids, shape (reviews, sequence length).

    """
    lengths: npt.NDArray[np.intp] = np.count_nonzero(sequences, axis=1)  # 0 is padding alone
    return lengths


def cut_padding(sequences: Sequences) -> Sequences:
    """Return the sequences without the columns on the left that are padding in each of them.

    Args:
        sequences: Token ids, shape (reviews, sequence length), padded on the left.

    Returns:
        Shape (reviews, length of the longest, at least 1).

    """
    longest = int(count_tokens(sequences).max(initial=1))
    return sequences[:, sequences.shape[1] - longest :]


def group_by_length(
    lengths: npt.NDArray[np.intp], batch_size: int, rng: np.random.Generator | None = None
) -> Batches:
    """Divide reviews into batches of like length ("sequence bucketing", Khomenko et al., 2016).

    Args:
        lengths: Tokens of each review, shape (reviews,).
        batch_size: Reviews a batch; one batch takes the remainder.
        rng: Draws which reviews of a length go together, and the order of the batches. Without it
            the batches go from short to long.

    Returns:
        Row numbers, one array a batch; each row is in one of them.

    """
    order = rng.permutation(len(lengths)) if rng else np.arange(len(lengths))
    order = order[np.argsort(lengths[order], kind="stable")]
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    if rng:
        rng.shuffle(batches)
    return batches
