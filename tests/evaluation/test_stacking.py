"""The weights of an average against scikit-learn and a search over a grid."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest
import scipy.optimize
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.linear_model import LogisticRegression

from imdb_sentiment.evaluation.logits import count_outputs, to_logits, to_probabilities
from imdb_sentiment.evaluation.stacking import HeldOutLogits, Weights, fit_weights

Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

POSITIVE = st.floats(0.001, 1)


def draw(n_labels: int, *weights: float, rows: int = 400) -> tuple[list[Array], Codes]:
    """Return logits of models, and labels drawn from their sum with these weights."""
    rng = np.random.default_rng(7)
    outputs = 1 if n_labels == 2 else n_labels
    models = [rng.normal(scale=1.5, size=(rows, outputs)) for _ in weights]
    total = sum(
        (weight * model for weight, model in zip(weights, models, strict=True)),
        np.zeros((rows, outputs)),
    )
    whole = np.hstack([np.zeros((rows, 1)), total]) if n_labels == 2 else total
    chances = np.exp(whole) / np.exp(whole).sum(axis=1, keepdims=True)
    codes = (rng.uniform(size=(rows, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    return models, codes


def compute_loss(weights: tuple[float, ...], models: list[Array], codes: Codes) -> float:
    """Return the sum of the log loss, and half the squared length of the weights."""
    logits = sum(weight * model for weight, model in zip(weights, models, strict=True))
    whole = np.array(logits)
    if whole.shape[1] == 1:
        whole = np.hstack([np.zeros_like(whole), whole])
    chances = np.exp(whole) / np.exp(whole).sum(axis=1, keepdims=True)
    penalty = sum(weight**2 for weight in weights) / 2
    return float(-np.log(chances[np.arange(len(codes)), codes]).sum()) + penalty


@given(hnp.arrays(float, st.tuples(st.integers(1, 5), st.integers(2, 4)), elements=POSITIVE))
def test_logits_become_the_same_probabilities(parts: Array) -> None:
    probabilities = parts / parts.sum(axis=1, keepdims=True)
    logits = to_logits(probabilities)
    assert logits.shape == (len(parts), count_outputs(parts.shape[1]))
    np.testing.assert_allclose(to_probabilities(logits), probabilities, rtol=1e-9)


def test_a_logit_of_two_labels_is_the_log_odds_of_the_second() -> None:
    np.testing.assert_allclose(to_logits(np.array([[0.2, 0.8], [0.5, 0.5]])), [[np.log(4)], [0]])
    np.testing.assert_allclose(to_probabilities(np.array([[np.log(4)]])), [[0.2, 0.8]])


def test_certainty_stays_finite() -> None:
    certain = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert np.isfinite(to_logits(certain)).all()
    np.testing.assert_allclose(to_probabilities(to_logits(certain)), certain, atol=1e-9)
    assert np.isfinite(to_logits(np.array([[0.0, 0.0, 1.0]]))).all()


@pytest.mark.parametrize("true", [(0.7, 0.4), (0.2, 1.5), (2.0, 0.9)])
def test_the_weights_are_those_of_a_logistic_regression(true: tuple[float, float]) -> None:
    (network, ngrams), codes = draw(2, *true)
    found = fit_weights(network, ngrams, codes, None)
    regression = LogisticRegression(C=1, fit_intercept=False, tol=1e-10, max_iter=1000)
    regression.fit(np.hstack([network, ngrams]), codes)
    expected = regression.coef_[0]
    assert expected.min() > 0
    np.testing.assert_allclose([found.network, found.ngrams], expected, rtol=1e-3)


@pytest.mark.parametrize("n_labels", [3, 4])
def test_with_more_labels_no_other_weights_are_better(n_labels: int) -> None:
    models, codes = draw(n_labels, 0.9, 0.5)
    found = fit_weights(models[0], models[1], codes, None)
    grid = [step / 20 for step in range(41)]
    best = min(compute_loss(pair, models, codes) for pair in itertools.product(grid, grid))
    loss = compute_loss((found.network, found.ngrams), models, codes)
    assert loss <= best
    expected = scipy.optimize.minimize(
        compute_loss, [1.0, 1.0], (models, codes), method="Nelder-Mead", options={"xatol": 1e-6}
    )
    np.testing.assert_allclose([found.network, found.ngrams], expected.x, rtol=1e-3)


@pytest.mark.parametrize("n_labels", [2, 3])
@pytest.mark.parametrize("true", [(1.0, -0.8), (-0.8, 1.0)])
def test_a_weight_is_never_negative(true: tuple[float, float], n_labels: int) -> None:
    models, codes = draw(n_labels, *true)
    found = fit_weights(models[0], models[1], codes, None)
    weights = (found.network, found.ngrams)
    harmful, useful = np.argmin(true), np.argmax(true)
    assert weights[harmful] == 0
    alone = fit_weights(models[useful], None, codes, None)
    assert weights[useful] == pytest.approx(alone.network, rel=1e-3)
    assert found.share == useful


@pytest.mark.parametrize("n_labels", [2, 3])
def test_models_that_are_worse_than_chance_are_all_but_ignored(n_labels: int) -> None:
    """With weights of 0, neither a share nor a temperature would be defined."""
    models, codes = draw(n_labels, -1, -1)
    both = fit_weights(models[0], models[1], codes, None)
    given = fit_weights(models[0], models[1], codes, 0.3)
    alone = fit_weights(models[0], None, codes, None)
    assert [both.share, given.share, alone.share] == pytest.approx([0.75, 0.3, 0])
    for weights in (both, given, alone):
        assert weights.temperature == pytest.approx(20)
    assert np.ptp(both.average(models[0], models[1]), axis=1).mean() < 0.1


@pytest.mark.parametrize("n_labels", [2, 3])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_with_a_given_share_only_the_scale_is_fitted(share: float, n_labels: int) -> None:
    models, codes = draw(n_labels, 0.6, 0.6)
    found = fit_weights(models[0], models[1], codes, share)
    assert found.share == pytest.approx(share)
    mixed = [(1 - share) * models[0] + share * models[1]]
    scale = scipy.optimize.minimize_scalar(
        lambda scale: compute_loss((scale,), mixed, codes), bounds=(0.01, 10), method="bounded"
    ).x
    assert found.temperature == pytest.approx(1 / scale, rel=1e-3)
    np.testing.assert_allclose(
        [found.network, found.ngrams], [(1 - share) * scale, share * scale], rtol=1e-3
    )


@pytest.mark.parametrize("n_labels", [2, 3])
@pytest.mark.parametrize("true", [0.4, 1.0, 3.0])
def test_one_model_alone_is_calibrated(true: float, n_labels: int) -> None:
    (network,), codes = draw(n_labels, true, rows=5000)
    found = fit_weights(network, None, codes, None)
    assert found.ngrams == found.share == 0
    assert found.network == pytest.approx(true, rel=0.1)
    assert fit_weights(network, None, codes, 0.0) == found


@pytest.mark.parametrize("n_labels", [2, 3])
@pytest.mark.parametrize("share", [None, 0.4])
def test_where_every_prediction_is_right_the_weights_stay_finite(
    share: float | None, n_labels: int
) -> None:
    codes = np.arange(300) % n_labels
    whole = np.where(codes[:, np.newaxis] == np.arange(n_labels), 1.0, -1.0)
    right = whole[:, 1:] if n_labels == 2 else whole
    found = fit_weights(right, 2 * right, codes, share)
    assert 0 < found.network <= 20
    assert 0 < found.ngrams <= 20
    assert found.average(right, 2 * right)[np.arange(300), codes].min() > 0.99
    assert np.isfinite([found.share, found.temperature]).all()


def test_no_certainty_is_too_much_for_the_fit() -> None:
    """Logits of probabilities of 0 and 1, some of them wrong."""
    network = to_logits(np.eye(2)[np.arange(100) % 2])
    codes = np.arange(100) % 2
    codes[:10] = 1 - codes[:10]
    found = fit_weights(network, None, codes, None)
    assert to_probabilities(found.network * network).max() == pytest.approx(0.9, abs=0.01)


def test_weights_are_a_share_and_a_temperature() -> None:
    weights = Weights.from_share(0.25, 2.0)
    assert (weights.network, weights.ngrams) == (0.375, 0.125)
    assert (weights.share, weights.temperature) == (0.25, 2.0)
    assert Weights.from_share(0.25) == Weights(0.75, 0.25)


def test_the_average_is_of_logits() -> None:
    network, ngrams = np.array([[2.0], [-1.0]]), np.array([[0.5], [3.0]])
    expected = 1 / (1 + np.exp(-(0.6 * network + 0.3 * ngrams)))
    found = Weights(0.6, 0.3).average(network, ngrams)
    np.testing.assert_allclose(found, np.hstack([1 - expected, expected]))
    three = np.log([[0.2, 0.3, 0.5]])
    np.testing.assert_allclose(
        Weights(1, 1).average(three, three), [np.array([0.04, 0.09, 0.25]) / 0.38]
    )


def test_held_out_logits_are_counted() -> None:
    assert len(HeldOutLogits(np.arange(3), np.zeros((3, 1)))) == 3
