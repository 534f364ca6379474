"""The trained network as one file that an application can load without TensorFlow.

The file is an ONNX model. Its metadata hold the tokenizer, the labels and what else it takes to go
from a text to a label, so that parts which do not belong together can't be deployed together.
"""

import json
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from imdb_sentiment.errors import InputError
from imdb_sentiment.network.model import KerasModel, count_known_tokens
from imdb_sentiment.network.tensorflow_setup import tensorflow_setup
from imdb_sentiment.serving import seal

# The packages whose versions travel with a model.
MAKERS = ("imdb-sentiment", "keras", "tensorflow", "tf2onnx", "tokenizers")


def convert_to_onnx(
    model: KerasModel,
    tokenizer: Tokenizer,
    labels: Sequence[str],
    *,
    examples: Sequence[str] = (),
    facts: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """Convert the network to ONNX, with all that a deployment needs in its metadata.

    A digest over all of it makes sure that it stays together. Versions of what made it are among
    its facts.

    The mask is left out: with it, TensorFlow's loop over the words would be exported as a slow
    loop, without it as ONNX's own LSTM operator. The exported network must be fed reviews without
    any padding, in batches of one length, and then gives the masked network's probabilities.

    Args:
        model: The trained network, from `train_model`.
        tokenizer: That of the training.
        labels: Names of the labels in the order of their codes.
        examples: Texts for people to try it with.
        facts: What else is to be known of the model.

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
            config["recurrent_dropout"] = 0  # of training; with it, Keras's steps are others
        if isinstance(layer, keras.layers.Bidirectional):
            return keras.layers.Bidirectional(for_inference(layer.forward_layer), name=layer.name)
        return type(layer).from_config(config)

    def without_mask(layer: Any, *inputs: Any, mask: Any = None, **options: Any) -> Any:
        return layer(*inputs, **options)

    unmasked = keras.models.clone_model(
        model,
        clone_function=for_inference,
        # A clone of a functional model repeats its calls with their masks. (A Sequential doesn't.)
        call_function=None if isinstance(model, keras.Sequential) else without_mask,
    )
    unmasked.set_weights(model.get_weights())
    unmasked(np.zeros((1, 1), np.int32))  # Keras exports what has been called
    with tempfile.TemporaryDirectory() as folder:  # Keras exports to files only
        path = Path(folder) / "model.onnx"
        with warnings.catch_warnings():  # Keras asks NumPy for a name of long ago
            warnings.simplefilter("ignore", FutureWarning)
            unmasked.export(path, format="onnx", verbose=False)
        exported = onnx.load(path)
    onnx.helper.set_model_props(
        exported,
        {
            "tokenizer": tokenizer.to_str(),
            "labels": json.dumps(labels),
            "examples": json.dumps(examples),
            "versions": json.dumps({name: version(name) for name in MAKERS}),
            **facts,
        },
    )
    return seal(exported.SerializeToString())
