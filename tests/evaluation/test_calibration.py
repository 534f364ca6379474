"""Calibration against counting by hand."""

import numpy as np
import pytest

from imdb_sentiment.evaluation.calibration import (
    Probabilities,
    estimate_error_by_chance,
    measure_calibration,
)
from imdb_sentiment.evaluation.logits import to_logits, to_probabilities


@pytest.mark.parametrize("labels", [2, 4])
def test_calibration_is_counted_bin_by_bin(labels: int) -> None:
    rng = np.random.default_rng(labels)
    probabilities = rng.dirichlet(np.ones(labels), size=500)
    probabilities[0] = np.eye(labels)[0]  # maximum confidence
    probabilities[1] = 1 / labels  # minimum confidence
    codes = rng.integers(labels, size=500)
    found = measure_calibration(probabilities, codes, 7)
    least, error = 1 / labels, 0.0
    counts: list[int] = []
    for number in range(7):
        low = least + (1 - least) * number / 7
        high = least + (1 - least) * (number + 1) / 7
        rows = [
            row
            for row in range(500)
            if low <= max(probabilities[row]) < high
            or (number == 6 and max(probabilities[row]) == 1)
        ]
        if not rows:
            continue
        sure = sum(max(probabilities[row]) for row in rows) / len(rows)
        right = sum(probabilities[row].argmax() == codes[row] for row in rows) / len(rows)
        assert found.confidence[len(counts)] == pytest.approx(sure)
        assert found.accuracy[len(counts)] == pytest.approx(right)
        counts.append(len(rows))
        error += len(rows) / 500 * abs(sure - right)
    assert found.count.tolist() == counts
    assert sum(counts) == 500
    assert found.error == pytest.approx(error)


def rescale(probabilities: Probabilities, temperature: float) -> Probabilities:
    return to_probabilities(to_logits(probabilities) / temperature)


def test_a_calibrated_model_has_no_calibration_error() -> None:
    rng = np.random.default_rng(0)
    positive = rng.uniform(size=200_000)
    codes = (rng.uniform(size=200_000) < positive).astype(int)
    both = np.column_stack([1 - positive, positive])
    assert measure_calibration(both, codes, 15).error < 0.006
    assert measure_calibration(rescale(both, 0.3), codes, 15).error > 0.1


def test_the_error_by_chance_is_that_of_labels_drawn_from_the_probabilities() -> None:
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.ones(3), size=150)
    errors = []
    for _ in range(2000):
        codes = (rng.uniform(size=(150, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)
        errors.append(measure_calibration(probabilities, codes, 15).error)
    found = estimate_error_by_chance(probabilities, 15, resamples=2000, seed=0)
    assert found == pytest.approx(np.mean(errors), rel=0.03)
    assert found > 0.05


def test_of_many_reviews_few_draws_are_enough() -> None:
    positive = np.random.default_rng(2).uniform(size=1_000_000)
    both = np.column_stack([1 - positive, positive])
    few, many = (
        estimate_error_by_chance(both, 15, resamples=resamples, seed=0) for resamples in (20, 10**6)
    )
    assert few == many
    assert few == pytest.approx(0.0015, rel=0.3)


def test_predictions_without_doubt_have_no_error_by_chance() -> None:
    assert estimate_error_by_chance(np.eye(4), 15, resamples=100, seed=0) == 0


def test_a_temperature_divides_the_logit() -> None:
    positive = np.array([0.001, 0.3, 0.5, 0.99])
    both = np.column_stack([1 - positive, positive])
    expected = 1 / (1 + np.exp(-np.log(positive / (1 - positive)) / 2.5))
    np.testing.assert_allclose(rescale(both, 2.5)[:, 1], expected)
    np.testing.assert_allclose(rescale(rescale(both, 2.5), 1 / 2.5), both)
    three = np.array([[0.2, 0.3, 0.5]])
    np.testing.assert_allclose(rescale(three, 0.5), three**2 / (three**2).sum())
    certain = np.array([[0.0, 1.0]])
    assert np.isfinite(rescale(certain, 3)).all()
