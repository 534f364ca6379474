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


@pytest.mark.parametrize(("n", "right"), [(40, 30), (400, 380), (5, 5)])
def test_the_interval_is_that_of_resampled_reviews(n: int, right: int) -> None:
    correct = np.arange(n) < right
    low, high = estimate_accuracy_interval(correct, resamples=20_000, seed=1)
    if right == n:
        assert (low, high) == (1, 1)
        return
    expected = scipy.stats.bootstrap(
        (correct,), np.mean, n_resamples=20_000, method="percentile", rng=2
    ).confidence_interval
    assert low == pytest.approx(expected.low, abs=1 / n)
    assert high == pytest.approx(expected.high, abs=1 / n)
    assert low < right / n < high


def test_the_interval_is_narrower_with_less_confidence() -> None:
    correct = np.arange(100) < 80
    wide = estimate_accuracy_interval(correct, resamples=5000, seed=0)
    narrow = estimate_accuracy_interval(correct, resamples=5000, seed=0, confidence=0.5)
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
