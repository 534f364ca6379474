"""Weights of labels and thresholds, against trying all of them."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binomtest
from sklearn.utils.class_weight import compute_sample_weight

from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.decisions import (
    compute_label_weights,
    cross_validate_weights,
    find_weights_for_metric,
    find_weights_for_target,
)
from imdb_sentiment.evaluation.objectives import make_metric
from imdb_sentiment.evaluation.probabilities import DecisionRule
from imdb_sentiment.parameters import Quantity

LABELS = ("a", "b", "c")


def make_rare(n_labels: int, n: int = 400) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Return codes of which the last label is rare, and probabilities that know about it."""
    rng = np.random.default_rng(1)
    shares = np.array([0.85, 0.15] if n_labels == 2 else [0.6, 0.3, 0.1])
    codes = rng.choice(n_labels, size=n, p=shares)
    logits = np.log(shares) + 1.5 * np.eye(n_labels)[codes] + rng.normal(size=(n, n_labels))
    odds = np.exp(logits)
    return codes, odds / odds.sum(axis=1, keepdims=True)


def test_balanced_weights_give_all_labels_the_same_sum() -> None:
    codes = np.array([0, 0, 0, 1, 1, 2])
    weights = compute_label_weights("balanced", codes, LABELS)
    assert weights is not None
    np.testing.assert_allclose(weights[codes], compute_sample_weight("balanced", codes))
    np.testing.assert_allclose(weights * np.bincount(codes), 2)


def test_weights_of_some_labels_leave_the_others_at_1() -> None:
    weights = compute_label_weights({"b": 5}, np.array([0, 1, 2]), LABELS)
    np.testing.assert_array_equal(weights, [1, 5, 1])
    assert compute_label_weights(None, np.array([0, 1, 2]), LABELS) is None
    with pytest.raises(
        InputError, match=r"class_weight names the label 'd', .*: choose from a, b, c"
    ):
        compute_label_weights({"d": 5}, np.array([0, 1, 2]), LABELS)
    with pytest.raises(InputError, match="names a label twice: A, a: leave one out"):
        compute_label_weights({"A": 2, "a": 3}, np.array([0, 1, 2]), LABELS)


@pytest.mark.parametrize("name", ["f1", "accuracy", "f1_macro"])
def test_of_two_labels_the_best_threshold_is_found(name: str) -> None:
    codes, probabilities = make_rare(2, n=80)
    metric = make_metric(name, None, LABELS[:2], are_ordered=False)  # type: ignore[arg-type]
    weights = find_weights_for_metric(probabilities, codes, metric, np.ones(2))
    values = [
        metric.measure(codes, probabilities, (probabilities[:, 1] > limit).astype(int))
        for limit in [0, *probabilities[:, 1]]
    ]
    found = metric.measure(codes, probabilities, DecisionRule(weights).choose(probabilities))
    assert found == max(values)
    threshold = weights[0] / weights.sum()
    np.testing.assert_array_equal(
        DecisionRule(weights).choose(probabilities), probabilities[:, 1] > threshold
    )


@pytest.mark.parametrize("name", ["f1_macro", "balanced_accuracy", "mean_absolute_error"])
def test_of_several_labels_the_metric_gets_better(name: str) -> None:
    codes, probabilities = make_rare(3)
    metric = make_metric(name, None, LABELS, are_ordered=True)  # type: ignore[arg-type]
    weights = find_weights_for_metric(probabilities, codes, metric, np.ones(3))
    assert weights.mean() == pytest.approx(1)
    before = metric.measure(codes, probabilities)
    after = metric.measure(codes, probabilities, DecisionRule(weights).choose(probabilities))
    assert after < before if metric.is_loss else after > before
    if name != "mean_absolute_error":
        assert after > before + 0.05
        assert weights[2] > weights[0]  # the rare label is preferred


@pytest.mark.parametrize("label", [0, 1])
def test_a_label_may_be_predicted_always_or_never(label: int) -> None:
    """The probabilities of a collapsed network say nothing about single reviews."""
    codes = np.array([0, 1, 0, 1])
    metric = make_metric("f1", LABELS[label], LABELS[:2], are_ordered=False)
    probabilities = np.tile([0.4, 0.4], (4, 1))
    probabilities[:, 1 - label] = 0.6
    weights = find_weights_for_metric(probabilities, codes, metric, np.ones(2))
    assert (DecisionRule(weights).choose(probabilities) == label).all()


def test_weights_that_are_the_best_already_are_kept() -> None:
    codes = np.array([0, 1, 2, 0])
    metric = make_metric("f1_macro", None, LABELS, are_ordered=False)
    start = np.array([0.5, 1.0, 1.5])
    np.testing.assert_allclose(
        find_weights_for_metric(np.eye(3)[codes], codes, metric, start), start
    )


def make_calibrated(
    n_labels: int, n: int, seed: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Return codes drawn from probabilities, so that no weights but equal ones are right."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(n_labels, 0.1), size=n)
    codes = (rng.random((n, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)
    return codes.clip(max=n_labels - 1), probabilities


def test_weights_of_many_labels_are_measured_on_reviews_they_were_not_chosen_on() -> None:
    metric = make_metric("f1_macro", None, tuple("abcdefghijklmnop"), are_ordered=False)
    codes, probabilities = make_calibrated(16, 200, seed=0)
    new_codes, new_probabilities = make_calibrated(16, 20_000, seed=1)
    plain = metric.measure(codes, probabilities)
    rule = DecisionRule(find_weights_for_metric(probabilities, codes, metric, np.ones(16)))
    seen = metric.measure(codes, probabilities, rule.choose(probabilities))
    new = metric.measure(new_codes, new_probabilities, rule.choose(new_probabilities))
    assert seen > plain
    assert new < metric.measure(new_codes, new_probabilities)  # they follow chance
    unseen = cross_validate_weights(probabilities, codes, metric, np.ones(16), seed=0)
    assert unseen < plain
    assert unseen == cross_validate_weights(probabilities, codes, metric, np.ones(16), seed=0)
    assert unseen != cross_validate_weights(probabilities, codes, metric, np.ones(16), seed=1)


def test_a_threshold_that_helps_is_better_for_unseen_reviews_too() -> None:
    codes, probabilities = make_rare(2, n=1000)
    metric = make_metric("f1_macro", None, LABELS[:2], are_ordered=False)
    weights = find_weights_for_metric(probabilities, codes, metric, np.ones(2))
    seen = metric.measure(codes, probabilities, DecisionRule(weights).choose(probabilities))
    unseen = cross_validate_weights(probabilities, codes, metric, np.ones(2), seed=0)
    assert metric.measure(codes, probabilities) < unseen < seen


@pytest.mark.parametrize("seed", range(5))
def test_both_halves_have_the_labels_that_occur_twice(seed: int) -> None:
    """Otherwise, the weight of a label would be chosen where none of its reviews is."""
    codes = np.repeat(np.arange(3), [7, 2, 1])
    halves: list[list[int]] = []

    class Recorder:
        is_loss = False

        def measure(self, codes: npt.NDArray[np.intp], *_: object) -> float:
            halves.append(sorted(codes.tolist()))
            return 0.0

    cross_validate_weights(np.eye(3)[codes], codes, Recorder(), np.ones(3), seed)  # type: ignore[arg-type]
    for half in halves[:-1]:  # the last value is that of both
        assert half in ([0, 0, 0, 0, 1], [0, 0, 0, 1, 2])
    assert len({len(half) for half in halves[:-1]}) == 1


def test_no_group_is_in_both_halves() -> None:
    groups = np.arange(40) // 4
    codes = np.arange(40) % 2
    second = (groups + 1) / 20  # tells the group
    probabilities = np.column_stack([1 - second, second])
    halves: set[frozenset[float]] = set()

    class Recorder:
        is_loss = False

        def measure(self, _: object, probabilities: npt.NDArray[np.float64], *__: object) -> float:
            halves.add(frozenset(probabilities[:, 1].tolist()))
            return 0.0

    cross_validate_weights(
        probabilities,
        codes,
        Recorder(),  # type: ignore[arg-type]
        np.ones(2),
        seed=0,
        groups=groups,
    )
    one, other = (half for half in halves if len(half) < 10)  # the last value is that of all groups
    assert not one & other


def find_lowest(hits: int, n: int) -> float:
    """Return the lower end of the one-sided interval of 90%, which the two-sided one of 80% has."""
    return float(binomtest(hits, n).proportion_ci(0.8, method="wilson").low)


@pytest.mark.parametrize("n_labels", [2, 3])
@pytest.mark.parametrize("wanted", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("kind", ["precision", "recall"])
def test_a_target_is_reached_at_the_lowest_cost(
    n_labels: int, wanted: float, kind: Quantity
) -> None:
    codes, probabilities = make_rare(n_labels)
    code = n_labels - 1
    is_label = codes == code
    limits = np.delete(probabilities, code, axis=1).max(axis=1) / probabilities[:, code]
    pairs = []  # what is wanted, and what it costs
    for weight in np.unique(limits):
        gets = limits <= weight
        hits = int((gets & is_label).sum())
        n, other = (int(gets.sum()), int(is_label.sum()))[:: 1 if kind == "precision" else -1]
        pairs.append((find_lowest(hits, n), hits / other))
    best = max(cost for lowest, cost in pairs if lowest >= wanted)
    weights = find_weights_for_target(probabilities, is_label, code, kind, wanted)
    assert weights is not None
    gets = DecisionRule(weights).choose(probabilities) == code
    hits = int((gets & is_label).sum())
    n, other = (int(gets.sum()), int(is_label.sum()))[:: 1 if kind == "precision" else -1]
    assert find_lowest(hits, n) >= wanted
    assert hits / other == pytest.approx(best)


def test_of_equal_thresholds_the_one_that_finds_more_is_chosen() -> None:
    probability = np.concatenate([np.linspace(0.99, 0.6, 100), np.linspace(0.3, 0.01, 200)])
    probabilities = np.column_stack([1 - probability, probability])
    weights = find_weights_for_target(probabilities, np.arange(300) < 100, 1, "recall", 0.5)
    assert weights is not None
    assert DecisionRule(weights).choose(probabilities).sum() == 100


def test_certain_predictions_leave_a_threshold_that_reaches_the_target() -> None:
    is_label = np.arange(100) < 60
    certain = np.column_stack([~is_label, is_label]).astype(np.float64)
    weights = find_weights_for_target(certain, is_label, 1, "recall", 0.9)
    assert weights is not None
    assert (DecisionRule(weights).choose(certain) == is_label).all()


@pytest.mark.parametrize("kind", ["precision", "recall"])
def test_most_thresholds_reach_the_target_on_new_reviews_too(kind: Quantity) -> None:
    def draw(n: int, seed: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
        rng = np.random.default_rng(seed)
        positive = rng.beta(0.6, 1, size=n)
        return rng.random(n) < positive, np.column_stack([1 - positive, positive])

    _, new = draw(50_000, seed=0)
    found = []
    for seed in range(1, 101):
        is_label, probabilities = draw(1000, seed)
        weights = find_weights_for_target(probabilities, is_label, 1, kind, 0.8)
        assert weights is not None
        gets = DecisionRule(weights).choose(new) == 1
        hits = new[gets, 1].sum()  # as expected from the probabilities, which are right
        found.append(hits / (gets.sum() if kind == "precision" else new[:, 1].sum()))
    assert np.mean(np.array(found) >= 0.8) >= 0.8
    assert np.mean(found) < 0.85  # and it costs no more than that needs


def test_weights_beyond_reason_are_not_chosen() -> None:
    """They would be taken to reach reviews that `DecisionRule` does not give the label."""
    probability = np.concatenate([np.full(50, 0.9), np.full(50, 1e-13), np.full(100, 1e-14)])
    probabilities = np.column_stack([1 - probability, probability])
    is_label = np.arange(200) < 100
    assert find_weights_for_target(probabilities, is_label, 1, "recall", 0.9) is None
    weights = find_weights_for_target(probabilities, is_label, 1, "recall", 0.4)
    assert weights is not None
    assert DecisionRule(weights).choose(probabilities).sum() == 50
    metric = make_metric("f1_macro", None, ("bad", "good"), are_ordered=False)
    weights = find_weights_for_metric(probabilities, is_label.astype(int), metric, np.ones(2))
    assert (DecisionRule(weights).choose(probabilities) == (probability > 0.5)).all()


def test_what_no_threshold_has_for_sure_is_out_of_reach() -> None:
    probabilities = np.column_stack([1 - np.linspace(0.9, 0.1, 90), np.linspace(0.9, 0.1, 90)])
    is_label = np.arange(90) % 3 > 0
    assert find_weights_for_target(probabilities, is_label, 1, "precision", 0.7) is None
    assert find_weights_for_target(probabilities, is_label, 1, "precision", 0.59) is not None
    few = np.arange(90) % 9 == 0
    # For 0.9, all 10 would be too few.
    assert find_weights_for_target(probabilities, few, 1, "recall", 0.9) is None
    assert find_weights_for_target(probabilities, few, 1, "recall", 0.8) is not None


@given(st.integers(2, 6).flatmap(lambda n: arrays(float, (5, n), elements=st.floats(0.001, 1))))
def test_the_median_has_the_smallest_expected_distance(products: npt.NDArray[np.float64]) -> None:
    n_labels = products.shape[1]
    probabilities = products / products.sum(axis=1, keepdims=True)
    distances = np.abs(np.subtract.outer(np.arange(n_labels), np.arange(n_labels)))
    expected = probabilities @ distances
    rule = DecisionRule(np.ones(n_labels), is_median=True)
    chosen = expected[np.arange(5), rule.choose(probabilities)]
    np.testing.assert_allclose(chosen, expected.min(axis=1), atol=1e-12)


def test_weights_and_the_confidence_belong_to_the_median_too() -> None:
    probabilities = np.array([[0.2, 0.2, 0.6], [0.5, 0.3, 0.2], [np.nan] * 3])
    rule = DecisionRule(np.array([2.0, 1.0, 1.0]), is_median=True)
    np.testing.assert_array_equal(rule.choose(probabilities), [1, 0, 0])
    np.testing.assert_allclose(rule.measure_confidence(probabilities), [0.2 / 1.2, 1 / 1.5, np.nan])
