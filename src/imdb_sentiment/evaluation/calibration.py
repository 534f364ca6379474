"""How honest probabilities are, and how a temperature makes them so."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.optimize
import scipy.special
from sklearn.metrics import log_loss

Probabilities = npt.NDArray[np.float64]

TEMPERATURE = "temperature"  # under this name a trial keeps its own
LEAST_PROBABILITY = 1e-12  # what a probability of 0 counts as where its logarithm is taken
TEMPERATURES = (0.05, 20.0)  # the search for the best one stays between them


@dataclass(frozen=True)
class Calibration:
    """How often predictions are right, by how sure they were.

    Attributes:
        confidence: Mean probability of the predicted label in each bin that has any, shape (bins,).
        accuracy: Share of right predictions in it.
        count: Number of predictions in it.
        error: Expected calibration error: the mean distance between the two, by count.

    """

    confidence: npt.NDArray[np.float64]
    accuracy: npt.NDArray[np.float64]
    count: npt.NDArray[np.intp]
    error: float


def measure_calibration(
    probabilities: Probabilities, codes: npt.NDArray[np.integer], bins: int
) -> Calibration:
    """Compare confidence and accuracy, after Guo et al., "On Calibration of …", ICML 2017.

    Args:
        probabilities: Of each label, shape (reviews, labels).
        codes: The right labels, shape (reviews,).
        bins: Of equal width, between the least confidence there can be and 1.

    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == codes
    least = 1 / probabilities.shape[1]
    places = ((confidence - least) / (1 - least) * bins).astype(np.intp).clip(0, bins - 1)
    count = np.bincount(places, minlength=bins)
    filled = count > 0
    mean_confidence = np.bincount(places, confidence, minlength=bins)[filled] / count[filled]
    accuracy = np.bincount(places, correct, minlength=bins)[filled] / count[filled]
    error = float(np.average(np.abs(mean_confidence - accuracy), weights=count[filled]))
    return Calibration(mean_confidence, accuracy, count[filled], error)


def apply_temperature(probabilities: Probabilities, temperature: float) -> Probabilities:
    """Divide the logits by a temperature: above 1 it makes a network less sure.

    Args:
        probabilities: Of each label, shape (reviews, labels).
        temperature: Above 0.

    Returns:
        Array of the same shape; each row sums to 1.

    """
    logits = np.log(probabilities.clip(LEAST_PROBABILITY)) / temperature
    scaled: Probabilities = scipy.special.softmax(logits, axis=1)
    return scaled


def fit_temperature(probabilities: Probabilities, codes: npt.NDArray[np.integer]) -> float:
    """Return the temperature that makes the right labels most probable (Guo et al., 2017).

    Args:
        probabilities: Of each label, of reviews that the network has not learnt from, shape
            (reviews, labels).
        codes: The right labels, shape (reviews,).

    """
    labels = np.arange(probabilities.shape[1])

    def loss(logarithm: float) -> float:
        scaled = apply_temperature(probabilities, float(np.exp(logarithm)))
        return float(log_loss(codes, scaled, labels=labels))

    found = scipy.optimize.minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded")
    return float(np.exp(found.x))
