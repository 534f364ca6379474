"""The LSTM's pretraining: what it learns, what it is given, and what starts from it."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from helpers import make_encoded, small_hyperparameters
from imdb_sentiment.errors import InputError
from imdb_sentiment.network import language_model
from imdb_sentiment.network.language_model import pretrain_lstm
from imdb_sentiment.network.training import train_model
from imdb_sentiment.parameters import LanguageModelParameters
from imdb_sentiment.text import batching

VOCABULARY = 30
VECTORS = np.random.default_rng(0).normal(size=(VOCABULARY, 5)).astype(np.float32)


def make_parameters(**changes: Any) -> LanguageModelParameters:
    settings: dict[str, Any] = {"passes": 0, "passes_without_unlabelled": 0, "required_steps": 0}
    settings |= {"batch_size": 16, "learning_rate": 0.01, "seed": 0}
    return LanguageModelParameters(**settings | changes)


SHAPE: Any = {"passes": 1, "units": 4, "bidirectional": False, "chrono_initialization": 0}


def make_texts(n: int = 160) -> npt.NDArray[np.uint8]:
    """Return texts in which the tokens 2 to 5 are followed by 12 to 15, then by 22 to 25."""
    rng = np.random.default_rng(0)
    starts = rng.integers(2, 6, size=(n, 3))
    texts = np.stack([starts, starts + 10, starts + 20], axis=2).reshape(n, 9).astype(np.uint8)
    texts[::5, :3] = 0  # shorter ones, padded on the left
    return texts


@pytest.mark.slow
@pytest.mark.parametrize("bidirectional", [False, True])
def test_weights_have_the_shapes_of_the_network(
    bidirectional: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = SHAPE | {"bidirectional": bidirectional}
    texts = np.vstack([make_texts(40), np.zeros((3, 9), np.uint8)])  # some without known words
    weights = pretrain_lstm(texts, VECTORS, make_parameters(), **shape)
    one = [(5, 16), (4, 16), (16,)]
    assert [array.shape for array in weights] == [(VOCABULARY, 5), *one, *(one * bidirectional)]
    assert all(np.isfinite(array).all() for array in weights)
    monkeypatch.setattr(batching, "COUNTED_AT_A_TIME", 7)  # tokens are counted in portions
    again = pretrain_lstm(texts, VECTORS, make_parameters(), **shape)
    for mine, theirs in zip(weights, again, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def measure_loss(
    texts: npt.NDArray[np.uint8], caplog: pytest.LogCaptureFixture, *, bidirectional: bool
) -> float:
    """Return the last loss per direction, divided by that of a model without context.

    Twelve tokens are equally frequent, and so are the negative ones. Without context, a token has
    the odds 1 to 5, the weight of the negative ones, of being a following one.
    """
    parameters = make_parameters(learning_rate=0.03)
    with caplog.at_level("DEBUG", "imdb_sentiment"):
        pretrain_lstm(
            texts,
            VECTORS,
            parameters,
            passes=6,
            units=16,
            bidirectional=bidirectional,
            chrono_initialization=0,
        )
    *_, message = (words for words in caplog.messages if "loss" in words)
    assert message.startswith("Language model, step 300 of 300: ")
    last = float(message.rpartition(" ")[2])
    without_context = float(np.log(6) + 5 * np.log(6 / 5))
    return last / without_context / (1 + bidirectional)


@pytest.mark.parametrize("bidirectional", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_loss_falls_where_tokens_determine_the_next_ones(
    bidirectional: bool, caplog: pytest.LogCaptureFixture
) -> None:
    assert measure_loss(make_texts(800), caplog, bidirectional=bidirectional) < 0.9


@pytest.mark.slow
def test_the_loss_does_not_fall_where_there_is_nothing_to_predict(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It would, if a direction were asked for tokens that it has read already."""
    drawn = np.random.default_rng(0).integers(2, 14, size=(800, 9)).astype(np.uint8)
    assert measure_loss(drawn, caplog, bidirectional=True) > 0.95


@pytest.mark.slow
def test_training_starts_from_the_pretrained_weights() -> None:
    reviews = make_encoded(48)
    still = {"pretrained_embedding": True, "bidirectional": False, "epochs": 1, "units": 4}
    chosen = small_hyperparameters(**still, learning_rate=1e-12, naive_bayes_scale=0.0)
    weights = pretrain_lstm(make_texts(40), VECTORS, make_parameters(), **SHAPE)

    def start(**changes: Any) -> list[npt.NDArray[np.float32]]:
        settings = chosen.model_copy(update=changes)
        model, _ = train_model(reviews, settings, 0, word_vectors=VECTORS, pretrained=weights)
        found: list[npt.NDArray[np.float32]] = model.get_weights()
        return found

    for mine, theirs in zip(weights, start(), strict=False):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)
    with_ratios = start(naive_bayes_scale=1.0)
    np.testing.assert_allclose(with_ratios[0][:, :5], weights[0], atol=1e-6)
    np.testing.assert_allclose(with_ratios[1][:5], weights[1], atol=1e-6)
    assert with_ratios[1].shape == (6, 16)
    from_scratch = start(pretrained_embedding=False)
    assert from_scratch[0].shape != weights[0].shape
    for change in ({"units": 5}, {"bidirectional": True}):
        with pytest.raises(InputError, match="another size or another number of directions"):
            start(**change)


@pytest.mark.slow
def test_the_optimizer_is_that_of_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras
    import tensorflow as tf

    def pretrain() -> npt.NDArray[np.float32]:
        return pretrain_lstm(make_texts(), VECTORS, make_parameters(), **SHAPE)[0]

    limit = 0.05  # lower than most norms
    free = pretrain()
    monkeypatch.setattr(language_model, "GRADIENT_CLIP_NORM", limit)
    ours = pretrain()
    monkeypatch.setattr(tf, "clip_by_global_norm", lambda gradients, _: (gradients, None))
    monkeypatch.setattr(
        language_model,
        "make_fused_adam",
        lambda rate: keras.optimizers.Adam(rate, global_clipnorm=limit),
    )
    np.testing.assert_allclose(ours, pretrain(), atol=1e-4)
    assert np.abs(ours - VECTORS).max() > 0.01
    assert np.abs(ours - free).max() > 0.001


def test_without_word_vectors_there_is_nothing_to_start_from() -> None:
    with pytest.raises(InputError, match=r"set word_vectors\.method"):
        pretrain_lstm(make_texts(), VECTORS[:0], make_parameters(), **SHAPE)


@pytest.mark.parametrize("units", [3, 5, 8])
def test_the_predicted_tokens_begin_as_similar_as_their_word_vectors(units: int) -> None:
    found = language_model._make_target_vectors(VECTORS, units, seed=0)
    assert found.shape == (VOCABULARY, units)
    left, sizes, _ = np.linalg.svd(VECTORS, full_matrices=False)
    kept = min(units, VECTORS.shape[1])
    expected = (left[:, :kept] * sizes[:kept] ** 2) @ left[:, :kept].T
    similar = found[:, :kept] @ found[:, :kept].T
    np.testing.assert_allclose(similar / similar.max(), expected / expected.max(), atol=1e-4)
    assert found.std() == pytest.approx(0.1, rel=0.1)
