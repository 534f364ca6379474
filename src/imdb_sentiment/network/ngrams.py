"""A linear model of tokens and n-grams, to be averaged with the networks.

After Wang and Manning, "Baselines and Bigrams: Simple, Good Sentiment and Topic Classification"
(ACL 2012), with logistic regression in the place of their support vector machine. Its average with
a recurrent network is after Mesnil et al., "Ensemble of Generative and Discriminative Techniques
for Sentiment Analysis of Movie Reviews" (ICLR 2015, workshop).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from imdb_sentiment.errors import InputError
from imdb_sentiment.network.tensorflow_setup import tensorflow_setup
from imdb_sentiment.parameters import NgramsParameters
from imdb_sentiment.text.encoded_reviews import EncodedReviews

ROWS_AT_A_TIME = 1000
SMOOTHING = 1.0  # occurrences that each n-gram has in advance


@dataclass(frozen=True)
class NgramModel:
    """What each n-gram says for a label.

    Attributes:
        max_ngram: Longest n-gram of tokens counted; 0 for a model of nothing.
        table: Weight of the n-grams in each bucket, shape (buckets, outputs), dtype float32: one
            output with two labels, for the second; otherwise one a label.
        bias: To be added, shape (outputs,), dtype float32.
        origin: From `describe_origin`; empty for a model of nothing, or of an earlier version.

    """

    max_ngram: int
    table: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    origin: str = ""

    @classmethod
    def of_nothing(cls) -> "NgramModel":
        """Return a model of no n-grams."""
        return cls(0, np.zeros((0, 0), np.float32), np.zeros(0, np.float32))


def describe_origin(reviews: EncodedReviews, parameters: NgramsParameters) -> str:
    """Return what tells models apart that learnt from other reviews, or in another way."""
    return f"{reviews.fingerprint()} {parameters.model_dump_json(exclude={'share'})}"


def fit_ngram_model(reviews: EncodedReviews, parameters: NgramsParameters) -> NgramModel:
    """Fit the weights: logistic regression of n-grams times their naive Bayes log-count ratio.

    With more than two labels there is one such model a label, against the others.

    Args:
        reviews: To learn from; each label must occur.
        parameters: Of the n-grams and the regularisation.

    Raises:
        InputError: No n-gram occurs in enough reviews.

    """
    counts = _mark_ngrams(reviews.sequences, parameters.max_ngram)
    n_buckets = counts.shape[1]
    document_frequencies = np.bincount(counts.indices, minlength=n_buckets)
    kept = np.flatnonzero(document_frequencies >= parameters.min_document_frequency)
    if not len(kept):
        raise InputError(
            "no n-gram occurs in enough reviews: lower training.ngrams.min_document_frequency"
        )
    counts = counts[:, kept]
    binary = len(reviews.labels) == 2  # noqa: PLR2004
    codes = [1] if binary else range(len(reviews.labels))
    table = np.zeros((n_buckets, len(codes)), np.float32)
    bias = np.zeros(len(codes), np.float32)
    for output, code in enumerate(codes):
        table[kept, output], bias[output] = _fit_one(
            counts, reviews.codes == code, parameters.inverse_regularisation
        )
    return NgramModel(parameters.max_ngram, table, bias, describe_origin(reviews, parameters))


def _fit_one(
    counts: sparse.csr_array, is_label: npt.NDArray[np.bool_], inverse_regularisation: float
) -> tuple[npt.NDArray[np.floating], float]:
    """Return a weight for each column of the counts, and the bias."""
    shares = []
    for rows in (is_label, ~is_label):
        occurrences = SMOOTHING + np.asarray(counts[rows].sum(axis=0)).ravel()
        shares.append(occurrences / occurrences.sum())
    ratios = np.log(shares[0] / shares[1])
    model = LogisticRegression(C=inverse_regularisation, max_iter=1000)
    model.fit(counts @ sparse.diags_array(ratios), is_label)
    return ratios * model.coef_[0], float(model.intercept_[0])


def _mark_ngrams(sequences: npt.NDArray[np.unsignedinteger], max_ngram: int) -> sparse.csr_array:
    """Return a 1 for each n-gram that a review has, shape (reviews, buckets)."""
    with tensorflow_setup():
        from imdb_sentiment.network.layers import BUCKETS, find_ngrams

    columns, numbers = [], []
    for start in range(0, len(sequences), ROWS_AT_A_TIME):
        found = np.asarray(find_ngrams(sequences[start : start + ROWS_AT_A_TIME], max_ngram))
        columns.append(found[found > 0])
        numbers.append(np.count_nonzero(found, axis=1))
    indices = np.concatenate(columns)
    ends = np.cumsum(np.concatenate([[0], *numbers]))
    if len(indices) <= np.iinfo(np.int32).max:  # or SciPy doubles the indices' size
        ends = ends.astype(np.int32)
    ones = np.ones(len(indices), np.float32)
    return sparse.csr_array((ones, indices, ends), shape=(len(sequences), BUCKETS))
