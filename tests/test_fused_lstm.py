from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from helpers import make_encoded
from imdb_sentiment.model import build_model, train_model
from imdb_sentiment.parameters import Hyperparameters


def gradients(model: Any, tokens: Any, codes: Any) -> list[npt.NDArray[np.float32]]:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = model.compute_loss(y=codes, y_pred=model(tokens, training=True))
    found = tape.gradient(loss, model.trainable_weights)
    return [np.asarray(tf.convert_to_tensor(gradient)) for gradient in found]


@pytest.mark.parametrize("n_labels", [2, 3])
@pytest.mark.parametrize("parts", [1, 2, 3])
def test_outputs_and_gradients_are_those_of_keras(
    parts: int, n_labels: int, hyperparameters: Hyperparameters
) -> None:
    from imdb_sentiment.fused_lstm import make_fused_twin

    wide = hyperparameters.model_copy(
        update={"embedding_size": 8, "units": 10, "dropout_rate": 0.0}
    )
    model = build_model(wide, vocabulary_size=30, n_labels=n_labels)
    rng = np.random.default_rng(0)
    for weights in model.weights:
        weights.assign(rng.normal(size=weights.shape))
    twin = make_fused_twin(model, parts)
    encoded = make_encoded(17, n_labels, length=40)
    tokens = encoded.sequences.astype(np.int32)
    tokens[3] = 0  # nothing but padding
    for rows in (slice(None), slice(2)):  # fewer rows than parts, too
        some, codes = tokens[rows], encoded.codes[rows].astype(np.int32)
        np.testing.assert_allclose(twin(some), model(some), atol=1e-5)
        ours, theirs = gradients(twin, some, codes), gradients(model, some, codes)
        assert len(ours) == len(theirs) == 6
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(other).max())


def test_training_is_that_of_keras(
    hyperparameters: Hyperparameters, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import keras

    monkeypatch.setenv("TF_NUM_INTEROP_THREADS", "2")  # so a batch is trained in two parts
    chosen = hyperparameters.model_copy(update={"batch_size": 64, "epochs": 4})
    train, validation = make_encoded(200), make_encoded(40, seed=9)
    fused, history = train_model(train, chosen, 1, validation)
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda *kind: list(kind))
    plain, expected = train_model(train, chosen, 1, validation)
    for name, values in expected.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-3)
    for one, other in zip(fused.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)
    assert [type(layer) for layer in fused.layers] == [type(layer) for layer in plain.layers]
    # Whoever loads the model can go on training it.
    fused.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.iterations == plain.optimizer.iterations == 16
    assert len(loaded.optimizer.variables) == len(plain.optimizer.variables)
    for one, other in zip(loaded.optimizer.variables, fused.optimizer.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
