"""Export of the trained model as one file that an application can load without TensorFlow.

The file is an ONNX model. Its metadata contain the tokenizer, the labels and everything else that
is needed to predict the label of a text, so that parts of different models can't be mixed.

The graph is written here, operator by operator, because a general converter would add many
operators that the network does not need.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial, reduce
from importlib.metadata import version
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.stacking import Weights
from imdb_sentiment.network.model import KerasModel, count_known_tokens
from imdb_sentiment.network.ngrams import Mask, NgramModel, split_word_and_character_ngrams
from imdb_sentiment.text.tokenizer import UNKNOWN_ID

NETWORK_ALONE = Weights(network=1, ngrams=0)

# Packages whose versions are recorded in the model.
PACKAGES = ("imdb-sentiment", "keras", "onnx", "tensorflow", "tokenizers")

IR_VERSION = 9  # of ONNX 1.15, which ONNX Runtime has read since its version 1.17
OPERATORS = {"": 17, "ai.onnx.ml": 4}  # versions of the sets of operators


def convert_to_onnx(
    model: KerasModel,
    tokenizer: Tokenizer,
    labels: Sequence[str],
    *,
    head_length: int = 0,
    ngram_model: NgramModel | None = None,
    weights: Weights = NETWORK_ALONE,
    decision: Mapping[str, Any] | None = None,
    examples: Sequence[str] = (),
    facts: Mapping[str, str] | None = None,
) -> bytes:
    """Convert the network, and the n-grams averaged with it, to ONNX.

    The metadata have everything else that a deployment needs.

    The file ends in a digest of all the rest, which `imdb_sentiment.serving.Predictor` checks. The
    versions of the packages that made the model are among its facts.

    The mask is left out, since ONNX's operator for an LSTM has none for padding on the left. So the
    exported network needs reviews without padding, in batches of one length; then its probabilities
    are those of the masked network.

    Args:
        model: The trained network, from `train_model`.
        tokenizer: The tokenizer of the training.
        labels: Names of the labels in the order of their codes.
        head_length: Number of tokens that the network reads from the beginning of a text with more
            known tokens than the sequence length.
        ngram_model: Linear model of n-grams to average with the network; None for none.
        weights: Weights of both in the average, and the bias of its logits. A network without
            weight is left out, and so is its input.
        decision: `label_weights`, `is_median` and `min_confidence`, see `fit_decision`; None for
            the most probable label, always.
        examples: Texts for people to try the model with.
        facts: Further facts about the model.

    Returns:
        A serialised model from `token_ids`, int32 of shape (batch, words), and with an n-gram model
        also `ngrams`, the hashes of word n-grams, int64 of shape (batch, n-grams), padded with 0,
        and if the model knows character n-grams, `characters`, their hashes in the same form, to
        probabilities, float32 of shape (batch, 1) for two labels, (batch, labels) for more. Those
        of a text of which the model knows neither a word nor an n-gram are NaN.

    Raises:
        InputError: The network was trained with a vocabulary of another size.
        TypeError: The network has a layer of a kind that `build_model` does not use.

    """
    size, known = tokenizer.get_vocab_size(), count_known_tokens(model)
    if size != known:
        raise InputError(
            f"the network knows {known:,} tokens and the tokenizer {size:,}: the data have been "
            "processed again since it was trained. Train it again: kedro run"
        )
    from onnx import TensorProto, helper

    graph = _Graph()
    scores, inputs = [], []
    evidence: list[str] = []  # (batch, 1) each: 0 if that part knows nothing of the text
    if weights.network:
        scores.append((_add_network(graph, model), weights.network))
        evidence.append(_count_known(graph, size))
        inputs.append(
            helper.make_tensor_value_info("token_ids", TensorProto.INT32, ["batch", "words"])
        )
    if ngram_model:
        names = ["ngrams", "characters"] if ngram_model.character_ngram else ["ngrams"]
        score, lengths = _add_ngrams(graph, ngram_model, names)
        scores.append((score, weights.ngrams))
        evidence += lengths
        inputs += [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", name])
            for name in names
        ]
    weighted = [
        graph.add("Mul", score, graph.constant(np.float32(weight))) for score, weight in scores
    ]
    logits = weighted[0] if len(weighted) == 1 else graph.add("Add", *weighted)
    if weights.bias:
        logits = graph.add("Add", logits, graph.constant(np.array(weights.bias, np.float32)))
    total = reduce(partial(graph.add, "Add"), evidence)
    logits = graph.add("Mul", logits, graph.add("Div", total, total))  # 0 / 0 is NaN: no answer
    binary = len(labels) == 2  # noqa: PLR2004
    graph.add("Sigmoid" if binary else "Softmax", logits, name="probabilities")
    width = 1 if binary else len(labels)
    exported = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "imdb_sentiment",
            inputs,
            [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", width])],
            graph.constants,
        ),
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid(*set_) for set_ in OPERATORS.items()],
        producer_name="imdb-sentiment",
    )
    helper.set_model_props(
        exported,
        {
            "tokenizer": tokenizer.to_str(),
            "head_length": str(head_length),
            **({"unknown_token": str(UNKNOWN_ID)} if weights.network else {}),
            **_describe_ngrams(ngram_model),
            "labels": json.dumps(labels),
            **({"decision": _describe_decision(decision, labels)} if decision else {}),
            "examples": json.dumps(examples),
            "versions": json.dumps({name: version(name) for name in PACKAGES}),
            **(facts or {}),
        },
    )
    return seal(exported.SerializeToString())


def _describe_decision(decision: Mapping[str, Any], labels: Sequence[str]) -> str:
    weights = [decision["label_weights"][label] for label in labels]
    rest = {name: decision[name] for name in ("is_median", "min_confidence")}
    return json.dumps({"label_weights": weights, **rest})


def _describe_ngrams(ngram_model: NgramModel | None) -> dict[str, str]:
    """Return the metadata needed to find the n-grams of a text, if there is an n-gram model."""
    if ngram_model is None:
        return {}
    return {
        "max_ngram": str(ngram_model.max_ngram),
        "character_ngram": str(ngram_model.character_ngram),
        "character_weight": f"{ngram_model.character_weight:g}",
        "unlabelled_reviews": str(ngram_model.unlabelled_reviews),
        "script": ngram_model.script,
    }


class _Graph:
    """The operators and constants of an ONNX graph, under names that are made up here.

    Attributes:
        nodes: The operators, as `onnx.NodeProto`.
        constants: The constants, as `onnx.TensorProto`.

    """

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(
        self, operator: str, *inputs: str, output: int = 0, name: str = "", **attributes: Any
    ) -> str:
        """Add an operator and return the name of its output, or of the one with that number."""
        from onnx import helper

        name = name or f"{operator}_{len(self.nodes)}"
        unused = [""] * output
        self.nodes.append(helper.make_node(operator, inputs, [*unused, name], **attributes))
        return name

    def constant(self, value: Any) -> str:
        """Add a constant and return its name."""
        from onnx import numpy_helper

        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name


def _add_network(graph: _Graph, model: KerasModel) -> str:
    """Add the network up to its logits, and return their name.

    The words come before the reviews here, as ONNX's operator for an LSTM has it: shape (T, B, H).
    """
    output = graph.add("Transpose", "token_ids", perm=[1, 0])
    for layer in model.layers[:-1]:
        output = _add_layer(graph, layer, output)
    kernel, bias = model.layers[-1].get_weights()
    product = graph.add("MatMul", output, graph.constant(kernel))
    return graph.add("Add", product, graph.constant(bias))


def _count_known(graph: _Graph, vocabulary_size: int) -> str:
    """Add the number of known tokens per review, and return the name of that output."""
    is_known = (np.arange(vocabulary_size) > UNKNOWN_ID).astype(np.float32)[:, np.newaxis]
    found = graph.add("Gather", graph.constant(is_known), "token_ids")
    return graph.add("ReduceSum", found, graph.constant(np.array([1])), keepdims=0)


def _add_layer(graph: _Graph, layer: Any, inputs: str) -> str:
    """Add a layer of the network in inference mode, and return the name of its output."""
    from keras import layers

    from imdb_sentiment.network.layers import SequencePooling

    match layer:
        case layers.Dropout() | layers.SpatialDropout1D():
            return inputs
        case layers.Embedding():
            (vectors,) = layer.get_weights()
            return graph.add("Gather", graph.constant(vectors), inputs)  # (T, B, E)
        case layers.LSTM():
            return _add_lstm(graph, inputs, [layer], layer.return_sequences)
        case layers.Bidirectional():
            both = [layer.forward_layer, layer.backward_layer]
            return _add_lstm(graph, inputs, both, layer.return_sequences)
        case SequencePooling():
            return _add_pooling(graph, inputs, layer)
    raise TypeError(f"the export does not know the layer {type(layer).__name__}")


def _add_lstm(graph: _Graph, sequences: str, directions: list[Any], return_sequences: bool) -> str:
    """Add an LSTM, or both directions of one, and return the name of its output.

    The output has shape (T, B, H), or without sequences (B, H).
    """
    units = directions[0].units
    kernels, recurrent_kernels, biases = (
        np.stack([_reorder_gates(weights, units) for weights in of_all])
        for of_all in zip(*(lstm.get_weights() for lstm in directions), strict=True)
    )
    outputs = graph.add(
        "LSTM",
        sequences,
        graph.constant(kernels),
        graph.constant(recurrent_kernels),
        graph.constant(np.hstack([biases, np.zeros_like(biases)])),  # Keras has one, ONNX two
        output=0 if return_sequences else 1,  # (T, directions, B, units), or (directions, B, units)
        hidden_size=units,
        direction="forward" if len(directions) == 1 else "bidirectional",
    )
    by_review = graph.add(
        "Transpose", outputs, perm=[0, 2, 1, 3] if return_sequences else [1, 0, 2]
    )
    shape = np.array([0, 0, -1] if return_sequences else [0, -1])  # 0: as it was
    return graph.add("Reshape", by_review, graph.constant(shape))


def _reorder_gates(weights: Any, units: int) -> Any:
    """Return Keras's weights as ONNX has them: gates first, and output before forget gate."""
    parts = weights.T.reshape(4, units, *weights.shape[:-1])  # input, forget, candidate, output
    return parts[[0, 3, 1, 2]].reshape(4 * units, *weights.shape[:-1])


def _add_pooling(graph: _Graph, sequences: str, layer: Any) -> str:
    """Add `SequencePooling` over the words: from (T, B, H) to (B, H) or (B, 2 H)."""
    operators = {
        "max": ["ReduceMax"],
        "mean": ["ReduceMean"],
        "max_mean": ["ReduceMax", "ReduceMean"],
    }
    pooled = [graph.add(name, sequences, axes=[0], keepdims=0) for name in operators[layer.kind]]
    return pooled[0] if len(pooled) == 1 else graph.add("Concat", *pooled, axis=-1)


def _add_ngrams(graph: _Graph, ngram_model: NgramModel, inputs: list[str]) -> tuple[str, list[str]]:
    """Add the linear model of n-grams up to its logits.

    `inputs` has the names of the inputs for word n-grams, and for character n-grams, if any.
    Returns the names of the logits, and of the lengths of the vectors of TF-IDF.
    """
    scores, lengths = graph.constant(ngram_model.bias), []
    for name, kind in zip(
        inputs, split_word_and_character_ngrams(ngram_model.is_character_ngram), strict=True
    ):
        score, length = _add_kind(graph, ngram_model, name, kind)
        scores = graph.add("Add", scores, score)
        lengths.append(length)
    return scores, lengths


def _add_kind(graph: _Graph, ngram_model: NgramModel, name: str, kind: Mask) -> tuple[str, str]:
    """Add the n-grams of one kind.

    Returns the names of their part of the logits, and of the length of their vector of TF-IDF.
    """
    from onnx import numpy_helper

    hashes = ngram_model.hashes[kind]
    n_outputs = len(ngram_model.bias)
    # Row 0 is for the padding and for n-grams that the model does not know. The last column adds up
    # to the squared length of the vector of TF-IDF.
    table = np.column_stack([ngram_model.weights[kind], ngram_model.idf[kind] ** 2])
    table = np.vstack([np.zeros_like(table[:1]), table])
    rows = graph.add(
        "LabelEncoder",
        name,
        domain="ai.onnx.ml",
        keys_tensor=numpy_helper.from_array(hashes),
        values_tensor=numpy_helper.from_array(np.arange(1, len(hashes) + 1)),
        default_tensor=numpy_helper.from_array(np.array([0])),
    )
    found = graph.add("Gather", graph.constant(table), rows)
    sums = graph.add("ReduceSum", found, graph.constant(np.array([1])), keepdims=0)
    score = graph.add("Gather", sums, graph.constant(np.arange(n_outputs)), axis=1)
    square = graph.add("Gather", sums, graph.constant(np.array([n_outputs])), axis=1)
    length = graph.add("Sqrt", square)
    divisor = graph.add("Max", length, graph.constant(np.float32(1e-30)))
    return graph.add("Div", score, divisor), length


def seal(model: bytes) -> bytes:
    """Append the SHA-256 of a serialised ONNX model to it, as one more entry of its metadata.

    The result is an ONNX model again, since Protocol Buffers merge messages that are concatenated.
    `imdb_sentiment.serving.Predictor` can therefore check a file before it parses it.
    """
    import onnx

    trailer = onnx.ModelProto()
    onnx.helper.set_model_props(trailer, {"sha256": hashlib.sha256(model).hexdigest()})
    return model + bytes(trailer.SerializeToString())
