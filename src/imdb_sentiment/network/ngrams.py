"""A linear model of tokens and n-grams, to be averaged with the networks.

After Wang and Manning, "Baselines and Bigrams: Simple, Good Sentiment and Topic Classification"
(ACL 2012), with logistic regression instead of their support vector machine. Averaging it with a
recurrent network follows Mesnil et al., "Ensemble of Generative and Discriminative Techniques for
Sentiment Analysis of Movie Reviews" (ICLR 2015, workshop).
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
PSEUDO_COUNT = 1.0  # added to the number of reviews with an n-gram, for each label


@dataclass(frozen=True)
class NgramModel:
    """Weights of a linear model of n-grams.

    Attributes:
        max_ngram: Length of the longest n-grams counted, in tokens; 0 for the empty model.
        table: Weight of each bucket of n-grams, shape (buckets, outputs), dtype float32. With two
            labels there is one output, for the second label; otherwise one per label.
        bias: Intercepts, shape (outputs,), dtype float32.
        fit_fingerprint: From `fingerprint_fit`: identifies the reviews and parameters that the
            model was fitted with. Empty for the empty model.

    """

    max_ngram: int
    table: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    fit_fingerprint: str = ""


def fingerprint_fit(reviews: EncodedReviews, parameters: NgramsParameters) -> str:
    """Return a text that differs if a model is fitted to other reviews or in another way."""
    return f"{reviews.fingerprint()} {parameters.model_dump_json(exclude={'share'})}"


def fit_ngram_model(reviews: EncodedReviews, parameters: NgramsParameters) -> NgramModel:
    """Fit logistic regression to n-grams, weighted by their naive Bayes log-count ratio.

    With more than two labels, one such model is fitted per label, against all others.

    Args:
        reviews: Reviews to learn from; each label must occur.
        parameters: Length and frequency of the n-grams, and the strength of the regularisation.

    Returns:
        The fitted model.

    Raises:
        InputError: No n-gram occurs in enough reviews.

    """
    indicators = _indicate_ngrams(reviews.sequences, parameters.max_ngram)
    n_buckets = indicators.shape[1]
    document_frequencies = np.bincount(indicators.indices, minlength=n_buckets)
    kept = np.flatnonzero(document_frequencies >= parameters.min_document_frequency)
    if not len(kept):
        raise InputError(
            "no n-gram occurs in enough reviews: lower training.ngrams.min_document_frequency"
        )
    indicators = indicators[:, kept]
    binary = len(reviews.labels) == 2  # noqa: PLR2004
    codes = [1] if binary else range(len(reviews.labels))
    table = np.zeros((n_buckets, len(codes)), np.float32)
    bias = np.zeros(len(codes), np.float32)
    for output, code in enumerate(codes):
        table[kept, output], bias[output] = _fit_label(
            indicators, reviews.codes == code, parameters.inverse_regularisation
        )
    return NgramModel(parameters.max_ngram, table, bias, fingerprint_fit(reviews, parameters))


def _fit_label(
    indicators: sparse.csr_array, has_label: npt.NDArray[np.bool_], inverse_regularisation: float
) -> tuple[npt.NDArray[np.floating], float]:
    """Fit one label against all others.

    Args:
        indicators: 1 where a review has an n-gram, shape (reviews, n-grams), dtype float32.
        has_label: Whether a review has the label, shape (reviews,).
        inverse_regularisation: `C` of the logistic regression.

    Returns:
        Weight of each n-gram, shape (n-grams,), and the intercept.

    """
    shares = []
    for rows in (has_label, ~has_label):
        counts = PSEUDO_COUNT + np.asarray(indicators[rows].sum(axis=0)).ravel()
        shares.append(counts / counts.sum())
    log_ratios = np.log(shares[0] / shares[1])
    model = LogisticRegression(C=inverse_regularisation, max_iter=1000)
    model.fit(indicators @ sparse.diags_array(log_ratios), has_label)
    return log_ratios * model.coef_[0], float(model.intercept_[0])


def _indicate_ngrams(
    sequences: npt.NDArray[np.unsignedinteger], max_ngram: int
) -> sparse.csr_array:
    """Return 1 where a review has an n-gram, shape (reviews, buckets), dtype float32."""
    with tensorflow_setup():
        from imdb_sentiment.network.layers import BUCKETS, find_ngrams

    columns, numbers = [], []
    for start in range(0, len(sequences), ROWS_AT_A_TIME):
        buckets = np.asarray(find_ngrams(sequences[start : start + ROWS_AT_A_TIME], max_ngram))
        columns.append(buckets[buckets > 0])
        numbers.append(np.count_nonzero(buckets, axis=1))
    indices = np.concatenate(columns)
    ends = np.cumsum(np.concatenate([[0], *numbers]))
    if len(indices) <= np.iinfo(np.int32).max:  # otherwise SciPy makes the indices int64 too
        ends = ends.astype(np.int32)
    ones = np.ones(len(indices), np.float32)
    return sparse.csr_array((ones, indices, ends), shape=(len(sequences), BUCKETS))
