"""How well probabilities are calibrated."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Probabilities = npt.NDArray[np.float64]

MAX_NUMBERS = 20_000_000  # random numbers of a simulation


@dataclass(frozen=True)
class Calibration:
    """Accuracy of the most probable label by its probability, the confidence.

    Attributes:
        confidence: Mean confidence in each bin that is not empty, shape (bins,).
        accuracy: Share of right predictions in each of these bins, shape (bins,).
        count: Number of predictions in each of these bins, shape (bins,).
        error: Expected calibration error: the mean difference between confidence and accuracy,
            weighted by count.

    """

    confidence: npt.NDArray[np.float64]
    accuracy: npt.NDArray[np.float64]
    count: npt.NDArray[np.intp]
    error: float


def measure_calibration(
    probabilities: Probabilities, codes: npt.NDArray[np.integer], bins: int
) -> Calibration:
    """Compare confidence and accuracy in bins of equal width.

    See Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.

    Args:
        probabilities: Probability of each label, shape (reviews, labels).
        codes: Codes of the true labels, shape (reviews,).
        bins: Number of bins between 1 / labels, the lowest possible confidence, and 1.

    """
    confidence, bin_of = _divide_into_bins(probabilities, bins)
    correct = probabilities.argmax(axis=1) == codes
    count = np.bincount(bin_of, minlength=bins)
    filled = count > 0
    mean_confidence = np.bincount(bin_of, confidence, minlength=bins)[filled] / count[filled]
    accuracy = np.bincount(bin_of, correct, minlength=bins)[filled] / count[filled]
    error = float(np.average(np.abs(mean_confidence - accuracy), weights=count[filled]))
    return Calibration(mean_confidence, accuracy, count[filled], error)


def estimate_error_by_chance(
    probabilities: Probabilities, bins: int, *, resamples: int, seed: int
) -> float:
    """Return the mean calibration error of a perfectly calibrated model on as many reviews.

    It is not 0, because a bin of a few reviews is seldom right exactly as often as its confidence
    says. Whether each prediction is right is drawn with its confidence as the probability: the
    consistency resampling of Bröcker and Smith, "Increasing the Reliability of Reliability
    Diagrams", Weather and Forecasting 22 (2007).

    Args:
        probabilities: Probability of each label, shape (reviews, labels).
        bins: Number of bins; see `measure_calibration`.
        resamples: Number of draws; fewer with more than 20,000 reviews, which need fewer.
        seed: Seed of the draws.

    """
    confidence, bin_of = _divide_into_bins(probabilities, bins)
    rng = np.random.default_rng(seed)
    n_draws = min(resamples, max(20, MAX_NUMBERS // len(confidence)))
    gaps = (confidence - (rng.random(len(confidence)) < confidence) for _ in range(n_draws))
    errors = [np.abs(np.bincount(bin_of, gap)).sum() / len(confidence) for gap in gaps]
    return float(np.mean(errors))


def _divide_into_bins(
    probabilities: Probabilities, bins: int
) -> tuple[Probabilities, npt.NDArray[np.intp]]:
    """Return the confidence of each prediction, and the number of its bin."""
    confidence: Probabilities = probabilities.max(axis=1)
    lowest = 1 / probabilities.shape[1]
    bin_of = ((confidence - lowest) / (1 - lowest) * bins).astype(np.intp).clip(0, bins - 1)
    return confidence, bin_of
