"""The metrics that a search can maximise or minimise, defined as in scikit-learn."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.probabilities import DecisionRule
from imdb_sentiment.parameters import MetricName
from imdb_sentiment.text.labels import YAML_HINT, find_codes

LOSSES = frozenset({"log_loss", "mean_absolute_error"})  # lower is better
PROBABILITY_METRICS = frozenset({"roc_auc", "log_loss"})  # the others need predicted labels
ORDINAL_METRICS: tuple[MetricName, ...] = ("mean_absolute_error", "quadratic_kappa")

LABEL_MEANS = frozenset({"balanced_accuracy", "f1_macro", "roc_auc"})  # each label counts the same

MIN_REVIEWS = 30  # with fewer, intervals of a bootstrap are too narrow
MIN_UNITS = 5  # the same for the number of `Metric.count_units`

_TITLES: dict[MetricName, str] = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1_macro": "macro F1",
    "f1": "F1",
    "roc_auc": "ROC AUC",
    "log_loss": "log loss",
    "quadratic_kappa": "quadratic kappa",
    "mean_absolute_error": "mean absolute error",
}


@dataclass(frozen=True)
class Metric:
    """A score of predictions.

    Attributes:
        name: Name in the parameters.
        n_labels: Number of labels.
        code: Code of the label whose F1 is the metric `f1`; the other metrics ignore it.
        title: Name for people.

    """

    name: MetricName
    n_labels: int
    code: int
    title: str

    @property
    def is_loss(self) -> bool:
        """Whether lower values are better."""
        return self.name in LOSSES

    @property
    def is_ordinal(self) -> bool:
        """Whether errors count by the distance of the labels."""
        return self.name in ORDINAL_METRICS

    @property
    def depends_on_decision(self) -> bool:
        """Whether it is computed from the predicted labels, not from the probabilities."""
        return self.name not in PROBABILITY_METRICS

    def is_better(self, value: float, than: float) -> bool:
        """Return whether a value is better than another one."""
        return value < than if self.is_loss else value > than

    def has_enough_reviews(self, codes: npt.NDArray[np.integer]) -> bool:
        """Return whether the intervals of a bootstrap of these reviews are wide enough to trust.

        In one with fewer than `MIN_REVIEWS`, or with fewer than `MIN_UNITS` (see `count_units`), as
        if one of few labels is rare, the same few reviews decide in every resample.
        """
        return len(codes) >= MIN_REVIEWS and self.count_units(codes) >= MIN_UNITS

    def count_units(self, codes: npt.NDArray[np.integer]) -> float:
        """Return the number of reviews to which the uncertainty of the metric corresponds.

        A mean over labels is about as uncertain as its part for the rarest ones. If the parts have
        equal variances per review, it has the degrees of freedom of Satterthwaite, "An Approximate
        Distribution of Estimates of Variance Components", Biometrics Bulletin 2 (1946); their
        number plus one is returned. For equally frequent labels, that is nearly all reviews.

        Args:
            codes: Codes of the true labels, shape (reviews,).

        """
        counts = np.bincount(codes, minlength=self.n_labels)
        if self.name == "f1":
            return float(counts[self.code])
        if self.name not in LABEL_MEANS:
            return float(len(codes))
        counts = counts[counts > 0]
        with np.errstate(divide="ignore"):  # the variance of a single review is unknown
            squares = (1 / (counts**2 * (counts - 1.0))).sum()
        return float(1 + (1 / counts).sum() ** 2 / squares)

    def measure(
        self,
        codes: npt.NDArray[np.integer],
        probabilities: npt.NDArray[np.float64],
        predicted: npt.NDArray[np.integer] | None = None,
    ) -> float:
        """Return the value for predictions.

        Args:
            codes: Codes of the true labels, shape (reviews,).
            probabilities: Probability of each label, shape (reviews, labels).
            predicted: Codes of the predicted labels, shape (reviews,); None for the most probable
                ones, or if the metric counts errors by their distance, for the medians.

        """
        if self.name == "roc_auc":
            return _measure_roc_auc(codes, probabilities)
        if self.name == "log_loss":
            return measure_log_loss(codes, probabilities)
        if predicted is None:
            rule = DecisionRule(np.ones(self.n_labels), is_median=self.is_ordinal)
            predicted = rule.choose(probabilities)
        pairs = codes.astype(np.intp) * self.n_labels + predicted
        counts = np.bincount(pairs, minlength=self.n_labels**2).reshape(self.n_labels, -1)
        return self._measure_counts(counts)

    def _measure_counts(self, counts: npt.NDArray[np.intp]) -> float:
        """Return the value for a confusion matrix, whose rows are the true labels.

        The value equals that of scikit-learn, but takes a hundredth of the time: thresholds and
        bootstrap intervals need thousands of values.
        """
        hits, rows, predicted = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
        steps = np.subtract.outer(np.arange(self.n_labels), np.arange(self.n_labels))
        value: float
        match self.name:
            case "accuracy":
                value = hits.sum() / counts.sum()
            case "balanced_accuracy":
                value = (hits[rows > 0] / rows[rows > 0]).mean()
            case "f1_macro":  # of the labels that occur or are predicted
                occurs = rows + predicted > 0
                value = (2 * hits[occurs] / (rows + predicted)[occurs]).mean()
            case "f1":
                value = 2 * hits[self.code] / max(1, rows[self.code] + predicted[self.code])
            case "quadratic_kappa":
                by_chance = (np.outer(rows, predicted) * steps**2).sum() / counts.sum()
                value = 1 - (counts * steps**2).sum() / by_chance if by_chance else np.nan
            case _:  # mean_absolute_error, of the codes: a neighbouring label is wrong by 1
                value = (counts * np.abs(steps)).sum() / counts.sum()
        return float(value)


def measure_log_loss(
    codes: npt.NDArray[np.integer], probabilities: npt.NDArray[np.float64]
) -> float:
    """Return the log loss of probabilities.

    The value equals that of scikit-learn, but takes a hundredth of the time: a bootstrap needs
    thousands of values.

    Args:
        codes: Codes of the true labels, shape (reviews,).
        probabilities: Probability of each label, shape (reviews, labels).

    """
    likelihoods = probabilities[np.arange(len(codes)), codes]
    lowest = np.finfo(likelihoods.dtype).eps
    return float(-np.log(likelihoods.clip(lowest, 1 - lowest)).mean())


def _measure_roc_auc(
    codes: npt.NDArray[np.integer], probabilities: npt.NDArray[np.float64]
) -> float:
    """Return the mean area of the labels that occur, each against all others; NaN for a single one.

    The area equals that of scikit-learn, but is computed from ranks (Hanley and McNeil, 1982), for
    all labels at once: bootstrap intervals need thousands of values.
    """
    from scipy.stats import rankdata

    found = np.unique(codes)
    if len(found) == 1:
        return np.nan
    if probabilities.shape[1] == 2:  # noqa: PLR2004  (both have the same area)
        found = found[1:]
    has_label = codes[:, np.newaxis] == found
    positive = has_label.sum(axis=0)
    ranks = np.where(has_label, rankdata(probabilities[:, found], axis=0), 0).sum(axis=0)
    pairs = positive * (len(codes) - positive)
    return float(((ranks - positive * (positive + 1) / 2) / pairs).mean())


def make_metric(
    name: MetricName, label: str | None, labels: tuple[str, ...], *, are_ordered: bool
) -> Metric:
    """Return a metric of predictions of these labels.

    Args:
        name: Name in the parameters.
        label: The label whose F1 is the metric `f1`; None for the second of two labels.
        labels: Names of all labels in the order of their codes.
        are_ordered: Whether the labels are ordinal, as star ratings are.

    Raises:
        InputError: The metric does not fit the labels.

    """
    if name in ORDINAL_METRICS and not are_ordered:
        raise InputError(
            f"tuning.metric is {name}, which needs ordinal labels, such as stars: set "
            "reviews.ordered: true, or choose another metric"
        )
    if name != "f1":
        if label is not None:
            raise InputError(
                f"tuning.metric_label is {label!r}, but {name} covers all labels: set it to null, "
                "or tuning.metric to f1"
            )
        return Metric(name, len(labels), len(labels) - 1, _TITLES[name])
    if label is None and len(labels) > 2:  # noqa: PLR2004
        raise InputError(
            f"tuning.metric is f1, the F1 of one label: set tuning.metric_label to one of "
            f"{', '.join(labels)}, or tuning.metric to f1_macro"
        )
    code = 1 if label is None else find_label(label, labels, "tuning.metric_label")
    return Metric("f1", len(labels), code, f"F1 of {labels[code]}")


def find_label(label: str, labels: tuple[str, ...], parameter: str) -> int:
    """Return the code of a label.

    Args:
        label: Name of the label, in any spelling that a table may have.
        labels: Names of all labels in the order of their codes.
        parameter: Name of the parameter that names the label, for the message.

    Raises:
        InputError: There is no such label.

    """
    code = find_codes([label], labels).get(label)
    if code is None:
        hint = YAML_HINT if label.lower() in ("true", "false") else ""
        raise InputError(
            f"{parameter} names the label {label!r}, which does not exist: choose from "
            f"{', '.join(labels)}{hint}"
        )
    return code
