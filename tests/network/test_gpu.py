"""Training on a GPU, where cuDNN runs the LSTM; without one, what can be tested of it."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from helpers import make_encoded, make_network, small_hyperparameters
from imdb_sentiment.network.training import train_model
from imdb_sentiment.text.batching import pad_right
from imdb_sentiment.text.encoded_reviews import EncodedReviews


def find_gradients(model: Any, reviews: EncodedReviews) -> list[npt.NDArray[np.float32]]:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        outputs = model(pad_right(reviews.sequences).astype(np.int32), training=True)
        loss = model.compute_loss(y=reviews.codes.astype(np.int32), y_pred=outputs)
    gradients = tape.gradient(loss, model.trainable_variables)
    return [np.asarray(tf.convert_to_tensor(array)) for array in (outputs, *gradients)]


@pytest.mark.parametrize("bidirectional", [False, True])
def test_cudnn_computes_what_the_loop_computes(bidirectional: bool) -> None:
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        pytest.skip("needs a GPU")
    reviews = make_encoded(33, length=9)
    reviews.sequences[5] = 0  # without a known word
    model = make_network(dropout_rate=0.0, units=8, bidirectional=bidirectional)
    fused = find_gradients(model, reviews)
    layer = model.layers[1]
    for lstm in [layer.forward_layer, layer.backward_layer] if bidirectional else [layer]:
        lstm.use_cudnn = False
    for one, other in zip(fused, find_gradients(model, reviews), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4 * np.abs(other).max())


@pytest.mark.slow
@pytest.mark.parametrize("bidirectional", [False, True])
def test_in_mixed_precision_only_the_training_of_lstms_is(
    bidirectional: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    dtypes: list[list[str]] = []

    class Record(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: object = None) -> None:
            dtypes.append([layer.compute_dtype for layer in self.model.layers])

    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda *kind: list(kind))
    chosen = small_hyperparameters(epochs=2, bidirectional=bidirectional)
    reviews = make_encoded(64)
    _, expected = train_model(reviews, chosen, 1, callbacks=[Record()])
    assert {*dtypes[-1]} == {"float32"}
    mixed, history = train_model(
        reviews, chosen.model_copy(update={"mixed_precision": True}), 1, callbacks=[Record()]
    )
    is_lstm = [isinstance(x, keras.layers.LSTM | keras.layers.Bidirectional) for x in mixed.layers]
    assert [dtype == "bfloat16" for dtype in dtypes[-1]] == is_lstm
    assert history["loss"] != expected["loss"]  # it was in bfloat16
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=0.05)
    assert "bfloat16" not in mixed.to_json()  # it scores in float32, and is saved so
    assert {array.dtype for array in mixed.get_weights()} == {np.dtype(np.float32)}
