"""The output of the network as one probability per label, and the names of their columns."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

REASON_COLUMN = "not_predicted_because"


def complete_probabilities(output: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return one column per label, from the network's single sigmoid unit or its softmax.

    Args:
        output: Output of the network: shape (reviews, 1), the probability of the second of two
            labels, or (reviews, labels).

    Returns:
        Array of shape (reviews, labels), dtype float64; each row sums to 1.

    """
    probabilities = output.astype(np.float64)
    if probabilities.shape[1] == 1:
        return np.hstack([1 - probabilities, probabilities])
    total: npt.NDArray[np.float64] = probabilities.sum(axis=1, keepdims=True)
    return probabilities / total


def choose_labels(
    probabilities: npt.NDArray[np.float64], weights: Sequence[float] | npt.NDArray[np.float64]
) -> npt.NDArray[np.intp]:
    """Return the codes of the predicted labels: the largest product of probability and weight.

    Args:
        probabilities: Probability of each label, shape (reviews, labels).
        weights: Weight of each label, shape (labels,); equal ones for the most probable label.

    Returns:
        Codes, shape (reviews,).

    """
    codes: npt.NDArray[np.intp] = (probabilities * np.asarray(weights)).argmax(axis=1)
    return codes


def measure_confidence(
    probabilities: npt.NDArray[np.float64], weights: Sequence[float] | npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return how sure each decision is: the share of the predicted label.

    It is the largest product of probability and weight, divided by the sum of these products. With
    equal weights it is the largest probability.

    Args:
        probabilities: Probability of each label, shape (reviews, labels).
        weights: Weight of each label, shape (labels,).

    Returns:
        Shares, shape (reviews,), between 1 / labels and 1; NaN where the probabilities are.

    """
    products = probabilities * np.asarray(weights)
    shares: npt.NDArray[np.float64] = products.max(axis=1) / products.sum(axis=1)
    return shares


def prediction_columns(labels: Sequence[str]) -> list[str]:
    """Return the names of the columns that hold a prediction."""
    return ["predicted_sentiment", "probability", *(f"probability_{label}" for label in labels)]
