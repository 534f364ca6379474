"""Choice of the weights of the parts of a review in the linear model of n-grams."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from imdb_sentiment.evaluation.logits import Logits
from imdb_sentiment.evaluation.objectives import measure_log_loss
from imdb_sentiment.evaluation.stacking import MIN_HELD_OUT_ROWS, fit_weights
from imdb_sentiment.network.ngram_regression import (
    CHARACTER_WEIGHTS,
    LATENT_WEIGHTS,
    NgramRegression,
    NgramWeights,
    default_weights,
)
from imdb_sentiment.parameters import NgramsParameters
from imdb_sentiment.text.ngrams import Hashes

logger = logging.getLogger(__name__)

# Limits of the factor with few held-out reviews. Between them, it still lowers the log loss of
# other reviews; beyond, it is due to chance: from 12 reviews, it may be so low that the n-grams
# count for nothing.
MIN_FACTOR, MAX_FACTOR = 0.5, 2.0


@dataclass(frozen=True)
class Fold:
    """Reviews to learn from and reviews that are held out.

    Attributes:
        prepare: Function that returns the regression on the reviews to learn from, with or without
            the unlabelled reviews.
        hashes: Hashes of the n-grams of each review that is held out.
        codes: Label codes of the reviews that are held out.

    """

    prepare: Callable[[bool], NgramRegression]
    hashes: Sequence[Hashes]
    codes: npt.NDArray[np.integer]


@dataclass(frozen=True)
class Candidate:
    """Models with the same weights, one per fold, by their evaluation on held-out reviews.

    Attributes:
        weights: Weights of the parts of a review.
        logits: Logits of the held-out reviews of all folds, not calibrated.
        factor: Factor by which the logits are multiplied to calibrate them.
        loss: Log loss of the calibrated logits. With few held-out reviews, it is computed with a
            factor that is not limited to the range of `factor`.

    """

    weights: NgramWeights
    logits: Logits
    factor: float
    loss: float


def choose_ngram_weights(
    folds: Sequence[Fold],
    ngrams: NgramsParameters,
    *,
    has_unlabelled: bool,
    label_weights: npt.NDArray[np.float64] | None,
) -> Candidate:
    """Choose the weights with the lowest log loss on held-out reviews.

    First, models of the labelled reviews alone are compared, then those with the best of their
    weights that learn from unlabelled reviews as well. With few held-out reviews, whose log loss
    would be left to chance, the weights are the defaults, and the factor has limits.

    Args:
        folds: Reviews to learn from and to score.
        ngrams: Says whether the weight of the character n-grams is given.
        has_unlabelled: Whether there are unlabelled reviews.
        label_weights: Weight of each label in the loss of the models, shape (labels,).

    """
    default = default_weights(ngrams)
    if sum(len(fold.codes) for fold in folds) < MIN_HELD_OUT_ROWS:
        only = _find_best(folds, [default], label_weights)
        return replace(only, factor=min(max(only.factor, MIN_FACTOR), MAX_FACTOR))
    is_free = ngrams.character_weight == "auto" and ngrams.character_ngram > 0
    characters = CHARACTER_WEIGHTS if is_free else [default.character]
    of_labelled = [NgramWeights(character) for character in characters]
    best = _find_best(folds, of_labelled, label_weights)
    if not has_unlabelled:
        return best
    of_all = [NgramWeights(best.weights.character, latent) for latent in LATENT_WEIGHTS]
    return min(best, _find_best(folds, of_all, label_weights), key=attrgetter("loss"))


def _find_best(
    folds: Sequence[Fold],
    tried: Sequence[NgramWeights],
    label_weights: npt.NDArray[np.float64] | None,
) -> Candidate:
    """Return the first of the candidates with the lowest log loss."""
    scored: list[list[Logits]] = [[] for _ in tried]  # by weights and fold
    for fold in folds:
        regression = fold.prepare(tried[0].latent > 0)
        found: dict[NgramWeights, Logits] = {}
        for weights, of_folds in zip(tried, scored, strict=True):
            effective = regression.drop_absent(weights)
            if effective not in found:
                found[effective] = regression.fit(effective).score(fold.hashes)
            of_folds.append(found[effective])
    codes = np.concatenate([fold.codes for fold in folds])
    candidates = []
    for weights, of_folds in zip(tried, scored, strict=True):
        logits = np.concatenate(of_folds)
        # The logits of a regularised linear model are too small. Scaled, those of both parts of the
        # average mean the same, and so does their share.
        calibrated = fit_weights(logits, None, codes, None, label_weights)
        probabilities = calibrated.average(logits, np.zeros_like(logits))
        loss = measure_log_loss(codes, probabilities)
        message = "N-grams, weights of characters %g, of latent coordinates %g: log loss %.4f"
        effective = regression.drop_absent(weights)
        logger.debug(message, effective.character, effective.latent, loss)
        factor = calibrated.network  # whose place the n-grams have
        candidates.append(Candidate(weights, logits, factor, loss))
    return min(candidates, key=attrgetter("loss"))
