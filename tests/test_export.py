import onnx
import pytest
from tokenizers import Tokenizer

from helpers import make_encoded
from imdb_sentiment.export import convert_to_onnx
from imdb_sentiment.model import train_model
from imdb_sentiment.parameters import Hyperparameters
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


def test_the_model_is_left_as_it_was(
    hyperparameters: Hyperparameters, tokenizer: Tokenizer
) -> None:
    model, _ = train_model(make_encoded(40), hyperparameters, seed=0)
    before = model.get_config()
    convert_to_onnx(model, tokenizer, ("bad", "good"))
    assert model.get_config() == before
    assert model.layers[0].mask_zero
