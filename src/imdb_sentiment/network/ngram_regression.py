"""How the linear model of n-grams is fitted.

After Wang and Manning, "Baselines and Bigrams: Simple, Good Sentiment and Topic Classification"
(ACL 2012), with TF-IDF instead of indicators and logistic regression instead of their support
vector machine. They interpolate between the fitted weights and their mean magnitude; here, the mean
magnitude of the ratios is added to the magnitude of each, so that n-grams with a ratio near 0
count, too. Character n-grams are what inflected, compound and misspelt words have in common with
others.

Unlabelled reviews say which n-grams occur in similar reviews, so that a weight learnt for one
counts for the others: the regression also reads the reviews' coordinates in latent semantic
analysis (Deerwester et al., "Indexing by Latent Semantic Analysis", Journal of the American Society
for Information Science 41, 1990). These are linear in the TF-IDF vector, so in the fitted model,
they become part of the weights of the n-grams. Where other models predict labels for the unlabelled
reviews, the regression can learn those instead.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.decisions import compute_label_weights
from imdb_sentiment.evaluation.logits import list_outputs
from imdb_sentiment.network.ngrams import (
    ROWS_AT_A_TIME,
    Mask,
    NgramModel,
    SparseArray,
    find_characters,
    indicate,
    split_word_and_character_ngrams,
)
from imdb_sentiment.parameters import ClassWeight, NgramsParameters
from imdb_sentiment.text.encoded_reviews import EncodedReviews, join_codes
from imdb_sentiment.text.ngrams import CHARACTER_RANGE, Hashes
from imdb_sentiment.text.words import Script

logger = logging.getLogger(__name__)

# Pseudo-count of the reviews with an n-gram, for a label with half of all reviews. For other labels
# it is proportional to their share, so that n-grams that a rare label lacks have no high ratio.
PSEUDO_COUNT = 1.0
TOLERANCE = 0.01  # tolerance of the logistic regression
# N-grams are counted in ranges of their hashes, which begin here (the first one has no beginning).
# Those of characters would nearly all fall into one range, so theirs is divided, too.
RANGE_STARTS = np.sort(
    np.concatenate([np.arange(-3, 4) * 2**61, np.linspace(*CHARACTER_RANGE, 9, dtype=np.int64)])
)

# Settings of the latent semantic analysis.
MAX_LATENT_NGRAMS = 100_000  # maximum number of word n-grams, and of character n-grams
POWER_ITERATIONS = 2  # of the randomized SVD
MIN_NORM = 1e-9  # avoids a division by 0

# Weight of a review with pseudo-labels in the regression, where that of a labelled one is 1.
PSEUDO_LABEL_WEIGHT = 0.3
# A regression on pseudo-labels ends with a step that lowers its loss by less than this share. With
# a hundredth of it, it takes twice the time for log losses that differ by 0.0002.
MIN_DECREASE = 1e-5

# Candidates for the norm of a review's TF-IDF vector of character n-grams, where that of its word
# n-grams is 1. The more and the longer the reviews are, the less the character n-grams add.
CHARACTER_WEIGHTS = (0.0, 0.5, 1.0)
DEFAULT_CHARACTER_WEIGHT = 0.5  # if the candidates can't be compared
# Candidates for the mean norm of the reviews' latent coordinates, where that of their scaled TF-IDF
# vectors is 1. The fewer reviews are labelled, the more the unlabelled ones add.
LATENT_WEIGHTS = (0.5, 1.0, 2.0)
DEFAULT_LATENT_WEIGHT = 1.0


@dataclass(frozen=True)
class NgramWeights:
    """How much the parts of a review count in the regression.

    Attributes:
        character: Norm of its TF-IDF vector of character n-grams, where that of its word n-grams is
            1; 0 for a model without them.
        latent: Mean norm of the reviews' latent coordinates, where that of their scaled TF-IDF
            vectors is 1; 0 for a model without them.

    """

    character: float
    latent: float = 0.0


@dataclass(frozen=True)
class PseudoLabelled:
    """Unlabelled reviews with labels that other models have predicted.

    Attributes:
        reviews: Hashes of the n-grams of each review, from `hash_ngrams`.
        probabilities: Probability of each label, float64 of shape (reviews, labels).

    """

    reviews: Sequence[Hashes]
    probabilities: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.reviews)


def fit_ngram_model(
    reviews: Sequence[Hashes],
    codes: npt.NDArray[np.integer],
    n_labels: int,
    parameters: NgramsParameters,
    *,
    script: Script = "auto",
) -> NgramModel:
    """Fit a model to labelled reviews alone, with the weights that `default_weights` returns.

    Arguments and errors are those of `NgramRegression`.
    """
    regression = NgramRegression(reviews, codes, n_labels, parameters, script=script)
    return regression.fit(default_weights(parameters))


def default_weights(parameters: NgramsParameters) -> NgramWeights:
    """Return the weights to use if none are chosen on held-out reviews."""
    given = parameters.character_weight
    return NgramWeights(
        DEFAULT_CHARACTER_WEIGHT if given == "auto" else given, DEFAULT_LATENT_WEIGHT
    )


@dataclass(frozen=True)
class _Latent:
    """Latent coordinates of the n-grams, and those of the reviews: their sums, weighted by TF-IDF.

    Attributes:
        columns: Columns of the n-grams that have coordinates, shape (known,), dtype int64.
        basis: Coordinates of these n-grams, shape (known, dimensions), dtype float32.
        coordinates: Coordinates of the reviews, shape (reviews, dimensions), a sparse array.
        norm: Mean norm of the reviews' coordinates.

    """

    columns: npt.NDArray[np.intp]
    basis: npt.NDArray[np.float32]
    coordinates: SparseArray
    norm: float


class NgramRegression:
    """Logistic regression on TF-IDF of n-grams, scaled by naive Bayes log-count ratios.

    An n-gram counts once per review. With more than two labels, one such model is fitted per label,
    against all others.

    Args:
        reviews: Hashes of the n-grams of each review, from `hash_ngrams`.
        codes: Code of the label of each review, shape (reviews,); each label must occur.
        n_labels: Number of labels, C; 2 or more.
        parameters: Length, frequency and number of the n-grams, number of latent dimensions, and
            the strength of the regularisation.
        unlabelled: Hashes of the n-grams of each unlabelled review; none for a model without latent
            coordinates.
        pseudo_labelled: Further reviews to learn from; None for none.
        script: Rule by which the texts were cut into words.
        label_weights: Weight of each label in the loss, shape (labels,); None for equal weights.

    Raises:
        InputError: No word n-gram occurs in enough reviews to learn from.

    """

    def __init__(
        self,
        reviews: Sequence[Hashes],
        codes: npt.NDArray[np.integer],
        n_labels: int,
        parameters: NgramsParameters,
        *,
        unlabelled: Sequence[Hashes] = (),
        pseudo_labelled: PseudoLabelled | None = None,
        script: Script = "auto",
        label_weights: npt.NDArray[np.float64] | None = None,
    ) -> None:
        self._parameters = parameters
        self._script = script
        self._outputs = list_outputs(n_labels)
        self._label_weights = np.ones(n_labels) if label_weights is None else label_weights
        self._codes = codes
        self._unlabelled = unlabelled
        self._pseudo_labels = np.zeros((0, n_labels))
        if pseudo_labelled:
            reviews = [*reviews, *pseudo_labelled.reviews]
            self._pseudo_labels = PSEUDO_LABEL_WEIGHT * pseudo_labelled.probabilities
        hashes, counts = _count_reviews(reviews, parameters.min_document_frequency)
        columns = _find_most_frequent(hashes, counts, parameters, parameters.max_features)
        self._hashes, counts = hashes[columns], counts[columns]
        latent_hashes = self._hashes[:0]
        if unlabelled:
            known, known_counts = _count_reviews(
                [*reviews, *unlabelled], parameters.min_document_frequency
            )
            limit = min(parameters.max_features, MAX_LATENT_NGRAMS)
            latent_hashes = known[_find_most_frequent(known, known_counts, parameters, limit)]
            self._hashes = np.union1d(self._hashes, latent_hashes)
            counts = known_counts[np.searchsorted(known, self._hashes)]
        self._latent_columns = np.searchsorted(self._hashes, latent_hashes)
        n_reviews = len(reviews) + len(unlabelled)
        self._idf = 1 + np.log((1 + n_reviews) / (1 + counts))  # as in scikit-learn
        self._is_character_ngram = find_characters(self._hashes, parameters.character_ngram)
        self._kinds = split_word_and_character_ngrams(self._is_character_ngram)
        self._tf_idf = _TfIdf(reviews, self._hashes, self._idf, self._is_character_ngram)
        self._latent: dict[float, _Latent] = {}  # by the weight of the character n-grams

    def drop_absent(self, weights: NgramWeights) -> NgramWeights:
        """Return the weights without that of a part that the reviews do not have."""
        return NgramWeights(
            weights.character if len(self._kinds) > 1 else 0.0,
            weights.latent if self._unlabelled else 0.0,
        )

    def fit(self, weights: NgramWeights) -> NgramModel:
        """Fit a model; the weight of a part that the reviews do not have has no effect."""
        weights = self.drop_absent(weights)
        factors = np.where(self._is_character_ngram, weights.character, 1.0)  # (n-grams,)
        latent = None
        if weights.latent:
            if weights.character not in self._latent:
                self._latent[weights.character] = self._analyse(factors)
            latent = self._latent[weights.character]
        is_known = factors > 0
        per_ngram = np.empty((np.count_nonzero(is_known), len(self._outputs)), np.float32)
        biases = np.empty(len(self._outputs), np.float32)
        for number, code in enumerate(self._outputs):
            coefficients, biases[number] = self._fit_label(code, factors, latent, weights.latent)
            per_ngram[:, number] = (self._idf * coefficients)[is_known]
        return NgramModel(
            self._parameters.max_ngram,
            self._hashes[is_known],
            self._idf[is_known].astype(np.float32),
            per_ngram,
            biases,
            self._script,
            self._parameters.character_ngram if weights.character else 0,
            weights.character,
            weights.latent,
            len(self._unlabelled) if weights.latent else len(self._pseudo_labels),
        )

    def _fit_label(
        self,
        code: int,
        factors: npt.NDArray[np.float64],
        latent: _Latent | None,
        latent_weight: float,
    ) -> tuple[npt.NDArray[np.float64], float]:
        """Fit the regression of one label.

        Args:
            code: Code of the label.
            factors: Factor of each n-gram in the reviews' vectors, shape (n-grams,).
            latent: Latent coordinates; None for none.
            latent_weight: Weight of the latent coordinates; see `NgramWeights`.

        Returns:
            Coefficient of each n-gram in a TF-IDF vector, shape (n-grams,), and the intercept.

        """
        from scipy import sparse

        scale = factors * self._compute_ratios(code)
        features = self._tf_idf.multiply(scale)
        if latent is None:
            coefficients, bias = self._regress(code, features)
            return scale * coefficients, bias
        factor = latent_weight * _measure_norm(features) / max(latent.norm, MIN_NORM)
        both = sparse.hstack([features, factor * latent.coordinates], format="csr")
        coefficients, bias = self._regress(code, both)
        own, shared = np.split(coefficients, [len(scale)])
        own *= scale
        with threadpool_limits(1, user_api="blas"):  # the same bits for any number of cores
            own[latent.columns] += latent.basis @ (factor * shared).astype(np.float32)
        return own, bias

    def _regress(self, code: int, features: SparseArray) -> tuple[npt.NDArray[np.float64], float]:
        """Return the coefficients of the features, and the intercept."""
        from sklearn.linear_model import LogisticRegression

        positive, negative = self._weigh_answers(code, self._label_weights)
        if len(self._pseudo_labels):
            return _regress_on_probabilities(
                features, positive, negative, self._parameters.inverse_regularisation
            )
        # Coordinate descent on the dual problem is the fastest for so many features. The tolerance
        # is wider than the default, which takes twice the time for log losses that differ by
        # 0.00002.
        regression = LogisticRegression(
            C=self._parameters.inverse_regularisation,
            solver="liblinear",
            dual=True,
            tol=TOLERANCE,
            max_iter=1000,
            random_state=0,
        )
        regression.fit(features, positive > negative, np.maximum(positive, negative))
        return regression.coef_[0], float(regression.intercept_[0])

    def _weigh_answers(
        self, code: int, label_weights: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return how much each review counts as one with the label, and as one without it.

        Both arrays have the shape (reviews,).
        """
        has_label = self._codes == code
        own = label_weights[self._codes]
        of_label = label_weights[code] * self._pseudo_labels[:, code]
        of_others = self._pseudo_labels @ label_weights - of_label
        return (
            np.concatenate([np.where(has_label, own, 0.0), of_label]),
            np.concatenate([np.where(has_label, 0.0, own), of_others]),
        )

    def _compute_ratios(self, code: int) -> npt.NDArray[np.float64]:
        answers = self._weigh_answers(code, np.ones_like(self._label_weights))
        return _compute_ratios(self._tf_idf.found, self._kinds, *answers)

    def _analyse(self, factors: npt.NDArray[np.float64]) -> _Latent:
        """Find the latent coordinates of the most frequent n-grams, and of the reviews.

        The vectors are scaled by the labels' mean naive Bayes ratios, too: otherwise, the first
        dimensions would be the topics of the reviews, whatever the labels are.

        Args:
            factors: Factor of each n-gram in the reviews' vectors, shape (n-grams,).

        """
        from scipy import sparse
        from sklearn.utils.extmath import randomized_svd

        ratios = np.zeros(len(self._hashes))
        for code in self._outputs:
            ratios += self._compute_ratios(code) / len(self._outputs)
        scale = factors * ratios
        columns = self._latent_columns[factors[self._latent_columns] > 0]
        unlabelled = _TfIdf(self._unlabelled, self._hashes, self._idf, self._is_character_ngram)
        own, others = (
            some.multiply(scale).astype(np.float32)[:, columns]
            for some in (self._tf_idf, unlabelled)
        )
        vectors = sparse.vstack([own, others], format="csr")
        size = min(self._parameters.latent_dimensions, *vectors.shape)
        # More threads gain nothing: nearly all of the time goes to sparse products, which have one.
        with threadpool_limits(1, user_api="blas"):
            _, _, directions = randomized_svd(
                vectors,
                size,
                n_iter=POWER_ITERATIONS,
                power_iteration_normalizer="QR",  # float32 needs it
                random_state=0,
            )
        basis = scale[columns, np.newaxis].astype(np.float32) * directions.T
        coordinates = sparse.csr_array(own @ directions.T)
        return _Latent(columns, basis, coordinates, _measure_norm(coordinates))


def regress_on(
    sets: Sequence[EncodedReviews],
    *,
    hashes: Mapping[int, Hashes],
    parameters: NgramsParameters,
    class_weight: ClassWeight,
    script: Script,
    unlabelled: Sequence[Hashes] = (),
    pseudo_labelled: PseudoLabelled | None = None,
) -> NgramRegression:
    """Return the regression on the reviews of some sets.

    Args:
        sets: Reviews to learn from, with the same labels.
        hashes: Hashes of the n-grams of each labelled review, by its row.
        parameters: Argument of `NgramRegression`.
        class_weight: Weight of each label in the loss.
        script: Argument of `NgramRegression`.
        unlabelled: Argument of `NgramRegression`.
        pseudo_labelled: Argument of `NgramRegression`.

    Raises:
        InputError: As for `NgramRegression`.

    """
    codes, labels = join_codes(sets), sets[0].labels
    return NgramRegression(
        [hashes[row] for reviews in sets for row in reviews.rows],
        codes,
        len(labels),
        parameters,
        unlabelled=unlabelled,
        pseudo_labelled=pseudo_labelled,
        script=script,
        label_weights=compute_label_weights(class_weight, codes, labels),
    )


def _count_reviews(reviews: Sequence[Hashes], minimum: int) -> tuple[Hashes, npt.NDArray[np.intp]]:
    """Return the sorted hashes of the n-grams of at least `minimum` reviews, and of how many.

    They are counted range by range, since a copy of all of them may take hundreds of megabytes. The
    hashes of each review have to be sorted.
    """
    ends = np.array([len(review) for review in reviews])
    cuts = np.stack([review.searchsorted(RANGE_STARTS) for review in reviews])
    bounds = np.column_stack([np.zeros_like(ends), cuts, ends])  # (reviews, ranges + 1)
    found = []
    for starts, stops in pairwise(bounds.T):
        parts = map(slice, starts, stops)
        inside = [review[part] for review, part in zip(reviews, parts, strict=True)]
        found.append(_count_hashes(np.concatenate(inside), minimum))
    hashes, counts = map(np.concatenate, zip(*found, strict=True))
    return hashes, counts


def _count_hashes(hashes: Hashes, minimum: int) -> tuple[Hashes, npt.NDArray[np.intp]]:
    """Return the sorted hashes that occur at least `minimum` times, and how often each does."""
    hashes.sort()  # in place, where np.unique would copy them
    # Most n-grams are rare, so those are left out before anything else is allocated.
    starts = hashes[: max(len(hashes) - minimum + 1, 0)]
    is_kept = starts == hashes[minimum - 1 :]
    is_kept[1:] &= starts[1:] != starts[:-1]
    places = np.flatnonzero(is_kept)
    kept = hashes[places]
    return kept, np.searchsorted(hashes, kept, side="right") - places


def _find_most_frequent(
    hashes: Hashes, counts: npt.NDArray[np.intp], parameters: NgramsParameters, limit: int
) -> npt.NDArray[np.intp]:
    """Return the places, sorted, of the most frequent n-grams, at most `limit` of each kind.

    Raises:
        InputError: There is no word n-gram.

    """
    kept = []
    for kind in split_word_and_character_ngrams(
        find_characters(hashes, parameters.character_ngram)
    ):
        places = np.flatnonzero(kind)
        by_count = np.argsort(-counts[places], kind="stable")
        kept.append(places[by_count[:limit]])
    if not len(kept[0]):
        raise InputError(
            "no word n-gram occurs in enough reviews: lower training.ngrams.min_document_frequency"
        )
    return np.sort(np.concatenate(kept))


def _split_rows(found: SparseArray) -> Iterator[tuple[slice, SparseArray]]:
    """Yield the rows of `found` in portions.

    A product with all rows at once would convert their data to float64, of eight times the size.
    """
    for start in range(0, found.shape[0], ROWS_AT_A_TIME):
        rows = slice(start, start + ROWS_AT_A_TIME)
        yield rows, found[rows]


class _TfIdf:
    """TF-IDF vectors of reviews: one of their word and one of their character n-grams.

    They are computed each time, as they would take 8 more bytes where `found` takes 5.

    Args:
        reviews: Hashes of the n-grams of each review.
        hashes: Hash of each n-gram that has a column, sorted, shape (n-grams,).
        idf: Inverse document frequency of each n-gram, shape (n-grams,).
        is_character_ngram: Mask of the character n-grams, shape (n-grams,).

    Attributes:
        found: 1 where a review has an n-gram, int8 of shape (reviews, n-grams).

    """

    def __init__(
        self,
        reviews: Sequence[Hashes],
        hashes: Hashes,
        idf: npt.NDArray[np.float64],
        is_character_ngram: Mask,
    ) -> None:
        self.found = indicate(reviews, hashes)
        self._idf = idf
        self._is_character_ngram = is_character_ngram
        kinds = np.stack([~is_character_ngram, is_character_ngram], axis=1)
        squares = np.where(kinds, idf[:, np.newaxis] ** 2, 0)  # (n-grams, 2)
        self._norms = np.zeros((len(reviews), 2))  # of the words and of the characters
        for rows, part in _split_rows(self.found):
            self._norms[rows] = np.sqrt(part @ squares)

    def multiply(self, scale: npt.NDArray[np.float64]) -> SparseArray:
        """Return the vectors, with a norm of 1 for each kind, multiplied by a factor per n-gram.

        Args:
            scale: Factor of each n-gram, shape (n-grams,); n-grams with 0 have no entries.

        Returns:
            Matrix of shape (reviews, n-grams), dtype float64.

        """
        from scipy import sparse

        found = self.found
        is_kept = scale != 0
        if not is_kept.all():
            found = self.found.copy()
            found.data = is_kept[found.indices].astype(np.int8)
            found.eliminate_zeros()
        weights = self._idf * scale
        values = np.empty(found.nnz)
        end = 0
        for rows, part in _split_rows(found):
            lengths = np.diff(part.indptr)
            of_words, of_characters = (np.repeat(norms, lengths) for norms in self._norms[rows].T)
            norms = np.where(self._is_character_ngram[part.indices], of_characters, of_words)
            start, end = end, end + len(norms)
            values[start:end] = weights[part.indices] / norms
        return sparse.csr_array((values, found.indices, found.indptr), found.shape)


def _regress_on_probabilities(
    features: SparseArray,
    positive: npt.NDArray[np.float64],
    negative: npt.NDArray[np.float64],
    inverse_regularisation: float,
) -> tuple[npt.NDArray[np.float64], float]:
    """Fit a logistic regression to rows that may count for both answers.

    scikit-learn's takes one answer per row. For 71,185 reviews of IMDB, with each uncertain one as
    two rows, its solver took 0.7 GiB more than this.

    Args:
        features: Matrix of shape (rows, features), dtype float64.
        positive: How much each row counts as one with the label, shape (rows,).
        negative: How much it counts as one without the label, shape (rows,).
        inverse_regularisation: C of scikit-learn's `LogisticRegression`; as in its solver
            liblinear, the intercept is regularised, too.

    Returns:
        The coefficients, shape (features,), and the intercept.

    """
    from scipy.optimize import minimize
    from scipy.special import expit

    transposed = features.T

    def measure(
        coefficients: npt.NDArray[np.float64],
    ) -> tuple[np.float64, npt.NDArray[np.float64]]:
        """Return the loss and its gradient; the last coefficient is the intercept."""
        logits = features @ coefficients[:-1] + coefficients[-1]
        losses = positive @ np.logaddexp(0, -logits) + negative @ np.logaddexp(0, logits)
        residuals = (positive + negative) * expit(logits) - positive
        gradient = np.append(transposed @ residuals, residuals.sum())
        penalty = coefficients / inverse_regularisation
        return losses + penalty @ coefficients / 2, gradient + penalty

    with threadpool_limits(1, user_api="blas"):  # the same bits for any number of cores
        found = minimize(
            measure,
            np.zeros(features.shape[1] + 1),
            jac=True,
            method="L-BFGS-B",
            options={"ftol": MIN_DECREASE, "gtol": 0.0, "maxiter": 1000},
        )
    if not found.success:
        logger.warning("The n-grams may have learnt the pseudo-labels badly: %s", found.message)
    return found.x[:-1], float(found.x[-1])


def _measure_norm(features: SparseArray) -> float:
    """Return the mean norm of the rows."""
    return float(np.sqrt(features.multiply(features).sum(axis=1)).mean())


def _compute_ratios(
    found: SparseArray,
    kinds: Sequence[Mask],
    with_label: npt.NDArray[np.float64],
    without_label: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Return how much the frequency of each n-gram differs between a label and the others.

    Args:
        found: 1 where a review has an n-gram, shape (reviews, n-grams).
        kinds: Masks from `split_word_and_character_ngrams`.
        with_label: How much each review counts as one with the label, shape (reviews,).
        without_label: How much it counts as one without the label, shape (reviews,).

    Returns:
        Magnitude of the log-count ratio of each n-gram, plus the mean magnitude of its kind, shape
        (n-grams,). The mean is of those n-grams that occur.

    """
    both = np.stack([with_label, without_label])
    counts = sum(both[:, rows] @ part for rows, part in _split_rows(found))
    occurs = counts[0] + counts[1] > 0
    total = with_label.sum() + without_label.sum()
    counts += 2 * PSEUDO_COUNT * both.sum(axis=1, keepdims=True) / total
    ratios = np.zeros(found.shape[1])
    for kind in kinds:
        inside, outside = (some[kind] / some[kind].sum() for some in counts)
        log_ratios = np.abs(np.log(inside / outside))  # their signs make no difference
        ratios[kind] = log_ratios + log_ratios[occurs[kind]].sum() / max(occurs[kind].sum(), 1)
    return ratios
