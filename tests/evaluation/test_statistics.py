"""Each statistic against another way to compute it."""

import math

import numpy as np
import pytest
import scipy.stats

from imdb_sentiment.evaluation.statistics import (
    PRIOR_TOKENS,
    compare_models,
    compare_words,
    estimate_accuracy_interval,
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


def test_the_interval_is_narrower_with_less_confidence() -> None:
    correct = np.arange(100) < 80
    wide = estimate_accuracy_interval(correct)
    narrow = estimate_accuracy_interval(correct, confidence=0.5)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


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
