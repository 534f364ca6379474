import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from tokenizers import Tokenizer

from helpers import make_encoded, make_network, small_hyperparameters
from imdb_sentiment.evaluation.logits import to_probabilities
from imdb_sentiment.evaluation.stacking import Weights
from imdb_sentiment.network.export import convert_to_onnx
from imdb_sentiment.network.model import build_model, score_logits
from imdb_sentiment.serving import Predictor
from imdb_sentiment.text.ngrams import hash_ngrams
from imdb_sentiment.text.tokenizer import TextEncoder
from services import WORDS, make_ngram_model, make_texts, make_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return make_tokenizer()


def test_the_export_is_a_real_lstm_that_takes_any_shape(tokenizer: Tokenizer) -> None:
    exported = convert_to_onnx(make_network(), tokenizer, ("bad", "good"), facts={"fact": "true"})
    graph = onnx.load_from_string(exported)
    onnx.checker.check_model(graph)
    operators = [node.op_type for node in graph.graph.node]
    assert operators.count("LSTM") == 1
    (tokens,) = graph.graph.input
    assert tokens.name == "token_ids"
    assert all(size.dim_param for size in tokens.type.tensor_type.shape.dim)
    properties = {entry.key: entry.value for entry in graph.metadata_props}
    assert properties["labels"] == '["bad", "good"]'
    assert properties["fact"] == "true"
    assert Tokenizer.from_str(properties["tokenizer"]).get_vocab() == tokenizer.get_vocab()


SHAPES: list[tuple[dict[str, Any], int]] = [
    ({"bidirectional": True}, 1),
    ({"bidirectional": True, "lstm_layers": 2, "pooling": "max_mean"}, 2),
    ({"pooling": "max", "spatial_dropout_rate": 0.2}, 1),
    ({"pooling": "mean"}, 1),
]
TYPICAL = [(3, SHAPES[0]), (2, SHAPES[2])]


@pytest.mark.parametrize(
    ("n_labels", "shape", "lstms"),
    [
        pytest.param(n, *shape, marks=[] if (n, shape) in TYPICAL else pytest.mark.slow)
        for n, shape in itertools.product([2, 3], SHAPES)
    ],
    ids=str,
)
def test_networks_of_other_shapes_export_as_well(
    shape: dict[str, Any], lstms: int, n_labels: int, tokenizer: Tokenizer
) -> None:
    encoded = make_encoded(60, n_labels)
    model = make_network(n_labels=n_labels, **shape)
    exported = convert_to_onnx(model, tokenizer, encoded.labels)
    operators = [node.op_type for node in onnx.load_from_string(exported).graph.node]
    assert operators.count("LSTM") == lstms  # one for both directions
    np.testing.assert_allclose(
        Predictor(exported).score_sequences(encoded.sequences),
        to_probabilities(score_logits(model, encoded.sequences)),
        atol=1e-6,
    )


@pytest.mark.parametrize("n_labels", [2, 3])
def test_the_average_with_ngrams_is_one_graph(n_labels: int, tokenizer: Tokenizer) -> None:
    import keras

    keras.utils.set_random_seed(0)
    encoded = make_encoded(60, n_labels)
    model = build_model(small_hyperparameters(), 30, n_labels)
    ngram_model = make_ngram_model(encoded, max_features=40)
    weights = Weights(network=1.7, ngrams=0.6)
    exported = convert_to_onnx(
        model, tokenizer, encoded.labels, ngram_model=ngram_model, weights=weights
    )
    onnx.checker.check_model(onnx.load_from_string(exported))
    # Texts of one length in tokens, so of one batch, whose numbers of n-grams differ: the padding
    # counts for nothing, nor do the n-grams that the model does not know.
    pair = ["w1 w2", "w1 w1", "w1, w2!", "w1 never seen and never heard w2", "W2 … w1"]
    known = set(ngram_model.hashes.tolist())
    max_ngram, characters = ngram_model.max_ngram, ngram_model.character_ngram

    def find_known(text: str) -> set[int]:
        return known & set(hash_ngrams(text, max_ngram, character_ngram=characters).tolist())

    unread = next(word for word in WORDS if not find_known(word))
    short = make_texts(make_encoded(9, n_labels, length=1))
    texts = [unread, *make_texts(encoded), *pair, *short]
    numbers = [len(find_known(text)) for text in texts]
    assert numbers[0] == 0
    assert len(set(numbers)) > 5
    network = score_logits(model, TextEncoder(tokenizer).encode(texts))
    scores = ngram_model.score_texts(texts)
    np.testing.assert_array_equal(scores[0], ngram_model.bias)
    expected = weights.average(network, scores)
    predictor = Predictor(exported)
    assert predictor.max_ngram == ngram_model.max_ngram
    np.testing.assert_allclose(predictor.score_cleaned(texts), expected, atol=1e-6)
    assert np.abs(weights.average(network, 0 * scores) - expected).max(axis=1).min() > 1e-3


@pytest.mark.parametrize("n_labels", [2, 3])
def test_the_average_of_certain_models_that_disagree(n_labels: int, tokenizer: Tokenizer) -> None:
    """A network with a probability of 1 can be outvoted, but only its logit tells how easily."""
    encoded = make_encoded(60, n_labels)
    model = build_model(small_hyperparameters(), 30, n_labels)
    certain = 25 * np.eye(n_labels, dtype=np.float32)[-1, 1 if n_labels == 2 else 0 :]
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel, bias + certain])
    ngram_model = make_ngram_model(encoded)
    ngram_model = replace(ngram_model, bias=ngram_model.bias - certain)
    weights = Weights.from_share(0.5)
    exported = convert_to_onnx(
        model, tokenizer, encoded.labels, ngram_model=ngram_model, weights=weights
    )
    texts = make_texts(encoded)
    network = score_logits(model, TextEncoder(tokenizer).encode(texts))
    expected = weights.average(network, ngram_model.score_texts(texts))
    assert expected.mean(axis=0).min() > 0.2
    np.testing.assert_allclose(Predictor(exported).score_cleaned(texts), expected, atol=1e-5)


@pytest.mark.parametrize("n_labels", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_weights_without_ngrams_divide_the_logits(n_labels: int, tokenizer: Tokenizer) -> None:
    encoded = make_encoded(60, n_labels)
    model = build_model(small_hyperparameters(), 30, n_labels)
    weights = Weights.from_share(0, temperature=0.2)
    exported = convert_to_onnx(model, tokenizer, encoded.labels, weights=weights)
    (tokens,) = onnx.load_from_string(exported).graph.input
    assert tokens.name == "token_ids"
    powers = to_probabilities(score_logits(model, encoded.sequences)) ** 5
    expected = powers / powers.sum(axis=1, keepdims=True)
    predictor = Predictor(exported)
    assert predictor.max_ngram == 0
    np.testing.assert_allclose(predictor.score_sequences(encoded.sequences), expected, atol=1e-6)


def test_ngrams_alone_need_no_network(tokenizer: Tokenizer) -> None:
    encoded = make_encoded(60)
    model = build_model(small_hyperparameters(), 30, 2)
    ngram_model = make_ngram_model(encoded)
    weights = Weights.from_share(1, temperature=0.5)
    exported = convert_to_onnx(
        model, tokenizer, encoded.labels, ngram_model=ngram_model, weights=weights
    )
    graph = onnx.load_from_string(exported).graph
    assert "LSTM" not in {node.op_type for node in graph.node}
    assert [found.name for found in graph.input] == ["ngrams", "characters"]
    texts = make_texts(encoded)
    scores = ngram_model.score_texts(texts)
    expected = weights.average(np.zeros_like(scores), scores)
    np.testing.assert_allclose(Predictor(exported).score_cleaned(texts), expected, atol=1e-6)


def test_an_unknown_layer_is_refused(tokenizer: Tokenizer) -> None:
    import keras

    layers = make_network().layers
    network = keras.Sequential([*layers[:-1], keras.layers.LayerNormalization(), layers[-1]])
    with pytest.raises(TypeError, match="does not know the layer LayerNormalization"):
        convert_to_onnx(network, tokenizer, ("bad", "good"))


def test_the_model_is_left_as_it_was(tokenizer: Tokenizer) -> None:
    model = make_network()
    before = model.get_config()
    convert_to_onnx(model, tokenizer, ("bad", "good"))
    assert model.get_config() == before
    assert model.layers[0].mask_zero
