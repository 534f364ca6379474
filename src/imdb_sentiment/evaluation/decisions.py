"""From probabilities to labels: weights by which some labels are preferred.

The predicted label is that with the largest product of probability and weight. With equal weights,
that is the most probable label; for two labels, every pair of weights is a threshold of the
probability, and every threshold is such a pair.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.folds import Places, draw_folds
from imdb_sentiment.evaluation.logits import list_outputs
from imdb_sentiment.evaluation.objectives import Metric, find_label
from imdb_sentiment.evaluation.probabilities import DecisionRule
from imdb_sentiment.parameters import Quantity

LabelWeights = npt.NDArray[np.float64]

MAX_CANDIDATES = 1000  # number of weights tried for all labels together; at least 100 per label
ROUNDS = 3  # maximum number of passes over the labels
MAX_WEIGHT = 1e12  # largest weight of a label relative to those of the others
# 90% quantile of the normal distribution, for the lower bound that has to reach a target.
Z_90 = 1.2816


def compute_label_weights(
    class_weight: Literal["balanced"] | Mapping[str, float] | None,
    codes: npt.NDArray[np.integer],
    labels: tuple[str, ...],
) -> LabelWeights | None:
    """Return the weight of each label in the loss, as scikit-learn's `class_weight` says.

    Args:
        class_weight: `balanced` for weights in inverse proportion to the number of reviews with
            the label; or the weight of some labels, those of the others being 1; None for none.
        codes: Codes of the training reviews, shape (reviews,); each label must occur.
        labels: Names of the labels in the order of their codes.

    Returns:
        Array of shape (labels,); None for no weights.

    Raises:
        InputError: A weight is given for a label that does not exist, or twice.

    """
    if class_weight is None:
        return None
    if class_weight == "balanced":
        from sklearn.utils.class_weight import compute_class_weight

        balanced: LabelWeights = compute_class_weight(
            "balanced", classes=np.arange(len(labels)), y=codes
        )
        return balanced
    weights = np.ones(len(labels))
    named: dict[int, str] = {}
    for name, weight in class_weight.items():
        code = find_label(name, labels, "training.class_weight")
        if code in named:
            raise InputError(
                f"training.class_weight names a label twice: {named[code]}, {name}: leave one out"
            )
        named[code], weights[code] = name, weight
    return weights


def find_weights_for_metric(
    probabilities: npt.NDArray[np.float64],
    codes: npt.NDArray[np.integer],
    metric: Metric,
    start: LabelWeights,
) -> LabelWeights:
    """Return the weights of the labels with the best value of a metric.

    One weight is changed at a time, as long as that helps: for two labels this is the choice of a
    threshold.

    Args:
        probabilities: Probability of each label, shape (reviews, labels), for reviews that the
            model has not learnt from.
        codes: Codes of the true labels, shape (reviews,).
        metric: A metric of predicted labels.
        start: Weights to begin with, shape (labels,).

    Returns:
        Weights whose value is at least as good as that of `start`, scaled to a mean of 1.

    """
    sign = -1 if metric.is_loss else 1

    def measure(predicted: npt.NDArray[np.integer]) -> float:
        return sign * metric.measure(codes, probabilities, predicted)

    best = start.astype(np.float64)
    best_value = measure(DecisionRule(best).choose(probabilities))
    for _ in range(ROUNDS):
        value_before = best_value
        for code in list_outputs(len(start)):
            limits, others = _find_limits(probabilities, best, code)
            for weight in _list_candidates(limits, max(100, MAX_CANDIDATES // len(start))):
                # The choice of `DecisionRule`, without a product for each of many labels.
                value = measure(np.where(limits < weight, code, others))
                if value > best_value:
                    best, best_value = best.copy(), value
                    best[code] = weight
        if best_value == value_before:
            break
    return _scale(best)


def cross_validate_weights(
    probabilities: npt.NDArray[np.float64],
    codes: npt.NDArray[np.integer],
    metric: Metric,
    start: LabelWeights,
    seed: int,
    *,
    groups: npt.NDArray[np.integer] | None = None,
) -> float:
    """Estimate the value of a metric with optimised weights by two-fold cross-validation.

    The reviews are divided into two stratified halves, but no group is. Each half is predicted with
    the weights that `find_weights_for_metric` chooses on the other half. On the reviews on which
    they were chosen, the weights are never worse than `start`, even if they overfit, as with many
    labels and few reviews.

    Args:
        probabilities: Probability of each label, shape (reviews, labels), for reviews that the
            model has not learnt from.
        codes: Codes of the true labels, shape (reviews,).
        metric: A metric of predicted labels.
        start: Weights to begin with, shape (labels,).
        seed: Seed of the division.
        groups: Group of each review, shape (reviews,). None, or equal for all, for no groups.

    Returns:
        The value of the predictions of all reviews.

    """
    predicted = np.zeros(len(codes), dtype=np.intp)
    for seen, unseen in _draw_halves(codes, groups, seed):
        weights = find_weights_for_metric(probabilities[seen], codes[seen], metric, start)
        predicted[unseen] = DecisionRule(weights).choose(probabilities[unseen])
    return metric.measure(codes, probabilities, predicted)


def _draw_halves(
    codes: npt.NDArray[np.integer], groups: npt.NDArray[np.integer] | None, seed: int
) -> list[tuple[Places, Places]]:
    """Return the positions of both halves, and again in the other order."""
    if groups is not None and len(np.unique(groups)) > 1:
        return draw_folds(codes, groups, 2, seed)
    shuffled = np.random.default_rng(seed).permutation(len(codes))
    by_label = shuffled[np.argsort(codes[shuffled], kind="stable")]
    first, second = by_label[::2], by_label[1::2]
    return [(first, second), (second, first)]


def find_weights_for_target(
    probabilities: npt.NDArray[np.float64],
    is_label: npt.NDArray[np.bool_],
    code: int,
    quantity: Quantity,
    target: float,
) -> LabelWeights | None:
    """Return label weights with which a label reaches a target precision or recall.

    Among all weights that reach the target precision, those with the highest recall are chosen, and
    vice versa. Weights that barely reach the target on these reviews would miss it on new reviews
    half of the time. So the lower bound of the one-sided 90% score interval (Wilson, 1927) has to
    reach the target.

    Args:
        probabilities: Probability of each label, shape (reviews, labels), for reviews that the
            model has not learnt from.
        is_label: Whether each review has the label, shape (reviews,); at least one has it.
        code: Code of the label.
        quantity: Which of the two is to be reached.
        target: Value to be reached.

    Returns:
        Weights, shape (labels,), scaled to a mean of 1; None if no weights reach the target, for
        instance because there are few reviews.

    """
    limits, _ = _find_limits(probabilities, np.ones(probabilities.shape[1]), code)
    order = np.argsort(limits, kind="stable")  # infinite ones last
    limits, hits = limits[order], np.cumsum(is_label[order], dtype=np.intp)
    is_last = np.append(limits[1:] > limits[:-1], True)  # among reviews with the same limit
    predicted = np.arange(1, len(hits) + 1)
    is_precision = quantity == "precision"
    is_sure = _find_lowest(hits, predicted if is_precision else hits[-1]) >= target
    reached = np.flatnonzero(is_last & is_sure & np.isfinite(limits))
    if not len(reached):
        return None
    others = (hits if is_precision else hits / predicted)[reached]
    # Of equal recalls, the first has the highest precision; of equal precisions, the last has the
    # highest recall.
    best = np.flatnonzero(others == others.max())
    last = reached[best[0 if is_precision else -1]]
    weights = np.ones(probabilities.shape[1])
    has_next = last + 1 < len(limits) and np.isfinite(limits[last + 1])
    above = limits[last + 1] if has_next else 2 * limits[last]
    weights[code] = np.sqrt(limits[last]) * np.sqrt(above)  # the product may underflow
    return _scale(weights)


def _find_lowest(
    hits: npt.NDArray[np.integer], n: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    """Return the lower bound of Wilson's one-sided interval of each share `hits / n`."""
    square = Z_90**2
    share = hits / n
    deviation = np.sqrt(share * (1 - share) / n + square / (4 * n**2))
    lowest: npt.NDArray[np.float64] = share + square / (2 * n) - Z_90 * deviation
    return lowest / (1 + square / n)


def _scale(weights: LabelWeights) -> LabelWeights:
    scaled: LabelWeights = weights / weights.mean()
    return scaled


def _find_limits(
    probabilities: npt.NDArray[np.float64], weights: LabelWeights, code: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    """Return the weight of a label above which each review gets it, and its label otherwise.

    Both have the shape (reviews,). The weight is infinite if no reasonable one is enough.
    """
    products = probabilities * weights
    products[:, code] = -1.0
    highest = products.max(axis=1).clip(np.finfo(np.float64).tiny)
    with np.errstate(divide="ignore", over="ignore"):
        limits = highest / probabilities[:, code]
    return np.where(limits > MAX_WEIGHT, np.inf, limits), products.argmax(axis=1)


def _list_candidates(limits: npt.NDArray[np.float64], most: int) -> npt.NDArray[np.float64]:
    """Return weights below, between and above the limits of neighbouring reviews.

    If there are too many, they are evenly spaced.
    """
    distinct = np.unique(limits[np.isfinite(limits)])
    above = np.minimum(4 * distinct[-1:], MAX_WEIGHT)
    distinct = np.concatenate([distinct[:1] / 4, distinct, above])
    between: npt.NDArray[np.float64] = np.sqrt(distinct[1:]) * np.sqrt(distinct[:-1])
    if len(between) <= most:
        return between
    return between[np.linspace(0, len(between) - 1, most).round().astype(np.intp)]
