"""Logits, the scores from minus to plus infinity that models give labels, and probabilities."""

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float64]

MIN_PROBABILITY = 1e-12  # smaller probabilities are raised to it before a logarithm is taken


def list_outputs(n_labels: int) -> range:
    """Return the codes of the labels that have a logit: of two labels, only the second."""
    return range(1, 2) if n_labels == 2 else range(n_labels)  # noqa: PLR2004


def count_outputs(n_labels: int) -> int:
    """Return the number of logits per review: 1 for two labels, otherwise one per label."""
    return len(list_outputs(n_labels))


def to_logits(probabilities: npt.NDArray[np.float64]) -> Logits:
    """Return the logits of probabilities.

    Args:
        probabilities: Probability of every label, shape (reviews, labels).

    Returns:
        With two labels, the log-odds of the second, shape (reviews, 1); otherwise the logarithms of
        the probabilities, shape (reviews, labels).

    """
    logarithms: Logits = np.log(probabilities.clip(MIN_PROBABILITY))
    return logarithms[:, 1:] - logarithms[:, :1] if probabilities.shape[1] == 2 else logarithms  # noqa: PLR2004


def to_probabilities(logits: Logits) -> npt.NDArray[np.float64]:
    """Return the probability of every label, shape (reviews, labels): undo `to_logits`."""
    from scipy.special import softmax

    probabilities: npt.NDArray[np.float64] = softmax(expand_logits(logits), axis=1)
    return probabilities


def expand_logits(logits: Logits) -> Logits:
    """Return one logit per label: for a single output, that of the first label is 0."""
    if logits.shape[1] > 1:
        return logits
    return np.hstack([np.zeros_like(logits), logits])
