"""The trained network as one file that an application can load without TensorFlow.

The file is an ONNX model. Its metadata contain the tokenizer, the labels and all else that leads
from a text to a label, so that parts of different models can't be deployed together.
"""

import hashlib
import json
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from imdb_sentiment.errors import InputError
from imdb_sentiment.network.model import KerasModel, count_known_tokens
from imdb_sentiment.network.tensorflow_setup import tensorflow_setup

# Packages whose versions are recorded in the model.
PACKAGES = ("imdb-sentiment", "keras", "tensorflow", "tf2onnx", "tokenizers")


def convert_to_onnx(
    model: KerasModel,
    tokenizer: Tokenizer,
    labels: Sequence[str],
    *,
    examples: Sequence[str] = (),
    facts: Mapping[str, str] | None = None,
) -> bytes:
    """Convert the network to ONNX, with everything that a deployment needs in its metadata.

    The file ends in a digest of all the rest, which `imdb_sentiment.serving.Predictor` checks. The
    versions of the packages that made the model are among its facts.

    The mask is left out: with it, the LSTM would be exported as a slow loop over the words; without
    it, as ONNX's own LSTM operator. So the exported network needs reviews without padding, in
    batches of one length; then its probabilities are those of the masked network.

    Args:
        model: The trained network, from `train_model` or `average_networks`.
        tokenizer: The tokenizer of the training.
        labels: Names of the labels in the order of their codes.
        examples: Texts for people to try the model with.
        facts: Further facts about the model.

    Returns:
        A serialised model from `token_ids`, int32 of shape (batch, words), to probabilities,
        float32 of shape (batch, 1) for two labels, (batch, labels) for more.

    Raises:
        InputError: The network was trained with a vocabulary of another size.

    """
    size, known = tokenizer.get_vocab_size(), count_known_tokens(model)
    if size != known:
        raise InputError(
            f"the network knows {known:,} tokens and the tokenizer {size:,}: the data have been "
            "processed again since it was trained. Train it again: kedro run"
        )
    with tensorflow_setup():
        import keras
    import onnx

    def for_inference(layer: Any) -> Any:
        config = layer.get_config()
        if isinstance(layer, keras.layers.Embedding):
            config["mask_zero"] = False
        if isinstance(layer, keras.layers.LSTM):
            config["recurrent_dropout"] = 0  # unused here, but it changes the operations of a step
        if isinstance(layer, keras.layers.Bidirectional):
            return keras.layers.Bidirectional(for_inference(layer.forward_layer), name=layer.name)
        return type(layer).from_config(config)

    def without_mask(layer: Any, *inputs: Any, mask: Any = None, **options: Any) -> Any:
        return layer(*inputs, **options)

    unmasked = keras.models.clone_model(
        model,
        clone_function=for_inference,
        # Cloning repeats the calls of a functional model with their masks, unlike a Sequential's.
        call_function=None if isinstance(model, keras.Sequential) else without_mask,
    )
    unmasked.set_weights(model.get_weights())
    unmasked(np.zeros((1, 1), np.int32))  # Keras exports only models that have been called
    with tempfile.TemporaryDirectory() as folder:  # Keras exports only to files
        path = Path(folder) / "model.onnx"
        # Keras uses a deprecated name of NumPy.
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            unmasked.export(path, format="onnx", verbose=False)
        exported = onnx.load(path)
    onnx.helper.set_model_props(
        exported,
        {
            "tokenizer": tokenizer.to_str(),
            "labels": json.dumps(labels),
            "examples": json.dumps(examples),
            "versions": json.dumps({name: version(name) for name in PACKAGES}),
            **(facts or {}),
        },
    )
    return seal(exported.SerializeToString())


def seal(model: bytes) -> bytes:
    """Append the SHA-256 of a serialised ONNX model to it, as one more entry of its metadata.

    The result is an ONNX model again, since Protocol Buffers merge messages that are concatenated.
    `imdb_sentiment.serving.Predictor` can therefore check a file before it parses it.
    """
    import onnx

    trailer = onnx.ModelProto()
    onnx.helper.set_model_props(trailer, {"sha256": hashlib.sha256(model).hexdigest()})
    return model + bytes(trailer.SerializeToString())
