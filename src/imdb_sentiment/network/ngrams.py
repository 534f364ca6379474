"""A linear model of word and character n-grams, to be averaged with the network.

After Wang and Manning, "Baselines and Bigrams: Simple, Good Sentiment and Topic Classification"
(ACL 2012), with TF-IDF instead of indicators and logistic regression instead of their support
vector machine. They interpolate between the fitted weights and their mean magnitude; here, the mean
magnitude of the ratios is added to the magnitude of each, so that n-grams with a ratio near 0
count, too. Character n-grams are what inflected, compound and misspelt words have in common with
others. Averaging such a model with a recurrent network follows Mesnil et al., "Ensemble of
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
from imdb_sentiment.text.ngrams import Hashes, hash_ngrams, locate_characters
from imdb_sentiment.text.words import Script

# A `scipy.sparse.csr_array`. SciPy and scikit-learn are imported where they are used.
SparseArray: TypeAlias = Any
Mask = npt.NDArray[np.bool_]

# Added to the number of reviews with an n-gram, for a label with half of all reviews; for others in
# proportion to their share, so that n-grams that a rare label lacks have no high ratio.
PSEUDO_COUNT = 1.0
TOLERANCE = 0.01  # of the logistic regression

# Norms of a review's TF-IDF vector of character n-grams that are compared; that of its word n-grams
# has a norm of 1. The more and the longer the reviews are, the less the character n-grams add.
CHARACTER_WEIGHTS = (0.0, 0.5, 1.0)
DEFAULT_CHARACTER_WEIGHT = 0.5  # if they can't be compared


@dataclass(frozen=True)
class NgramModel:
    """A linear model of the n-grams of a text.

    Word and character n-grams have TF-IDF vectors of their own, each with a norm of 1.

    Attributes:
        max_ngram: Length of the longest word n-grams, in words and punctuation marks.
        hashes: Hash of each n-gram that the model knows, sorted, shape (n-grams,), dtype int64.
        idf: Inverse document frequency of each n-gram, shape (n-grams,), dtype float32.
        weights: Weight of each n-gram, its `idf` included, shape (n-grams, outputs), dtype
            float32. With two labels there is one output, for the second label; otherwise one per
            label.
        bias: Intercepts, shape (outputs,), dtype float32.
        script: How texts are cut into words; see `imdb_sentiment.text.words.Rule`.
        character_ngram: Length of the character n-grams; 0 if the model knows none.
        character_weight: Norm that their vectors had in the regression; the weights include it.

    """

    max_ngram: int
    hashes: Hashes
    idf: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    script: Script = "ascii"  # of models that were pickled before there was a choice
    character_ngram: int = 0
    character_weight: float = 0.0

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
        return self.score(
            [hash_ngrams(text, self.max_ngram, self.script, self.character_ngram) for text in texts]
        )

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
            for kind in divide_kinds(self.is_of_characters):
                part = found[:, np.flatnonzero(kind)]
                scores = part @ self.weights[kind].astype(np.float64)
                norms = np.sqrt(part @ self.idf[kind].astype(np.float64) ** 2)[:, np.newaxis]
                sums += np.divide(scores, norms, out=np.zeros_like(sums), where=norms > 0)
        return sums + self.bias

    @property
    def is_of_characters(self) -> Mask:
        """Which n-grams are character n-grams, shape (n-grams,), dtype bool."""
        return _find_characters(self.hashes, self.character_ngram)


def _find_characters(hashes: Hashes, character_ngram: int) -> Mask:
    """Return which of sorted hashes are of character n-grams."""
    is_of_characters = np.zeros(len(hashes), np.bool_)
    if character_ngram:
        is_of_characters[locate_characters(hashes)] = True
    return is_of_characters


def divide_kinds(is_of_characters: Mask) -> list[Mask]:
    """Return which n-grams are word n-grams, and if there are others, which are character n-grams.

    Args:
        is_of_characters: Which are character n-grams, shape (n-grams,), dtype bool.

    """
    return [~is_of_characters, is_of_characters][: 1 + int(is_of_characters.any())]


def fit_ngram_model(
    reviews: Sequence[Hashes],
    codes: npt.NDArray[np.integer],
    n_labels: int,
    parameters: NgramsParameters,
    *,
    script: Script = "auto",
    label_weights: npt.NDArray[np.float64] | None = None,
) -> NgramModel:
    """Fit one model with the weight of the character n-grams that `default_weight` returns.

    Arguments, result and errors are those of `fit_ngram_models`.
    """
    weight = default_weight(parameters)
    (model,) = fit_ngram_models(
        reviews, codes, n_labels, parameters, [weight], script=script, label_weights=label_weights
    )
    return model


def default_weight(parameters: NgramsParameters) -> float:
    """Return the given weight of the character n-grams, or 0.5 if it is to be chosen."""
    given = parameters.character_weight
    return DEFAULT_CHARACTER_WEIGHT if given == "auto" else given


def fit_ngram_models(
    reviews: Sequence[Hashes],
    codes: npt.NDArray[np.integer],
    n_labels: int,
    parameters: NgramsParameters,
    character_weights: Sequence[float],
    *,
    script: Script = "auto",
    label_weights: npt.NDArray[np.float64] | None = None,
) -> list[NgramModel]:
    """Fit logistic regression to TF-IDF of n-grams, scaled by naive Bayes log-count ratios.

    An n-gram counts once per review. With more than two labels, one such model is fitted per label,
    against all others.

    Args:
        reviews: Hashes of the n-grams of each review, from `hash_ngrams`.
        codes: Code of the label of each review, shape (reviews,); each label must occur.
        n_labels: Number of labels, C; 2 or more.
        parameters: Length, frequency and number of the n-grams, and the strength of the
            regularisation.
        character_weights: For each model, the norm of a review's TF-IDF vector of character
            n-grams, where that of its word n-grams has a norm of 1; 0 for a model without character
            n-grams.
        script: How the texts were cut into words.
        label_weights: Weight of each label in the loss, shape (labels,); None for equal weights.

    Returns:
        A fitted model for each of `character_weights`.

    Raises:
        InputError: No word n-gram occurs in enough reviews.

    """
    from scipy import sparse
    from sklearn.linear_model import LogisticRegression

    hashes, counts = _find_frequent(reviews, parameters)
    found = _indicate(reviews, hashes)
    idf = 1 + np.log((1 + len(reviews)) / (1 + counts))  # as in scikit-learn
    is_of_characters = _find_characters(hashes, parameters.character_ngram)
    kinds = divide_kinds(is_of_characters)
    tf_idf = _compute_tf_idf(found, idf, kinds)
    row_weights = None if label_weights is None else label_weights[codes]
    # Coordinate descent on the dual problem is the fastest for so many features. The tolerance is
    # wider than the default, which takes twice the time for log losses that differ by 0.00002.
    regression = LogisticRegression(
        C=parameters.inverse_regularisation,
        solver="liblinear",
        dual=True,
        tol=TOLERANCE,
        max_iter=1000,
        random_state=0,
    )

    def fit(character_weight: float) -> NgramModel:
        factors = np.where(is_of_characters, character_weight, 1.0)
        coefficients, bias = [], []
        for code in [1] if n_labels == 2 else range(n_labels):  # noqa: PLR2004
            scale = factors * _compute_ratios(found, kinds, codes == code)
            scaled = sparse.csr_array(
                (tf_idf * scale[found.indices], found.indices, found.indptr), shape=found.shape
            )
            if not character_weight and len(kinds) > 1:
                scaled = scaled.copy()
                scaled.eliminate_zeros()
            regression.fit(scaled, codes == code, row_weights)
            coefficients.append(scale * regression.coef_[0])
            bias.append(regression.intercept_[0])
        is_known = factors > 0
        weights = idf[:, np.newaxis] * np.stack(coefficients, axis=1)
        return NgramModel(
            parameters.max_ngram,
            hashes[is_known],
            idf[is_known].astype(np.float32),
            weights[is_known].astype(np.float32),
            np.array(bias, np.float32),
            script,
            parameters.character_ngram if character_weight else 0,
            character_weight,
        )

    # If no character n-gram is frequent enough, all models are the same.
    effective = [weight if len(kinds) > 1 else 0.0 for weight in character_weights]
    models = {weight: fit(weight) for weight in dict.fromkeys(effective)}
    return [models[weight] for weight in effective]


def _find_frequent(
    reviews: Sequence[Hashes], parameters: NgramsParameters
) -> tuple[Hashes, npt.NDArray[np.intp]]:
    """Return the sorted hashes of frequent n-grams and how many reviews have each."""
    hashes, counts = np.unique(np.concatenate(reviews), return_counts=True)
    kept = []
    for kind in divide_kinds(_find_characters(hashes, parameters.character_ngram)):
        places = np.flatnonzero(kind & (counts >= parameters.min_document_frequency))
        by_count = np.argsort(-counts[places], kind="stable")
        kept.append(places[by_count[: parameters.max_features]])
    if not len(kept[0]):
        raise InputError(
            "no word n-gram occurs in enough reviews: lower training.ngrams.min_document_frequency"
        )
    columns = np.sort(np.concatenate(kept))
    return hashes[columns], counts[columns]


def _compute_tf_idf(
    found: SparseArray, idf: npt.NDArray[np.float64], kinds: Sequence[Mask]
) -> npt.NDArray[np.float64]:
    """Return the TF-IDF of each 1 in `found`, shape (ones,); a norm of 1 for each kind."""
    tf_idf: npt.NDArray[np.float64] = idf[found.indices]
    row_sizes = np.diff(found.indptr)
    for kind in kinds:
        norms = np.repeat(np.sqrt(found @ np.where(kind, idf**2, 0)), row_sizes)
        np.divide(tf_idf, norms, out=tf_idf, where=kind[found.indices])
    return tf_idf


def _compute_ratios(
    found: SparseArray, kinds: Sequence[Mask], has_label: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Return by how much more often a label uses each n-gram than others, or less often.

    Args:
        found: 1 where a review has an n-gram, shape (reviews, n-grams).
        kinds: From `divide_kinds`.
        has_label: Whether a review has the label, shape (reviews,).

    Returns:
        Magnitude of the log-count ratio of each n-gram, plus the mean magnitude of its kind, shape
        (n-grams,).

    """
    counts = [
        2 * PSEUDO_COUNT * rows.mean() + rows.astype(np.float64) @ found
        for rows in (has_label, ~has_label)
    ]
    ratios = np.zeros(found.shape[1])
    for kind in kinds:
        with_label, without = (some[kind] / some[kind].sum() for some in counts)
        log_ratios = np.abs(np.log(with_label / without))  # their signs make no difference
        ratios[kind] = log_ratios + log_ratios.mean()
    return ratios


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
