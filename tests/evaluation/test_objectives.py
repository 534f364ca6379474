"""Metrics of a search, against counting by hand."""

import warnings

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from helpers import rank_auc
from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.objectives import make_metric
from imdb_sentiment.parameters import MetricName

LABELS = ("bad", "so-so", "good")


def make_scores(n_labels: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    rng = np.random.default_rng(0)
    codes = rng.integers(n_labels, size=200)
    scores = rng.dirichlet(np.ones(n_labels), size=200)
    scores[np.arange(200), codes] += 0.3
    return codes, scores / scores.sum(axis=1, keepdims=True)


def measure(name: MetricName, n_labels: int, label: str | None = None) -> float:
    codes, probabilities = make_scores(n_labels)
    labels = LABELS[:n_labels]
    return make_metric(name, label, labels, are_ordered=True).measure(codes, probabilities)


def count_f1(is_label: npt.NDArray[np.bool_], gets_label: npt.NDArray[np.bool_]) -> float:
    return float(2 * (is_label & gets_label).sum() / (is_label.sum() + gets_label.sum()))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1))
def test_metrics_of_labels_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    """Also where labels do not occur."""
    codes, predicted = np.array(pairs).T
    labels = ("a", "b", "c", "d")

    def measure_all(name: MetricName, label: str | None = None) -> float:
        metric = make_metric(name, label, labels, are_ordered=True)
        return metric.measure(codes, np.eye(4)[predicted], predicted)

    assert measure_all("accuracy") == pytest.approx(metrics.accuracy_score(codes, predicted))
    f1 = metrics.f1_score(codes, predicted, average="macro", zero_division=0)
    assert measure_all("f1_macro") == pytest.approx(f1)
    f1 = metrics.f1_score(codes == 1, predicted == 1, zero_division=0)
    assert measure_all("f1", "b") == pytest.approx(f1)
    error = metrics.mean_absolute_error(codes, predicted)
    assert measure_all("mean_absolute_error") == pytest.approx(error)
    with warnings.catch_warnings(action="ignore"):  # of labels that do not occur
        balanced = metrics.balanced_accuracy_score(codes, predicted)
        kappa = metrics.cohen_kappa_score(codes, predicted, labels=range(4), weights="quadratic")
    assert measure_all("balanced_accuracy") == pytest.approx(balanced)
    assert measure_all("quadratic_kappa") == pytest.approx(kappa, nan_ok=True)


@pytest.mark.parametrize("n_labels", [2, 3])
def test_metrics_are_those_counted_by_hand(n_labels: int) -> None:
    codes, probabilities = make_scores(n_labels)
    predicted = probabilities.argmax(axis=1)
    f1s = [count_f1(codes == code, predicted == code) for code in range(n_labels)]
    recalls = [(predicted[codes == code] == code).mean() for code in range(n_labels)]
    columns = [1] if n_labels == 2 else range(n_labels)
    areas = [
        rank_auc(probabilities[codes == code, code], probabilities[codes != code, code])
        for code in columns
    ]
    assert measure("accuracy", n_labels) == pytest.approx((codes == predicted).mean())
    assert measure("balanced_accuracy", n_labels) == pytest.approx(np.mean(recalls))
    assert measure("f1_macro", n_labels) == pytest.approx(np.mean(f1s))
    assert measure("f1", n_labels, "bad") == pytest.approx(f1s[0])
    assert measure("roc_auc", n_labels) == pytest.approx(np.mean(areas))
    likelihoods = probabilities[np.arange(200), codes]
    assert measure("log_loss", n_labels) == pytest.approx(-np.log(likelihoods).mean())
    # These two count distances, so they are of the median, which need not be the most probable.
    medians = (probabilities.cumsum(axis=1) < 0.5).sum(axis=1)
    assert measure("mean_absolute_error", n_labels) == pytest.approx(np.abs(codes - medians).mean())
    by_chance = np.subtract.outer(codes, medians) ** 2
    kappa = 1 - ((codes - medians) ** 2).mean() / by_chance.mean()
    assert measure("quadratic_kappa", n_labels) == pytest.approx(kappa)


@pytest.mark.parametrize(
    ("name", "counts", "units"),
    [
        ("accuracy", (30, 5, 200), 235),
        ("log_loss", (30, 5, 200), 235),
        ("f1", (30, 5, 200), 5),  # of the label "so-so"
        ("f1_macro", (80, 80, 80), 238),
        ("balanced_accuracy", (0, 200, 10), 10.9),  # nearly those of the rarest label
        ("roc_auc", (200, 200, 1), 1),
    ],
)
def test_a_mean_over_labels_is_as_uncertain_as_its_rarest_ones(
    name: MetricName, counts: tuple[int, ...], units: float
) -> None:
    label = LABELS[1] if name == "f1" else None
    metric = make_metric(name, label, LABELS, are_ordered=True)
    assert metric.count_units(np.repeat(np.arange(3), counts)) == pytest.approx(units, abs=0.05)


@pytest.mark.parametrize(
    ("counts", "is_enough"), [((300, 4), False), ((300, 5), True), ((4,) + 9 * (100,), True)]
)
def test_a_rare_label_among_many_matters_less(counts: tuple[int, ...], *, is_enough: bool) -> None:
    labels = tuple(map(str, range(len(counts))))
    metric = make_metric("f1_macro", None, labels, are_ordered=False)
    assert metric.has_enough_reviews(np.repeat(np.arange(len(counts)), counts)) == is_enough


def test_certain_mistakes_have_the_log_loss_of_scikit_learn() -> None:
    probabilities = np.array([[1.0, 0.0], [0.0, 1.0], [1e-20, 1.0], [0.3, 0.7]])
    codes = np.array([0, 0, 0, 1])
    metric = make_metric("log_loss", None, ("bad", "good"), are_ordered=False)
    assert metric.measure(codes, probabilities) == pytest.approx(
        metrics.log_loss(codes, probabilities)
    )


def test_roc_auc_is_the_mean_over_the_labels_that_a_sample_has() -> None:
    codes, probabilities = make_scores(3)
    kept = codes != 1
    metric = make_metric("roc_auc", None, LABELS, are_ordered=True)
    codes, probabilities = codes[kept], probabilities[kept]
    areas = [
        rank_auc(probabilities[codes == code, code], probabilities[codes != code, code])
        for code in (0, 2)
    ]
    assert metric.measure(codes, probabilities) == pytest.approx(np.mean(areas))


@pytest.mark.parametrize("n_labels", [2, 3])
def test_roc_auc_of_a_sample_with_one_label_is_not_defined(n_labels: int) -> None:
    """Without a warning for each of the hundreds of such resamples of a small test set."""
    codes, probabilities = make_scores(n_labels)
    metric = make_metric("roc_auc", None, LABELS[:n_labels], are_ordered=False)
    with warnings.catch_warnings(action="error"):
        assert np.isnan(metric.measure(codes[:1], probabilities[:1]))


def test_a_label_is_found_in_any_spelling() -> None:
    metric = make_metric("f1", " true ", ("False", "True"), are_ordered=False)
    assert (metric.code, metric.title) == (1, "F1 of True")
    with pytest.raises(InputError, match="choose from False, True"):
        make_metric("f1", "tru", ("False", "True"), are_ordered=False)


def test_f1_is_of_the_second_of_two_labels() -> None:
    assert measure("f1", 2) == measure("f1", 2, "so-so") != measure("f1", 2, "bad")


def test_labels_of_small_unsigned_codes_are_subtracted_as_numbers() -> None:
    metric = make_metric("mean_absolute_error", None, LABELS, are_ordered=True)
    codes = np.array([0, 2], np.uint8)
    assert metric.measure(codes, np.eye(3)[[2, 0]]) == 2


def test_a_label_that_no_review_has_does_not_count_for_the_balanced_accuracy() -> None:
    metric = make_metric("balanced_accuracy", None, LABELS, are_ordered=False)
    assert metric.measure(np.array([0, 0, 1]), np.eye(3)[[0, 2, 1]]) == 0.75


@pytest.mark.parametrize(
    ("name", "label", "are_ordered", "message"),
    [
        ("quadratic_kappa", None, False, "set reviews.ordered: true"),
        ("mean_absolute_error", None, False, "set reviews.ordered: true"),
        ("f1", None, False, "set tuning.metric_label to one of bad, so-so, good"),
        (
            "f1",
            "awful",
            False,
            "metric_label names the label 'awful', which does not exist: choose from bad, so-so",
        ),
        ("f1", "True", False, "so-so, good .YAML reads yes and no as true and false unless they"),
        ("f1_macro", "bad", False, "set it to null, or tuning.metric to f1"),
    ],
)
def test_a_metric_that_does_not_fit_the_labels_is_refused(
    name: MetricName, label: str | None, are_ordered: bool, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make_metric(name, label, LABELS, are_ordered=are_ordered)
