"""Word vectors, learnt from texts without labels.

The vectors are the singular vectors of a matrix that says which tokens occur near each other, after
Levy and Goldberg, "Neural Word Embedding as Implicit Matrix Factorization" (NeurIPS 2014), with the
settings of Levy, Goldberg and Dagan, "Improving Distributional Similarity with Lessons Learned from
Word Embeddings" (TACL 3, 2015).
"""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.utils.extmath import randomized_svd
from tokenizers import Tokenizer

from imdb_sentiment.parameters import WordVectorsParameters
from imdb_sentiment.text.tokenizer import UNKNOWN_ID, TextEncoder

TEXTS_AT_A_TIME = 2000
CONTEXT_SMOOTHING = 0.75  # power of the frequencies of the context, so that rare ones weigh less
SINGULAR_VALUE_POWER = 0.5  # 1 would make the first dimensions too large
POWER_ITERATIONS = 4  # of the randomized SVD


def train_word_vectors(
    texts: Iterable[str], tokenizer: Tokenizer, parameters: WordVectorsParameters
) -> npt.NDArray[np.float32]:
    """Learn a vector for each token from its context.

    Args:
        texts: Cleaned texts; iterated once.
        tokenizer: Tokenizer from `train_tokenizer`.
        parameters: Method, and size of the vectors and the context.

    Returns:
        Word vectors, shape (vocabulary, size), dtype float32; the row number is the token id. The
        rows of the padding, of the unknown word and of tokens that do not occur are 0. With the
        method `none`, the shape is (0, size).

    """
    if parameters.method == "none":
        return np.zeros((0, parameters.size), np.float32)
    vectors = np.zeros((tokenizer.get_vocab_size(), parameters.size), np.float32)
    information = _compute_information(_count_neighbours(texts, tokenizer, parameters.window))
    if not information.nnz:
        return vectors
    size = min(parameters.size, len(vectors))
    left, values, _ = randomized_svd(
        information, size, n_iter=POWER_ITERATIONS, random_state=parameters.seed
    )
    vectors[:, :size] = left * values**SINGULAR_VALUE_POWER
    vectors[np.diff(information.indptr) == 0] = 0  # instead of rounding errors
    if parameters.norm:
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        np.divide(parameters.norm * vectors, norms, out=vectors, where=norms > 0)
    return vectors


def _count_neighbours(texts: Iterable[str], tokenizer: Tokenizer, window: int) -> sparse.csr_array:
    """Return how often each known token occurs near each other one.

    Nearer pairs count more, down to 1 / `window` for the most distant, as in word2vec.

    Args:
        texts: Cleaned texts.
        tokenizer: Tokenizer from `train_tokenizer`.
        window: Maximum distance of two tokens.

    Returns:
        Symmetric matrix of shape (vocabulary, vocabulary), dtype float32.

    """
    shape = (tokenizer.get_vocab_size(),) * 2
    counts = sparse.csr_array(shape, dtype=np.float32)
    for ids in _join_texts(texts, tokenizer, window):
        for distance in range(1, window + 1):
            first, second = ids[:-distance], ids[distance:]
            is_known = (first > UNKNOWN_ID) & (second > UNKNOWN_ID)
            weight = np.full(is_known.sum(), (window + 1 - distance) / window, np.float32)
            pairs = (first[is_known], second[is_known])
            counts += sparse.coo_array((weight, pairs), shape).tocsr()
    return (counts + counts.T).tocsr()


def _join_texts(
    texts: Iterable[str], tokenizer: Tokenizer, window: int
) -> Iterator[npt.NDArray[np.int32]]:
    """Yield the token ids of many texts, with so much padding between them that none are near."""
    encoder = TextEncoder(tokenizer)
    gap = [0] * window
    remaining = iter(texts)
    while batch := list(islice(remaining, TEXTS_AT_A_TIME)):
        ids = [number for text in encoder.encode_whole(batch) for number in (*text, *gap)]
        yield np.array(ids, np.int32)


def _compute_information(counts: sparse.csr_array) -> sparse.csr_array:
    """Return the positive pointwise mutual information of each pair of tokens.

    Args:
        counts: From `_count_neighbours`.

    Returns:
        Matrix of the same shape and dtype; pairs that occur less often than by chance have 0.

    """
    totals = counts.sum(axis=1)
    smoothed = totals**CONTEXT_SMOOTHING
    pairs = counts.tocoo()
    expected = totals[pairs.row] * (smoothed / max(smoothed.sum(), 1e-9))[pairs.col]
    information = np.log(pairs.data / expected)
    is_positive = information > 0
    return sparse.coo_array(
        (information[is_positive], (pairs.row[is_positive], pairs.col[is_positive])), counts.shape
    ).tocsr()
