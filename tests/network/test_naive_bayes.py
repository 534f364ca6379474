"""Log-count ratios, against counting by hand, and where training starts from them."""

import math
import tracemalloc
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from helpers import make_encoded, small_hyperparameters
from imdb_sentiment.network.naive_bayes import compute_log_count_ratios
from imdb_sentiment.network.training import train_model


@pytest.mark.parametrize("n_labels", [2, 3])
def test_ratios_are_those_counted_by_hand(n_labels: int) -> None:
    reviews = make_encoded(50, n_labels).take(np.arange(37))  # labels of unequal frequency
    sets = [set(ids) for ids in reviews.sequences.tolist()]
    found = compute_log_count_ratios(reviews)
    assert found.shape == (reviews.vocabulary_size, 1 if n_labels == 2 else 3)
    for output, code in enumerate([1] if n_labels == 2 else range(3)):
        mine = [ids for ids, label in zip(sets, reviews.codes, strict=True) if label == code]
        others = [ids for ids, label in zip(sets, reviews.codes, strict=True) if label != code]
        for token in range(2, reviews.vocabulary_size):
            share = sum(token in ids for ids in mine) / len(mine) + 10 / 37
            other_share = sum(token in ids for ids in others) / len(others) + 10 / 37
            assert found[token, output] == pytest.approx(math.log(share / other_share), abs=1e-6)
    assert (found[:2] == 0).all()  # padding and unknown words


def test_large_sets_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    few = make_encoded(500, 3).take(np.tile(np.arange(500), 100))
    many = replace(few, sequences=np.repeat(few.sequences, 30, axis=1))
    tracemalloc.start()
    found = compute_log_count_ratios(many)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < many.sequences.nbytes
    monkeypatch.setattr("imdb_sentiment.network.naive_bayes.ROWS_AT_A_TIME", len(many))
    np.testing.assert_array_equal(compute_log_count_ratios(many), found)


def test_tokens_that_say_nothing_have_ratios_of_0() -> None:
    reviews = make_encoded(40)
    both = replace(reviews, sequences=np.repeat(reviews.sequences[::2], 2, axis=0))
    np.testing.assert_allclose(compute_log_count_ratios(both), 0, atol=1e-6)


@pytest.mark.parametrize("n_labels", [2, 3])
@pytest.mark.parametrize("only", [0, 1])
def test_ratios_are_finite_where_labels_are_missing(n_labels: int, only: int) -> None:
    reviews = make_encoded(40, n_labels)
    one_label = replace(reviews, codes=np.full_like(reviews.codes, only))
    assert np.isfinite(compute_log_count_ratios(one_label)).all()


@pytest.mark.slow
def test_training_starts_from_the_ratios_of_its_own_reviews(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reviews = make_encoded(48)
    vectors = np.random.default_rng(0).normal(size=(reviews.vocabulary_size, 5)).astype(np.float32)
    still = {"pretrained_embedding": True, "epochs": 1, "learning_rate": 1e-12}

    def first_weights(scale: float) -> npt.NDArray[np.float32]:
        settings = small_hyperparameters(**still, naive_bayes_scale=scale)
        model, _ = train_model(reviews, settings, 0, word_vectors=vectors)
        weights: npt.NDArray[np.float32] = model.layers[0].get_weights()[0]
        return weights

    ratios = compute_log_count_ratios(reviews)
    for rows, labels, scale in ((2000, 10, 2.0), (12, 10, 0.5), (2000, 1, 1.0), (12, 1, 0.25)):
        monkeypatch.setattr("imdb_sentiment.network.training.FULL_SCALE_ROWS", rows)
        monkeypatch.setattr("imdb_sentiment.network.training.FULL_SCALE_LABELS", labels)
        expected = np.hstack([vectors, scale * ratios])
        np.testing.assert_allclose(first_weights(2.0), expected, atol=1e-6)
    np.testing.assert_allclose(first_weights(0.0), vectors, atol=1e-6)
