"""The output of the network as one probability per label, and the rule that chooses a label."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from imdb_sentiment.evaluation.logits import to_logits, to_probabilities

REASON_COLUMN = "not_predicted_because"


def expand_probabilities(output: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return one column per label, from the network's single sigmoid unit or its softmax.

    Args:
        output: Output of the network: shape (reviews, 1), the probability of the second of two
            labels, or (reviews, labels).

    Returns:
        Array of shape (reviews, labels), dtype float64; each row sums to 1.

    """
    probabilities = output.astype(np.float64)
    if probabilities.shape[1] == 1:
        return np.concatenate([1 - probabilities, probabilities], axis=1)
    total: npt.NDArray[np.float64] = probabilities.sum(axis=1, keepdims=True)
    return probabilities / total


def calibrate_baseline(
    probabilities: npt.NDArray[np.float64],
    label_weights: npt.NDArray[np.float64],
    temperature: float,
) -> npt.NDArray[np.float64]:
    """Return probabilities without the effect of the weights of the labels, at a temperature.

    Args:
        probabilities: Probability of each label, shape (reviews, labels).
        label_weights: Weight of each label in the loss, shape (labels,).
        temperature: Number that the logits are divided by afterwards.

    """
    products = probabilities / label_weights
    undone: npt.NDArray[np.float64] = products / products.sum(axis=1, keepdims=True)
    return undone if temperature == 1 else to_probabilities(to_logits(undone) / temperature)


@dataclass(frozen=True)
class DecisionRule:
    """How probabilities become a label, or no answer.

    Attributes:
        weights: Weight of each label, shape (labels,), by which its probability is multiplied;
            equal ones where no label is preferred.
        is_median: Whether to predict the median of the ordered labels, instead of the most probable
            one: the first label at which the cumulative probability is at least a half. Its
            expected distance from the true label is the smallest.
        min_confidence: Confidence (see `measure_confidence`) below which there is no answer.

    """

    weights: npt.NDArray[np.float64]
    is_median: bool = False
    min_confidence: float = 0.0

    @classmethod
    def argmax(cls, n_labels: int) -> Self:
        """Return the rule that always predicts the most probable label."""
        return cls(np.ones(n_labels))

    @classmethod
    def from_json(cls, decision: Mapping[str, Any], labels: Sequence[str]) -> Self:
        """Return the rule that JSON values describe.

        Args:
            decision: `label_weights`, by the names of the labels, and perhaps `is_median` and
                `min_confidence`.
            labels: Names of the labels in the order of their codes.

        """
        weights = np.array([decision["label_weights"][label] for label in labels])
        return cls(weights, bool(decision.get("is_median")), decision.get("min_confidence", 0.0))

    def choose(self, probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
        """Return the codes of the predicted labels, shape (reviews,).

        Args:
            probabilities: Probability of each label, shape (reviews, labels). A row of NaN, where
                there is no prediction, has the code 0.

        """
        products = probabilities * self.weights
        codes: npt.NDArray[np.intp] = products.argmax(axis=1)
        if self.is_median:
            reached = products.cumsum(axis=1)
            codes = (reached < reached[:, -1:] / 2).sum(axis=1)
        return codes

    def measure_confidence(self, probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the confidence of each decision: the share of the predicted label.

        It is the product of its probability and weight, divided by the sum of these products. With
        equal weights it is the probability.

        Args:
            probabilities: Probability of each label, shape (reviews, labels).

        Returns:
            Shares, shape (reviews,); NaN where the probabilities are.

        """
        products = probabilities * self.weights
        chosen = products[np.arange(len(products)), self.choose(probabilities)]
        shares: npt.NDArray[np.float64] = chosen / products.sum(axis=1)
        return shares


def prediction_columns(labels: Sequence[str]) -> list[str]:
    """Return the names of the columns that hold a prediction."""
    return ["predicted_sentiment", "probability", *(f"probability_{label}" for label in labels)]
