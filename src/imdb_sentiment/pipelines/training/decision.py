"""Choice of the decision rule: label weights that are chosen on held-out reviews, or the median."""

import logging
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

import numpy as np
import numpy.typing as npt

from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.decisions import (
    cross_validate_weights,
    find_weights_for_metric,
    find_weights_for_target,
)
from imdb_sentiment.evaluation.objectives import Metric, find_label
from imdb_sentiment.evaluation.probabilities import DecisionRule
from imdb_sentiment.evaluation.stacking import Weights
from imdb_sentiment.parameters import DecisionTarget, TrainingParameters

logger = logging.getLogger(__name__)

MIN_ROWS = 10  # held-out reviews with the label of a target; with fewer, a threshold is chance


class DecisionProblem(StrEnum):
    """Why no threshold was chosen, although the probabilities are calibrated."""

    NO_GAIN = "no_gain"
    OUT_OF_REACH = "out_of_reach"
    TOO_FEW_ROWS_OF_LABEL = "too_few_rows_of_label"


@dataclass(frozen=True)
class Choice:
    """A decision rule and its evaluation on the held-out reviews.

    Attributes:
        rule: The decision rule.
        aim: Name of the metric or target that the rule should optimise; None if there is none.
        before: Value of this metric, precision or recall if the most probable label is predicted.
            For a metric, the probabilities have the weights to begin with: equal ones, or with
            class weights those of the loss. None if it was not measured.
        after: Its value with the rule, or None. If weights optimise a metric, it is cross-validated
            (see `cross_validate_weights`); for a target, it is that on the reviews on which the
            threshold was chosen.
        problem: Reason why no threshold was chosen; None if one was, or none was needed.

    """

    rule: DecisionRule
    aim: str | None = None
    before: float | None = None
    after: float | None = None
    problem: DecisionProblem | None = None


def find_method(
    training: TrainingParameters, metric: Metric, labels: tuple[str, ...], *, are_ordered: bool
) -> Literal["argmax", "threshold", "median"]:
    """Return the method by which labels are chosen.

    Raises:
        InputError: The method is `threshold`, but the metric does not depend on thresholds; it is
            `median`, but the labels have no order; or the target's label does not exist.

    """
    if training.decision_target:
        find_label(training.decision_target.label, labels, "training.decision_target")
        return "threshold"
    if training.decision == "median" and not are_ordered:
        raise InputError(
            "training.decision is median, which needs ordinal labels, such as stars: set "
            "reviews.ordered: true, or another decision"
        )
    if training.decision == "threshold" and not metric.depends_on_decision:
        raise InputError(
            f"training.decision is threshold, but tuning.metric is {metric.name}, which does not "
            "depend on a threshold: set decision_target, or another metric such as f1_macro"
        )
    if training.decision != "auto":
        return training.decision
    if metric.is_ordinal:
        return "median"
    is_other = metric.depends_on_decision and metric.name != "accuracy"
    return "threshold" if is_other else "argmax"


def choose_rule(
    probabilities: npt.NDArray[np.float64],
    codes: npt.NDArray[np.integer],
    labels: tuple[str, ...],
    *,
    metric: Metric,
    training: TrainingParameters,
    start: DecisionRule,
    groups: npt.NDArray[np.integer] | None = None,
) -> Choice:
    """Choose a rule for `training.decision_target`, or else for the metric.

    Args:
        probabilities: Probability of each label, shape (reviews, labels), for reviews that the
            model has not learnt from.
        codes: Codes of the true labels, shape (reviews,).
        labels: Names of the labels in the order of their codes.
        metric: A metric of predicted labels, unless there is a target.
        training: The target, and the seed by which the reviews are divided to check the choice.
        start: Rule to begin with, which is kept if no other rule can be chosen, or if no other rule
            is better on reviews on which it was not chosen. The median is kept if it was asked for,
            or is no worse than the most probable label with the same weights.
        groups: Group of each review, shape (reviews,), which is not divided to check the choice.
            None, or equal for all, for no groups.

    """
    from sklearn.metrics import precision_score, recall_score

    target = training.decision_target
    if target is None:
        return _choose_for_metric(probabilities, codes, metric, training, start, groups=groups)
    argmax = DecisionRule.argmax(len(labels))
    code = find_label(target.label, labels, "training.decision_target")
    has_label = codes == code
    aim = describe_target(target)
    if has_label.sum() < MIN_ROWS:
        return Choice(start, aim, problem=DecisionProblem.TOO_FEW_ROWS_OF_LABEL)
    reached = find_weights_for_target(probabilities, has_label, code, target.quantity, target.value)
    rule = start if reached is None else replace(start, weights=reached)
    measure = precision_score if target.quantity == "precision" else recall_score
    before, after = (
        float(measure(has_label, chosen.choose(probabilities) == code, zero_division=0))
        for chosen in (argmax, rule)
    )
    problem = DecisionProblem.OUT_OF_REACH if reached is None else None
    return Choice(rule, aim, before, after, problem)


def restore_preference(
    average: Weights, label_weights: npt.NDArray[np.float64] | None, n_labels: int
) -> npt.NDArray[np.float64]:
    """Return factors of the probabilities that restore the preferences of class weights.

    They undo the bias of the average, so that the decisions are those of the models as they were
    trained. But regularised models may predict a rare label too seldom in spite of its weight, and
    without the bias more seldom still. So compared with their geometric mean, a factor is not small
    if the weight of its label is large, and not large if that is small.

    Args:
        average: The average, with its bias.
        label_weights: Weight of each label in the loss, shape (labels,); None for none.
        n_labels: Number of labels.

    Returns:
        Array of shape (labels,) with a mean of 1.

    """
    factors = average.invert_bias(n_labels)
    if label_weights is None:
        return factors
    undone, wanted = (np.log(part) - np.log(part).mean() for part in (factors, label_weights))
    kept = np.exp(np.where(undone * wanted > 0, undone, 0.0))
    scaled: npt.NDArray[np.float64] = kept / kept.mean()
    return scaled


def describe_target(target: DecisionTarget) -> str:
    """Return a target in words, such as "recall of negative of at least 0.9"."""
    return f"{target.quantity} of {target.label} of at least {target.value:g}"


def warn_of_problem(choice: Choice, rows: int) -> None:
    """Warn that a target was not reached on the held-out reviews, with what to do about it."""
    if choice.problem == DecisionProblem.OUT_OF_REACH:
        logger.warning(
            "No threshold reaches a %s on %d held-out reviews with enough margin to hold on new "
            "reviews, so none is used: lower the target, or add reviews",
            choice.aim,
            rows,
        )
    elif choice.problem == DecisionProblem.TOO_FEW_ROWS_OF_LABEL:
        logger.warning(
            "Fewer than %d of %d held-out reviews have the label of training.decision_target, so "
            "there is no threshold: label more such reviews",
            MIN_ROWS,
            rows,
        )


def _choose_for_metric(
    probabilities: npt.NDArray[np.float64],
    codes: npt.NDArray[np.integer],
    metric: Metric,
    training: TrainingParameters,
    start: DecisionRule,
    *,
    groups: npt.NDArray[np.integer] | None,
) -> Choice:
    if start.is_median and not metric.is_ordinal:
        return Choice(start)  # `median` was requested explicitly, whatever the metric is
    kept = metric.measure(codes, probabilities, start.choose(probabilities))
    if start.is_median:
        argmax = replace(start, is_median=False)
        before = metric.measure(codes, probabilities, argmax.choose(probabilities))
        if metric.is_better(before, kept) and training.decision == "auto":
            return Choice(argmax)
        return Choice(start, metric.title, before, kept)
    unseen = cross_validate_weights(
        probabilities, codes, metric, start.weights, training.seed, groups=groups
    )
    if not metric.is_better(unseen, kept):
        return Choice(start, metric.title, kept, kept, DecisionProblem.NO_GAIN)
    weights = find_weights_for_metric(probabilities, codes, metric, start.weights)
    return Choice(replace(start, weights=weights), metric.title, kept, unseen)
