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
from imdb_sentiment.evaluation.stacking import Weights
from imdb_sentiment.network.model import KerasModel, count_known_tokens
from imdb_sentiment.network.ngrams import NgramModel
from imdb_sentiment.network.tensorflow_setup import tensorflow_setup

NETWORK_ALONE = Weights(network=1, ngrams=0)

# Packages whose versions are recorded in the model.
PACKAGES = ("imdb-sentiment", "keras", "tensorflow", "tf2onnx", "tokenizers")


def convert_to_onnx(
    model: KerasModel,
    tokenizer: Tokenizer,
    labels: Sequence[str],
    *,
    ngram_model: NgramModel | None = None,
    weights: Weights = NETWORK_ALONE,
    examples: Sequence[str] = (),
    facts: Mapping[str, str] | None = None,
) -> bytes:
    """Convert the network, and the n-grams averaged with it, to ONNX.

    The metadata have everything else that a deployment needs.

    The file ends in a digest of all the rest, which `imdb_sentiment.serving.Predictor` checks. The
    versions of the packages that made the model are among its facts.

    The mask is left out: with it, the LSTM would be exported as a slow loop over the words; without
    it, as ONNX's own LSTM operator. So the exported network needs reviews without padding, in
    batches of one length; then its probabilities are those of the masked network.

    Args:
        model: The trained network, from `train_model` or `average_networks`.
        tokenizer: The tokenizer of the training.
        labels: Names of the labels in the order of their codes.
        ngram_model: Linear model of n-grams to average with the network; None for none.
        weights: Weights of both in the average.
        examples: Texts for people to try the model with.
        facts: Further facts about the model.

    Returns:
        A serialised model from `token_ids`, int32 of shape (batch, words), and with an n-gram model
        also `ngrams`, their hashes, int64 of shape (batch, n-grams), padded with 0, to
        probabilities, float32 of shape (batch, 1) for two labels, (batch, labels) for more.

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
        if layer is model.layers[-1]:
            config["activation"] = "linear"  # the logits, for the average
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
    _add_average(exported, ngram_model, weights, len(labels))
    onnx.helper.set_model_props(
        exported,
        {
            "tokenizer": tokenizer.to_str(),
            **({"max_ngram": str(ngram_model.max_ngram)} if ngram_model else {}),
            "labels": json.dumps(labels),
            "examples": json.dumps(examples),
            "versions": json.dumps({name: version(name) for name in PACKAGES}),
            **(facts or {}),
        },
    )
    return seal(exported.SerializeToString())


def _add_average(
    exported: Any, ngram_model: NgramModel | None, weights: Weights, n_labels: int
) -> None:
    """Continue the graph from the network's logits to the probabilities of the average.

    Args:
        exported: The `onnx.ModelProto` of the network, which is changed.
        ngram_model: Linear model of n-grams; None for none.
        weights: Weights of both in the average.
        n_labels: Number of labels.

    """
    from onnx import TensorProto, helper, numpy_helper

    graph = exported.graph
    constants: dict[str, Any] = {"network_weight": np.float32(weights.network)}
    (network,) = (output.name for output in graph.output)
    nodes = [helper.make_node("Mul", [network, "network_weight"], ["weighted_network"])]
    logits = "weighted_network"
    if ngram_model:
        n_outputs = len(ngram_model.bias)
        # Row 0 is for the padding and for n-grams that the model does not know. The last column
        # adds up to the squared length of the vector of TF-IDF.
        table = np.column_stack([ngram_model.weights, ngram_model.idf**2])
        constants |= {
            "ngram_table": np.vstack([np.zeros_like(table[:1]), table]),
            "ngram_bias": ngram_model.bias,
            "ngram_weight": np.float32(weights.ngrams),
            "ngram_axis": np.array([1]),
            "ngram_columns": np.array([n_outputs, 1]),
            "ngram_minimum": np.float32(1e-30),
        }
        numbers = np.arange(1, len(ngram_model.hashes) + 1)
        nodes += [
            helper.make_node(
                "LabelEncoder",
                ["ngrams"],
                ["ngram_rows"],
                domain="ai.onnx.ml",
                keys_tensor=numpy_helper.from_array(ngram_model.hashes),
                values_tensor=numpy_helper.from_array(numbers),
                default_tensor=numpy_helper.from_array(np.array([0])),
            ),
            helper.make_node("Gather", ["ngram_table", "ngram_rows"], ["ngram_weights"]),
            helper.make_node(
                "ReduceSum", ["ngram_weights", "ngram_axis"], ["ngram_sums"], keepdims=0
            ),
            helper.make_node(
                "Split", ["ngram_sums", "ngram_columns"], ["ngram_sum", "ngram_square"], axis=1
            ),
            helper.make_node("Sqrt", ["ngram_square"], ["ngram_root"]),
            helper.make_node("Max", ["ngram_root", "ngram_minimum"], ["ngram_length"]),
            helper.make_node("Div", ["ngram_sum", "ngram_length"], ["ngram_score"]),
            helper.make_node("Add", ["ngram_score", "ngram_bias"], ["ngram_logits"]),
            helper.make_node("Mul", ["ngram_logits", "ngram_weight"], ["weighted_ngrams"]),
            helper.make_node("Add", ["weighted_network", "weighted_ngrams"], ["logits"]),
        ]
        logits = "logits"
        shape = ["batch", "ngrams"]
        graph.input.append(helper.make_tensor_value_info("ngrams", TensorProto.INT64, shape))
        exported.opset_import.append(helper.make_opsetid("ai.onnx.ml", 4))
    last = "Sigmoid" if n_labels == 2 else "Softmax"  # noqa: PLR2004
    nodes.append(helper.make_node(last, [logits], ["probabilities"]))
    graph.node.extend(nodes)
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()
    )
    graph.output[0].name = "probabilities"


def seal(model: bytes) -> bytes:
    """Append the SHA-256 of a serialised ONNX model to it, as one more entry of its metadata.

    The result is an ONNX model again, since Protocol Buffers merge messages that are concatenated.
    `imdb_sentiment.serving.Predictor` can therefore check a file before it parses it.
    """
    import onnx

    trailer = onnx.ModelProto()
    onnx.helper.set_model_props(trailer, {"sha256": hashlib.sha256(model).hexdigest()})
    return model + bytes(trailer.SerializeToString())
