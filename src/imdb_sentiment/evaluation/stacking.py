"""The weighted average of the network and the linear model of n-grams.

The weights are fitted to held-out reviews, as in Wolpert, "Stacked generalization" (Neural Networks
5, 1992), and are not negative, as in Breiman, "Stacked regressions" (Machine Learning 24, 1996).
Since they need not sum to 1, they also scale the logits, which calibrates the probabilities (Guo et
al., "On Calibration of Modern Neural Networks", ICML 2017).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from imdb_sentiment.evaluation.logits import (
    Logits,
    count_outputs,
    expand_logits,
    to_probabilities,
)
from imdb_sentiment.evaluation.objectives import Metric

MIN_HELD_OUT_ROWS = 100  # with fewer, fitted weights depend too much on chance
MIN_WEIGHT, MAX_WEIGHT = 0.05, 20.0  # minimum of the sum of both weights, maximum of each weight
DEFAULT_SHARE = 0.75  # share of the n-grams if it can't be fitted; with few reviews, they do better


@dataclass(frozen=True)
class HeldOutLogits:
    """Logits of a model for reviews that it was not trained on.

    Attributes:
        rows: Row number of each review in the table, shape (reviews,), dtype int64.
        logits: Shape (reviews, 1) for two labels, the log-odds of the second; otherwise (reviews,
            labels), which need not be normalised. dtype float64.
        unlabelled: Logits of the same kind for unlabelled reviews, evenly chosen from those with
            pseudo-labels, from the model of each fold; empty if there are none.
        factor: Factor by which the logits of the model have been multiplied to calibrate them.

    """

    rows: npt.NDArray[np.int64]
    logits: Logits
    unlabelled: Sequence[Logits] = ()
    factor: float = 1.0

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Weights:
    """Weights of the logits of two models in the weighted sum that is their average.

    Attributes:
        network: Weight of the network, at least 0; the two weights are not both 0.
        ngrams: Weight of the linear model of n-grams, at least 0.
        bias: Bias that is added to the logits, one number per output; empty for none.

    """

    network: float
    ngrams: float
    bias: Sequence[float] = ()

    @property
    def share(self) -> float:
        """Share of the n-grams in the average, between 0 and 1."""
        return self.ngrams / (self.network + self.ngrams)

    @property
    def temperature(self) -> float:
        """Number that the average of the logits is divided by."""
        return 1 / (self.network + self.ngrams)

    def invert_bias(self, n_labels: int) -> npt.NDArray[np.float64]:
        """Return factors of the probabilities that undo the bias.

        Args:
            n_labels: Number of labels.

        Returns:
            Array of shape (labels,) with a mean of 1; ones without a bias.

        """
        bias = np.array(self.bias) if len(self.bias) else np.zeros(count_outputs(n_labels))
        factors: npt.NDArray[np.float64] = np.exp(-expand_logits(bias[np.newaxis])[0])
        scaled: npt.NDArray[np.float64] = factors / factors.mean()
        return scaled

    @classmethod
    def from_share(cls, share: float, temperature: float = 1.0) -> Self:
        """Return the weights of a given share of the n-grams and a temperature."""
        return cls((1 - share) / temperature, share / temperature)

    def average(self, network: Logits, ngrams: Logits) -> npt.NDArray[np.float64]:
        """Return the probability of every label.

        Args:
            network: Logits of the network, shape (reviews, outputs).
            ngrams: Logits of the n-grams, of the same shape.

        Returns:
            Array of shape (reviews, labels), dtype float64; each row sums to 1.

        """
        bias = np.array(self.bias) if len(self.bias) else 0.0
        return to_probabilities(self.network * network + self.ngrams * ngrams + bias)


def fit_weights(
    network: Logits,
    ngrams: Logits | None,
    codes: npt.NDArray[np.integer],
    share: float | None,
    label_weights: npt.NDArray[np.float64] | None = None,
) -> Weights:
    """Return the weights with the lowest log loss.

    Args:
        network: Logits of the network, shape (reviews, outputs), for reviews that it was not
            trained on.
        ngrams: Logits of the n-grams for the same reviews; None to fit the weight of a single
            model, whatever it is, in the place of the network.
        codes: Codes of the true labels, shape (reviews,).
        share: Share of the n-grams, if it is given; None to fit it.
        label_weights: Weight of each label in the loss that the models were trained with, shape
            (labels,); None for none. Such models predict labels with a large weight too often, so
            a bias is fitted as well.

    Returns:
        The fitted weights, whose sum is at least 0.05. A weak penalty keeps them finite where every
        prediction is right, as scikit-learn's `LogisticRegression(C=1)` would; it pulls the bias
        towards the one that undoes the weights of the labels.

    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    if ngrams is None:
        ngrams, share = np.zeros_like(network), 0.0
    models = [network, ngrams] if share is None else [(1 - share) * network + share * ngrams]
    stacked = np.stack([expand_logits(model) for model in models])  # (models, reviews, labels)
    rows = np.arange(len(codes))
    n_models = len(models)
    expected = np.zeros(n_models)
    if label_weights is not None:
        expected = np.concatenate([expected, -np.log(label_weights)])

    def loss(numbers: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        weights, bias = numbers[:n_models], numbers[n_models:]
        logits = np.tensordot(weights, stacked, axes=1) + (bias if len(bias) else 0.0)
        logarithms = log_softmax(logits, axis=1)
        residuals = np.exp(logarithms)
        residuals[rows, codes] -= 1
        gradient = (stacked * residuals).sum(axis=(1, 2))
        if len(bias):
            gradient = np.concatenate([gradient, residuals.sum(axis=0)])
        distance = numbers - expected
        penalised = float(-logarithms[rows, codes].sum() + distance @ distance / 2)
        return penalised, gradient + distance

    start = expected.copy()
    start[:n_models] = 1 / n_models
    bounds = [(0.0, MAX_WEIGHT)] * n_models + [(-np.inf, np.inf)] * (len(start) - n_models)
    fitted = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    found = fitted[:n_models]
    total = float(found.sum())
    if share is None:  # if both predict worse than chance, both have the weight 0
        share = float(found[1]) / total if total > MIN_WEIGHT else DEFAULT_SHARE
    weights = Weights.from_share(share, 1 / max(total, MIN_WEIGHT))
    if label_weights is None:
        return weights
    return replace(weights, bias=_reduce(fitted[n_models:]))


def fit_factor(
    logits: Logits,
    codes: npt.NDArray[np.integer],
    label_weights: npt.NDArray[np.float64] | None = None,
) -> float:
    """Return the factor by which the logits of a single model are multiplied to calibrate them.

    Args:
        logits: Logits of the model, shape (reviews, outputs), for reviews that it was not trained
            on.
        codes: Codes of the true labels, shape (reviews,).
        label_weights: Weight of each label in the loss, as for `fit_weights`.

    """
    return fit_weights(logits, None, codes, None, label_weights).network


def undo_label_weights(
    weights: Weights, label_weights: npt.NDArray[np.float64] | None, factor: float = 1.0
) -> Weights:
    """Return weights with the bias that undoes weights of the labels, if nothing can be fitted.

    Args:
        weights: Weights without a bias.
        label_weights: Weight of each label in the loss, shape (labels,); None for none.
        factor: Factor of the logits of the n-grams, which has also multiplied the effect of the
            weights of the labels on them.

    """
    if label_weights is None:
        return weights
    effect = weights.network + weights.ngrams * factor
    return replace(weights, bias=_reduce(-effect * np.log(label_weights)))


def judge_probabilities(
    logits: Logits, label_weights: npt.NDArray[np.float64] | None, metric: Metric
) -> npt.NDArray[np.float64]:
    """Return the probabilities of a network by which a metric judges it before it is averaged.

    Args:
        logits: Logits of the network, shape (reviews, outputs).
        label_weights: Weight of each label in the loss, shape (labels,); None for none. If the
            metric is one of probabilities, their effect is undone, as it will be in the average. If
            it is one of labels, it is kept, as it will be in the decision.
        metric: The metric.

    Returns:
        Array of shape (reviews, labels), dtype float64; each row sums to 1.

    """
    if metric.depends_on_decision:
        return to_probabilities(logits)
    alone = undo_label_weights(Weights(network=1, ngrams=0), label_weights)
    return alone.average(logits, np.zeros_like(logits))


def _reduce(bias: npt.NDArray[np.float64]) -> tuple[float, ...]:
    """Return one number per output from one per label: for two labels, their difference."""
    return tuple((bias[1:] - bias[:1] if len(bias) == 2 else bias - bias.mean()).tolist())  # noqa: PLR2004
