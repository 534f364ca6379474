"""A linear model of words, punctuation marks and n-grams, to be averaged with the network.

After Wang and Manning, "Baselines and Bigrams: Simple, Good Sentiment and Topic Classification"
(ACL 2012), with TF-IDF instead of indicators and logistic regression instead of their support
vector machine. They interpolate between the fitted weights and their mean magnitude; here, the mean
magnitude of the ratios is added to the magnitude of each, so that n-grams with a ratio near 0
count, too. Averaging such a model with a recurrent network follows Mesnil et al., "Ensemble of
Generative and Discriminative Techniques for Sentiment Analysis of Movie Reviews" (ICLR 2015,
workshop).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.stacking import Logits, count_outputs
from imdb_sentiment.parameters import NgramsParameters
from imdb_sentiment.text.ngrams import Hashes, hash_ngrams
from imdb_sentiment.text.words import Script

# A `scipy.sparse.csr_array`. SciPy and scikit-learn are imported where they are used.
SparseArray: TypeAlias = Any

# Added to the number of reviews with an n-gram, for a label with half of all reviews; for others in
# proportion to their share, so that n-grams that a rare label lacks have no high ratio.
PSEUDO_COUNT = 1.0


@dataclass(frozen=True)
class NgramModel:
    """A linear model of the n-grams of a text.

    Attributes:
        max_ngram: Length of the longest n-grams, in words and punctuation marks.
        hashes: Hash of each n-gram that the model knows, sorted, shape (n-grams,), dtype int64.
        idf: Inverse document frequency of each n-gram, shape (n-grams,), dtype float32.
        weights: Weight of each n-gram, its `idf` included, shape (n-grams, outputs), dtype
            float32. With two labels there is one output, for the second label; otherwise one per
            label.
        bias: Intercepts, shape (outputs,), dtype float32.
        script: How texts are cut into words; see `imdb_sentiment.text.words.Rule`.

    """

    max_ngram: int
    hashes: Hashes
    idf: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    script: Script = "ascii"  # of models that were pickled before there was a choice

    @classmethod
    def empty(cls, n_labels: int) -> Self:
        """Return a model that knows no n-gram, whose logits are 0."""
        outputs = count_outputs(n_labels)
        zeros = np.zeros((0, outputs), np.float32)
        return cls(0, np.zeros(0, np.int64), zeros[:, 0], zeros, np.zeros(outputs, np.float32))

    def scale(self, factor: float) -> Self:
        """Return a model whose logits are multiplied by a factor."""
        factor32 = np.float32(factor)
        return replace(self, weights=self.weights * factor32, bias=self.bias * factor32)

    def score_texts(self, texts: Iterable[str]) -> Logits:
        """Return the logits of each text.

        Args:
            texts: Cleaned texts.

        Returns:
            As `score`.

        """
        return self.score([hash_ngrams(text, self.max_ngram, self.script) for text in texts])

    def score(self, reviews: Sequence[Hashes]) -> Logits:
        """Return the logits of each review.

        Args:
            reviews: Hashes of the n-grams of each review, from `hash_ngrams`.

        Returns:
            Array of shape (reviews, outputs), dtype float64: the log-odds of the second of two
            labels, or of each label against all others.

        """
        sums = np.zeros((len(reviews), len(self.bias)))
        if len(self.hashes) and len(reviews):
            found = _indicate(reviews, self.hashes)
            norms = np.sqrt(found @ self.idf.astype(np.float64) ** 2)[:, np.newaxis]
            np.divide(found @ self.weights.astype(np.float64), norms, out=sums, where=norms > 0)
        return sums + self.bias


def fit_ngram_model(
    reviews: Sequence[Hashes],
    codes: npt.NDArray[np.integer],
    n_labels: int,
    parameters: NgramsParameters,
    *,
    script: Script = "auto",
    label_weights: npt.NDArray[np.float64] | None = None,
) -> NgramModel:
    """Fit logistic regression to TF-IDF of n-grams, scaled by naive Bayes log-count ratios.

    An n-gram counts once per review. With more than two labels, one such model is fitted per label,
    against all others.

    Args:
        reviews: Hashes of the n-grams of each review, from `hash_ngrams`.
        codes: Code of the label of each review, shape (reviews,); each label must occur.
        n_labels: Number of labels, C; 2 or more.
        parameters: Length, frequency and number of the n-grams, and the strength of the
            regularisation.
        script: How the texts were cut into words.
        label_weights: Weight of each label in the loss, shape (labels,); None for equal weights.

    Returns:
        The fitted model.

    Raises:
        InputError: No n-gram occurs in enough reviews.

    """
    hashes, counts = np.unique(np.concatenate(reviews), return_counts=True)
    kept = np.argsort(-counts, kind="stable")[: parameters.max_features]
    kept = np.sort(kept[counts[kept] >= parameters.min_document_frequency])
    hashes, counts = hashes[kept], counts[kept]
    if not len(hashes):
        raise InputError(
            "no n-gram occurs in enough reviews: lower training.ngrams.min_document_frequency"
        )
    found = _indicate(reviews, hashes)
    idf = 1 + np.log((1 + len(reviews)) / (1 + counts))  # as in scikit-learn
    norms = np.sqrt(found @ idf**2)  # 0 for a review without any of the n-grams
    tf_idf = found.copy()
    tf_idf.data = idf[found.indices] / np.repeat(norms, np.diff(found.indptr))
    row_weights = None if label_weights is None else label_weights[codes]
    fits = [
        _fit_label(found, tf_idf, codes == code, parameters.inverse_regularisation, row_weights)
        for code in ([1] if n_labels == 2 else range(n_labels))  # noqa: PLR2004
    ]
    columns, bias = zip(*fits, strict=True)
    weights = idf[:, np.newaxis] * np.stack(columns, axis=1)
    return NgramModel(
        parameters.max_ngram,
        hashes,
        idf.astype(np.float32),
        weights.astype(np.float32),
        np.array(bias, np.float32),
        script,
    )


def _fit_label(
    found: SparseArray,
    tf_idf: SparseArray,
    has_label: npt.NDArray[np.bool_],
    inverse_regularisation: float,
    row_weights: npt.NDArray[np.float64] | None,
) -> tuple[npt.NDArray[np.float64], float]:
    """Fit one label against all others.

    Args:
        found: 1 where a review has an n-gram, shape (reviews, n-grams).
        tf_idf: Their TF-IDF, rows of length 1, of the same shape.
        has_label: Whether a review has the label, shape (reviews,).
        inverse_regularisation: `C` of the logistic regression.
        row_weights: Weight of each review in its loss, shape (reviews,); None for equal weights.

    Returns:
        Weight of the TF-IDF of each n-gram, shape (n-grams,), and the intercept.

    """
    from sklearn.linear_model import LogisticRegression

    shares = []
    for rows in (has_label, ~has_label):
        counts = 2 * PSEUDO_COUNT * rows.mean() + rows.astype(np.float64) @ found
        shares.append(counts / counts.sum())
    log_ratios = np.abs(np.log(shares[0] / shares[1]))  # their signs make no difference
    scale = log_ratios + log_ratios.mean()
    # Coordinate descent on the dual problem is the fastest for so many features.
    model = LogisticRegression(
        C=inverse_regularisation, solver="liblinear", dual=True, max_iter=1000, random_state=0
    )
    scaled = tf_idf.copy()
    scaled.data *= scale[tf_idf.indices]
    model.fit(scaled, has_label, row_weights)
    return scale * model.coef_[0], float(model.intercept_[0])


def _indicate(reviews: Sequence[Hashes], hashes: Hashes) -> SparseArray:
    """Return 1 where a review has an n-gram.

    Args:
        reviews: Hashes of the n-grams of each review.
        hashes: Hash of each n-gram that has a column, sorted.

    Returns:
        Matrix of shape (reviews, n-grams), dtype float64.

    """
    from scipy import sparse

    columns = pd.Index(hashes).get_indexer(pd.Index(np.concatenate(reviews)))
    known = np.flatnonzero(columns >= 0)
    indices = columns[known]
    pointers = np.searchsorted(known, np.cumsum([0, *map(len, reviews)]))
    if len(indices) <= np.iinfo(np.int32).max:  # otherwise SciPy needs int64
        indices, pointers = indices.astype(np.int32), pointers.astype(np.int32)
    return sparse.csr_array(
        (np.ones(len(indices)), indices, pointers), shape=(len(reviews), len(hashes))
    )
