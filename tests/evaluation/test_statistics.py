"""Each statistic against another way to compute it."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats

from imdb_sentiment.evaluation.statistics import (
    PRIOR_TOKENS,
    compare_models,
    compare_words,
    estimate_accuracy_interval,
    estimate_accuracy_interval_of_groups,
    estimate_interval,
)


@pytest.mark.parametrize(("n", "right"), [(40, 30), (400, 380), (5, 5), (7, 0), (40, 40), (1, 1)])
def test_the_interval_solves_wilsons_equation(n: int, right: int) -> None:
    share, z = right / n, scipy.stats.norm.ppf(0.975)
    low, high = estimate_accuracy_interval(np.arange(n) < right)
    # The ends are the accuracies that are z standard errors of their own away from the share.
    expected = np.roots([1 + z**2 / n, -2 * share - z**2 / n, share**2])
    np.testing.assert_allclose([low, high], np.sort(expected), atol=1e-7)
    assert low <= share <= high
    assert high - low > 0


def test_the_interval_contains_the_accuracy_in_nearly_all_of_its_share_of_samples() -> None:
    rng = np.random.default_rng(0)
    for accuracy in (0.5, 0.9, 0.97):
        samples = rng.random((1000, 60)) < accuracy
        intervals = [estimate_accuracy_interval(correct) for correct in samples]
        covered = np.mean([low <= accuracy <= high for low, high in intervals])
        assert 0.92 <= covered <= 0.98  # of 0.95


@pytest.mark.slow
@pytest.mark.parametrize("n_groups", [12, 40])
def test_intervals_of_groups_contain_the_accuracy_in_nearly_all_of_their_share_of_samples(
    n_groups: int,
) -> None:
    """Each of two equally good models is right about some groups more often than about others."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(n_groups), 25)
    rng.shuffle(groups)
    covered, equal, naive = [], [], []
    for seed in range(200):
        shares = rng.beta(0.85 * 9, 0.15 * 9, size=(2, n_groups))  # a correlation of 0.1
        one, other = rng.random((2, len(groups))) < shares[:, groups]

        def gain(rows: npt.NDArray[np.intp], one: Any = one, other: Any = other) -> float:
            return float(one[rows].mean() - other[rows].mean())

        low, high = estimate_accuracy_interval_of_groups(one, groups, resamples=500, seed=seed)
        covered.append(low <= 0.85 <= high)
        low, high = estimate_interval(gain, len(one), groups=groups, resamples=500, seed=seed)
        equal.append(low <= 0 <= high)
        low, high = estimate_accuracy_interval(one)
        naive.append(low <= 0.85 <= high)
    assert 0.9 <= np.mean(covered) <= 0.98  # of 0.95
    assert 0.9 <= np.mean(equal) <= 0.98
    assert np.mean(naive) < 0.8


def test_intervals_of_groups_resample_whole_groups() -> None:
    groups = np.array([7, 3, 7, 5, 3, 7])
    drawn: list[dict[int, set[int]]] = []

    def measure(rows: npt.NDArray[np.intp]) -> float:
        counts = np.bincount(rows, minlength=6)
        drawn.append({group: set(counts[groups == group]) for group in (3, 5, 7)})
        return 0.0

    estimate_interval(measure, 6, groups=groups, resamples=100, seed=0)
    assert all(len(counts) == 1 for resample in drawn for counts in resample.values())
    assert all(sum(min(counts) for counts in resample.values()) == 3 for resample in drawn)


def test_the_interval_of_groups_that_are_all_right_has_a_width() -> None:
    correct = np.ones(40, np.bool_)
    found = estimate_accuracy_interval_of_groups(correct, np.arange(40) % 8, resamples=100, seed=0)
    assert found == estimate_accuracy_interval(correct)


@pytest.mark.parametrize(("units", "n_units"), [(None, 50), (8, 8), (7.5, 7.5), (1, 2)])
def test_without_groups_reviews_are_resampled_one_by_one(
    units: float | None, n_units: float
) -> None:
    values = np.random.default_rng(1).normal(size=50)
    rng = np.random.default_rng(3)
    means = [values[rng.integers(50, size=50)].mean() for _ in range(300)]
    found = estimate_interval(
        lambda rows: float(values[rows].mean()), 50, resamples=300, seed=3, units=units
    )
    # Hesterberg (2015): so many standard errors, of which a bootstrap has too small ones.
    quantile = scipy.stats.t.ppf(0.025, n_units - 1) * math.sqrt(n_units / (n_units - 1))
    tail = scipy.stats.norm.cdf(quantile)
    assert found == pytest.approx(tuple(np.quantile(means, [tail, 1 - tail])))
    assert tail < 0.025


@pytest.mark.parametrize("n_groups", [2, 3, 4])
def test_intervals_of_few_groups_are_wide_enough(n_groups: int) -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(n_groups), 100)
    covered = []
    for _ in range(400):
        shares = rng.beta(0.85 * 19, 0.15 * 19, size=n_groups)  # a correlation of 0.05
        correct = rng.random(len(groups)) < shares[groups]
        low, high = estimate_accuracy_interval_of_groups(correct, groups, resamples=1, seed=0)
        assert 0 <= low <= correct.mean() <= high <= 1
        covered.append(low <= 0.85 <= high)
    assert 0.9 <= np.mean(covered) <= 0.99  # of 0.95


def test_the_interval_of_few_groups_is_that_of_their_mean_if_they_are_equally_large() -> None:
    correct = np.repeat([True, False, True, False, True, False], [13, 7, 10, 10, 18, 2])
    groups = np.repeat([5, 2, 9], 20)
    found = estimate_accuracy_interval_of_groups(correct, groups, resamples=1, seed=0)
    means = [0.65, 0.5, 0.9]
    expected = scipy.stats.t.interval(0.95, 2, np.mean(means), scipy.stats.sem(means))
    assert found == pytest.approx((max(0, expected[0]), min(1, expected[1])))


@pytest.mark.parametrize(("b", "c"), [(3, 10), (10, 3), (7, 7), (0, 6), (0, 0)])
def test_mcnemars_test_is_that_of_a_fair_coin(b: int, c: int) -> None:
    first = np.array([True] * b + [False] * c + [True] * 5 + [False] * 4)
    second = np.array([False] * b + [True] * c + [True] * 5 + [False] * 4)
    found = compare_models(first, second)
    assert (found.only_first, found.only_second) == (b, c)
    tail = sum(math.comb(b + c, k) for k in range(min(b, c) + 1)) / 2 ** (b + c)
    assert found.p_value == pytest.approx(min(1, 2 * tail))


def test_words_are_compared_by_equation_22() -> None:
    here, elsewhere = np.array([30, 5, 100, 0, 7]), np.array([2, 50, 110, 0, 0])
    scores = compare_words(here, elsewhere)
    n, m = here.sum(), elsewhere.sum()
    for word in (0, 1, 2, 4):
        y, x = here[word], elsewhere[word]
        a = PRIOR_TOKENS * (y + x) / (n + m)
        delta = math.log((y + a) / (n + PRIOR_TOKENS - y - a))
        delta -= math.log((x + a) / (m + PRIOR_TOKENS - x - a))
        assert scores[word] == pytest.approx(delta / math.sqrt(1 / (y + a) + 1 / (x + a)))
    assert scores[3] == 0
    np.testing.assert_allclose(compare_words(elsewhere, here), -scores)
    assert not compare_words(np.zeros(3, int), np.zeros(3, int)).any()
