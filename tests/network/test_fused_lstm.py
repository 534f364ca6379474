import itertools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from helpers import make_encoded, small_hyperparameters
from imdb_sentiment.network.model import build_model
from imdb_sentiment.network.training import train_model
from imdb_sentiment.text.batching import pad_right


def gradients(model: Any, tokens: Any, codes: Any) -> list[npt.NDArray[np.float32]]:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = model.compute_loss(y=codes, y_pred=model(tokens, training=True))
    found = tape.gradient(loss, model.trainable_weights)
    return [np.asarray(tf.convert_to_tensor(gradient)) for gradient in found]


SHAPES: list[dict[str, Any]] = [
    {},
    {"bidirectional": True},
    {"lstm_layers": 2},
    {"lstm_layers": 2, "bidirectional": True, "pooling": "max_mean"},
    {"pooling": "mean"},
]


TYPICAL = [(2, SHAPES[0]), (4, SHAPES[1]), (2, SHAPES[2])]


@pytest.mark.parametrize(
    ("parts", "shape"),
    [
        pytest.param(*case, marks=[] if case in TYPICAL else pytest.mark.slow)
        for case in itertools.product([1, 2, 4], SHAPES)
    ],
    ids=str,
)
def test_outputs_and_gradients_are_those_of_keras(parts: int, shape: dict[str, Any]) -> None:
    from imdb_sentiment.network.fused_lstm import make_fused_twin

    n_labels = 3 if parts == 4 else 2
    wide = small_hyperparameters(embedding_size=8, units=10, dropout_rate=0.0, **shape)
    model = build_model(wide, vocabulary_size=30, n_labels=n_labels)
    rng = np.random.default_rng(0)
    for weights in model.weights:
        # Stacked LSTMs amplify rounding errors.
        weights.assign(rng.normal(scale=1 / wide.lstm_layers, size=weights.shape))
    twin = make_fused_twin(model, parts)
    encoded = make_encoded(17, n_labels, length=15)
    tokens = pad_right(encoded.sequences).astype(np.int32)
    for rows in (slice(None), slice(1)):  # also fewer rows than parts
        some, codes = tokens[rows], encoded.codes[rows].astype(np.int32)
        np.testing.assert_allclose(twin(some), model(some), atol=1e-5)
        ours, theirs = gradients(twin, some, codes), gradients(model, some, codes)
        assert len(ours) == len(theirs) == len(model.trainable_weights)
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(other).max())


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape",
    [
        {"spatial_dropout_rate": 0.3},  # drawn for a batch, whatever its number of parts
        {"bidirectional": True, "pooling": "max_mean"},
    ],
    ids=str,
)
def test_training_is_that_of_keras(
    shape: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import keras

    monkeypatch.setenv("TF_NUM_INTEROP_THREADS", "2")  # so that batches are trained in two parts
    chosen = small_hyperparameters(
        batch_size=64, epochs=4, learning_rate_schedule="cosine", **shape
    )
    train, validation = make_encoded(200), make_encoded(40, seed=9)
    fused, history = train_model(train, chosen, 1, validation)
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda *kind: list(kind))
    plain, expected = train_model(train, chosen, 1, validation)
    for name, values in expected.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-3)
    for one, other in zip(fused.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)
    assert [type(layer) for layer in fused.layers] == [type(layer) for layer in plain.layers]
    # The saved model can be trained further, although the learning rate has fallen to 0.
    fused.save(tmp_path / "model.keras")
    with warnings.catch_warnings(action="error", category=UserWarning):
        loaded = keras.models.load_model(tmp_path / "model.keras")
    assert float(loaded.optimizer.learning_rate) == pytest.approx(chosen.learning_rate / 2)
    loaded.fit(train.sequences, train.codes, epochs=1, verbose=0)
    for one, other in zip(loaded.get_weights(), fused.get_weights(), strict=True):
        assert not np.array_equal(one, other)
