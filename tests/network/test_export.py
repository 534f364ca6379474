import itertools
from typing import Any

import numpy as np
import onnx
import pytest
from tokenizers import Tokenizer

from helpers import make_encoded, small_hyperparameters
from imdb_sentiment.network.averaging import average_networks
from imdb_sentiment.network.export import convert_to_onnx
from imdb_sentiment.network.model import build_model, score_sequences
from imdb_sentiment.network.ngrams import fit_ngram_model
from imdb_sentiment.network.training import train_model
from imdb_sentiment.parameters import Hyperparameters, NgramsParameters
from imdb_sentiment.serving import Predictor
from services import make_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return make_tokenizer()


def test_the_export_is_a_real_lstm_that_takes_any_shape(
    hyperparameters: Hyperparameters, tokenizer: Tokenizer
) -> None:
    model, _ = train_model(make_encoded(40), hyperparameters, seed=0)
    exported = convert_to_onnx(model, tokenizer, ("bad", "good"), facts={"fact": "true"})
    graph = onnx.load_from_string(exported)
    onnx.checker.check_model(graph)
    operators = [node.op_type for node in graph.graph.node]
    assert operators.count("LSTM") == 1
    assert not {"Loop", "Scan", "If"} & set(operators)
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
    ({"pooling": "attention", "spatial_dropout_rate": 0.2}, 1),
    ({"pooling": "mean", "recurrent_dropout_rate": 0.2, "ema_momentum": 0.5}, 1),
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
    model, _ = train_model(encoded, small_hyperparameters(**shape), seed=0)
    exported = convert_to_onnx(model, tokenizer, encoded.labels)
    operators = [node.op_type for node in onnx.load_from_string(exported).graph.node]
    assert operators.count("LSTM") in (lstms, lstms * 2)  # one for both directions, or one each
    assert not {"Loop", "Scan", "If"} & set(operators)
    np.testing.assert_allclose(
        Predictor(exported).score_sequences(encoded.sequences),
        score_sequences(model, encoded.sequences),
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("n_labels", "with_ngrams"),
    [
        pytest.param(2, False, marks=pytest.mark.slow),
        pytest.param(2, True, marks=pytest.mark.slow),
        (3, True),
    ],
)
def test_an_average_exports_as_well(n_labels: int, with_ngrams: bool, tokenizer: Tokenizer) -> None:
    import keras

    encoded = make_encoded(60, n_labels)
    shape = small_hyperparameters(bidirectional=True, pooling="max_mean")
    keras.utils.set_random_seed(0)
    networks = [build_model(shape, 30, n_labels) for _ in range(2)]
    parameters = NgramsParameters(
        share=0.5, max_ngram=3, min_document_frequency=2, inverse_regularisation=1
    )
    ngrams = fit_ngram_model(encoded, parameters) if with_ngrams else None
    model = average_networks(networks, ngrams, parameters.share if with_ngrams else 0)
    exported = convert_to_onnx(model, tokenizer, encoded.labels)
    operators = [node.op_type for node in onnx.load_from_string(exported).graph.node]
    assert operators.count("LSTM") == 2  # one per network, for both directions
    assert not {"Loop", "Scan", "If"} & set(operators)
    short = make_encoded(20, n_labels, length=1)  # shorter than the longest n-grams
    for reviews in (encoded, short):
        np.testing.assert_allclose(
            Predictor(exported).score_sequences(reviews.sequences),
            score_sequences(model, reviews.sequences),
            atol=1e-6,
        )


def test_the_model_is_left_as_it_was(
    hyperparameters: Hyperparameters, tokenizer: Tokenizer
) -> None:
    model, _ = train_model(make_encoded(40), hyperparameters, seed=0)
    before = model.get_config()
    convert_to_onnx(model, tokenizer, ("bad", "good"))
    assert model.get_config() == before
    assert model.layers[0].mask_zero
