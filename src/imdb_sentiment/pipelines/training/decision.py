"""How probabilities become a label: weights of the labels, chosen on held-out reviews."""

import logging
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.decisions import LabelWeights, maximise_metric, reach_target
from imdb_sentiment.evaluation.objectives import Metric, find_label
from imdb_sentiment.evaluation.probabilities import choose_labels
from imdb_sentiment.parameters import TrainingParameters

logger = logging.getLogger(__name__)

MIN_ROWS = 10  # held-out reviews with the label of a target; with fewer, a threshold is chance


class DecisionProblem(StrEnum):
    """Why a threshold could not be chosen, although the probabilities are calibrated."""

    OUT_OF_REACH = "out_of_reach"
    TOO_FEW_ROWS_OF_LABEL = "too_few_rows_of_label"


@dataclass(frozen=True)
class Choice:
    """Weights of the labels, and what they are good for.

    Attributes:
        weights: Weight of each label, shape (labels,).
        aim: What they were chosen for; None if they were not chosen.
        before: Value of the aim for the most probable label, on the held-out reviews.
        after: Value of the aim with the weights, on the same reviews.
        problem: Why they could not be chosen; None if they were, or need not be.

    """

    weights: LabelWeights
    aim: str | None = None
    before: float | None = None
    after: float | None = None
    problem: DecisionProblem | None = None


def needs_thresholds(training: TrainingParameters, metric: Metric, labels: tuple[str, ...]) -> bool:
    """Return whether weights of the labels are to be chosen.

    Raises:
        InputError: They are, but the metric does not depend on them; or the target's label does not
            exist.

    """
    if training.decision_target:
        find_label(training.decision_target.label, labels, "training.decision_target")
        return True
    if training.decision == "threshold" and not metric.depends_on_decision:
        raise InputError(
            f"training.decision is threshold, but tuning.metric is {metric.name}, which does not "
            "depend on a threshold: set decision_target, or another metric such as f1_macro"
        )
    is_other = metric.depends_on_decision and metric.name != "accuracy"
    return training.decision == "threshold" or (training.decision == "auto" and is_other)


def choose_weights(
    probabilities: npt.NDArray[np.float64],
    codes: npt.NDArray[np.integer],
    labels: tuple[str, ...],
    *,
    metric: Metric,
    training: TrainingParameters,
    start: LabelWeights,
) -> Choice:
    """Choose the weights for `training.decision_target`, or else for the metric.

    Args:
        probabilities: Probability of each label, shape (reviews, labels), for reviews that the
            model has not learnt from.
        codes: Codes of the true labels, shape (reviews,).
        labels: Names of the labels in the order of their codes.
        metric: A metric of predicted labels, unless there is a target.
        training: The target.
        start: Weights to begin with, and to keep if nothing can be chosen, shape (labels,).

    """
    even = np.ones(len(labels))
    target = training.decision_target
    if target is None:
        weights = maximise_metric(probabilities, codes, metric, start)
        before, after = (
            metric.measure(codes, probabilities, choose_labels(probabilities, chosen))
            for chosen in (even, weights)
        )
        return Choice(weights, metric.title, before, after)
    code = labels.index(target.label)
    has_label = codes == code
    if has_label.sum() < MIN_ROWS:
        logger.warning(
            "%d held-out reviews with the label of training.decision_target are too few to choose "
            "a threshold, so there is none.",
            has_label.sum(),
        )
        return Choice(start, problem=DecisionProblem.TOO_FEW_ROWS_OF_LABEL)
    wanted = {"precision": target.precision, "recall": target.recall}
    name, value = next((name, value) for name, value in wanted.items() if value)
    aim = f"{name} of {target.label} of at least {value:g}"
    reached = reach_target(probabilities, has_label, code, **wanted)
    if reached is None:
        logger.warning(
            "No threshold reaches a %s on %d held-out reviews, so there is none.", aim, len(codes)
        )
    weights = start if reached is None else reached
    before, after = (
        _measure_label(choose_labels(probabilities, chosen) == code, has_label)[name]
        for chosen in (even, weights)
    )
    problem = DecisionProblem.OUT_OF_REACH if reached is None else None
    return Choice(weights, aim, before, after, problem)


def _measure_label(
    gets_label: npt.NDArray[np.bool_], has_label: npt.NDArray[np.bool_]
) -> dict[str, float]:
    """Return the precision and the recall of a label."""
    hits = int((has_label & gets_label).sum())
    return {
        "precision": hits / max(1, int(gets_label.sum())),
        "recall": hits / int(has_label.sum()),
    }
