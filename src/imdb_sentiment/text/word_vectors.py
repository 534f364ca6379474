"""Word vectors, learnt from texts without labels.

The vectors are the singular vectors of a matrix that says which tokens occur near each other, after
Levy and Goldberg, "Neural Word Embedding as Implicit Matrix Factorization" (NeurIPS 2014), with the
settings of Levy, Goldberg and Dagan, "Improving Distributional Similarity with Lessons Learned from
Word Embeddings" (TACL 3, 2015).
"""

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from imdb_sentiment.parameters import WordVectorsParameters
from imdb_sentiment.text.tokenizer import UNKNOWN_ID, TokenIds

# A `scipy.sparse.csr_array`. SciPy and scikit-learn are imported where they are used.
SparseArray: TypeAlias = Any

CONTEXT_SMOOTHING = 0.75  # power of the frequencies of the context, so that rare ones weigh less
SINGULAR_VALUE_POWER = 0.5  # 1 would make the first dimensions too large
POWER_ITERATIONS = 4  # of the randomized SVD

# The token ids of several texts, one after the other, and the number of tokens of each text.
Joined = tuple[TokenIds, npt.NDArray[np.int64]]


def train_word_vectors(
    texts: Iterable[Joined], vocabulary_size: int, parameters: WordVectorsParameters
) -> npt.NDArray[np.float32]:
    """Learn a vector for each token from its context.

    Args:
        texts: The texts in portions, as from `TextEncoder.encode_joined`; iterated once.
        vocabulary_size: Number of token ids.
        parameters: Method, and size of the vectors and the context.

    Returns:
        Word vectors, shape (vocabulary, size), dtype float32; the row number is the token id. The
        rows of the padding, of the unknown word and of tokens that do not occur are 0. With the
        method `none`, the shape is (0, size).

    """
    from sklearn.utils.extmath import randomized_svd

    if parameters.method == "none":
        return np.zeros((0, parameters.size), np.float32)
    vectors = np.zeros((vocabulary_size, parameters.size), np.float32)
    information = _compute_information(_count_neighbours(texts, vocabulary_size, parameters.window))
    if not information.nnz:
        return vectors
    size = min(parameters.size, len(vectors))
    # The matrices are so small that threads would cost more time than they save.
    with threadpool_limits(1, user_api="blas"):
        left, values, _ = randomized_svd(
            information, size, n_iter=POWER_ITERATIONS, random_state=parameters.seed
        )
    vectors[:, :size] = left * values**SINGULAR_VALUE_POWER
    vectors[np.diff(information.indptr) == 0] = 0  # instead of rounding errors
    if parameters.norm:
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        np.divide(parameters.norm * vectors, norms, out=vectors, where=norms > 0)
    return vectors


def _count_neighbours(texts: Iterable[Joined], vocabulary_size: int, window: int) -> SparseArray:
    """Return how often each known token occurs near each other one.

    Nearer pairs count more, down to 1 / `window` for the most distant, as in word2vec.

    Args:
        texts: The texts in portions.
        vocabulary_size: Number of token ids.
        window: Maximum distance of two tokens.

    Returns:
        Symmetric matrix of shape (vocabulary, vocabulary), dtype float32.

    """
    from scipy import sparse

    shape = (vocabulary_size, vocabulary_size)
    counts = sparse.csr_array(shape, dtype=np.int64)
    for ids, lengths in texts:
        spaced = _space(ids, lengths, window)
        frequencies = np.bincount(spaced, minlength=vocabulary_size)
        frequencies[: UNKNOWN_ID + 1] = 0
        # A matrix with a row per token that lists all tokens after it, in no order and repeatedly.
        # SciPy's addition makes them one entry per pair of tokens, without sorting.
        keys = spaced.astype(np.min_scalar_type(vocabulary_size))  # NumPy sorts 16 bits by digits
        places = np.argsort(keys, kind="stable")[len(spaced) - frequencies.sum() :]
        following = np.empty((len(places), window), np.int32)
        for distance in range(1, window + 1):
            following[:, distance - 1] = spaced[places + distance]
        nearer = np.arange(window, 0, -1, dtype=np.int32)
        weights = np.where(following > UNKNOWN_ID, nearer, 0)
        pointers = window * np.concatenate([[0], np.cumsum(frequencies)]).astype(np.int32)
        counts = counts + sparse.csr_array((weights.ravel(), following.ravel(), pointers), shape)
        del keys, places, following, weights  # before the next portion takes as much memory
    counts.eliminate_zeros()
    by_column = counts.tocsc()
    # Both conversions sort the rows, whose order sums in float32 depend on.
    counts = by_column.tocsr() + by_column.T
    counts.data = (counts.data / window).astype(np.float32)
    return counts


def _space(ids: TokenIds, lengths: npt.NDArray[np.int64], window: int) -> TokenIds:
    """Return token ids with padding after each text, so that no two texts are near each other."""
    spaced = np.zeros(len(ids) + window * len(lengths), ids.dtype)
    spaced[np.arange(len(ids)) + window * np.repeat(np.arange(len(lengths)), lengths)] = ids
    return spaced


def _compute_information(counts: SparseArray) -> SparseArray:
    """Return the positive pointwise mutual information of each pair of tokens.

    Args:
        counts: Matrix from `_count_neighbours`.

    Returns:
        Matrix of the same shape and dtype; pairs that occur less often than by chance have 0.

    """
    from scipy import sparse

    totals = counts.sum(axis=1)
    smoothed = totals**CONTEXT_SMOOTHING
    pairs = counts.tocoo()
    expected = totals[pairs.row] * (smoothed / max(smoothed.sum(), 1e-9))[pairs.col]
    information = np.log(pairs.data / expected)
    is_positive = information > 0
    return sparse.coo_array(
        (information[is_positive], (pairs.row[is_positive], pairs.col[is_positive])), counts.shape
    ).tocsr()
