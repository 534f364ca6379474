from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from helpers import make_encoded
from imdb_sentiment.model import build_model, predict_probabilities, train_model
from imdb_sentiment.parameters import Hyperparameters


def sigmoid(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))


def forward(weights: list[npt.NDArray[Any]], tokens: list[int]) -> npt.NDArray[np.float64]:
    """Compute embedding, LSTM (Gers et al. 2000) and the dense layer without its activation."""
    embedding, kernel, recurrent, bias, dense, dense_bias = weights
    units = recurrent.shape[0]
    hidden, cell = np.zeros(units), np.zeros(units)
    for token in tokens:
        gates = embedding[token] @ kernel + hidden @ recurrent + bias
        write, forget, candidate, read = np.split(gates, 4)
        cell = sigmoid(forget) * cell + sigmoid(write) * np.tanh(candidate)
        hidden = sigmoid(read) * np.tanh(cell)
    return np.asarray(hidden @ dense + dense_bias)


@pytest.mark.parametrize("n_labels", [2, 3])
def test_probabilities_are_those_of_the_equations(
    n_labels: int, hyperparameters: Hyperparameters
) -> None:
    encoded = make_encoded(9, n_labels)
    model, _ = train_model(encoded, hyperparameters, seed=1)
    probabilities = predict_probabilities(model, encoded.sequences)
    assert probabilities.shape == (9, n_labels)
    for row, tokens in enumerate(encoded.sequences):
        scores = forward(model.get_weights(), [int(token) for token in tokens if token])
        if n_labels == 2:
            expected = np.array([1 - sigmoid(scores)[0], sigmoid(scores)[0]])
        else:
            expected = np.exp(scores) / np.exp(scores).sum()
        np.testing.assert_allclose(probabilities[row], expected, atol=1e-5)


def test_layers_are_as_designed(hyperparameters: Hyperparameters) -> None:
    model = build_model(hyperparameters, vocabulary_size=30, n_labels=2)
    assert [type(layer).__name__ for layer in model.layers] == [
        "Embedding",
        "LSTM",
        "Dropout",
        "Dense",
    ]
    embedding, lstm, dropout, dense = model.layers
    assert (embedding.input_dim, embedding.output_dim) == (30, hyperparameters.embedding_size)
    assert lstm.units == hyperparameters.units
    assert dropout.rate == hyperparameters.dropout_rate
    assert (dense.units, dense.activation.__name__) == (1, "sigmoid")
    assert float(model.optimizer.learning_rate) == pytest.approx(hyperparameters.learning_rate)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "nadam", "rmsprop", "sgd"])
def test_every_optimizer_is_known_to_keras(
    optimizer: str, hyperparameters: Hyperparameters
) -> None:
    chosen = hyperparameters.model_copy(update={"optimizer": optimizer})
    model = build_model(chosen, vocabulary_size=30, n_labels=2)
    assert type(model.optimizer).__name__.lower() == optimizer


def test_a_prediction_depends_on_neither_padding_nor_batch(
    hyperparameters: Hyperparameters,
) -> None:
    encoded = make_encoded(20)
    model, _ = train_model(encoded, hyperparameters, seed=1)
    together = predict_probabilities(model, encoded.sequences)
    more_padding = np.pad(encoded.sequences, ((0, 0), (7, 0)))
    alone = [
        predict_probabilities(model, tokens[np.newaxis, tokens > 0]) for tokens in encoded.sequences
    ]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-6)
    np.testing.assert_allclose(together, predict_probabilities(model, more_padding), atol=1e-6)


def test_a_seed_gives_one_network(hyperparameters: Hyperparameters) -> None:
    encoded = make_encoded(64)
    first, again, other = (
        train_model(encoded, hyperparameters, seed)[0].get_weights() for seed in (1, 1, 2)
    )
    for one, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, same)
    assert not np.array_equal(first[0], other[0])


def test_it_learns_and_reports_each_epoch(hyperparameters: Hyperparameters) -> None:
    reports: list[tuple[int, dict[str, float]]] = []
    longer = hyperparameters.model_copy(update={"epochs": 6})
    train, validation = make_encoded(200), make_encoded(40, seed=9)
    _, history = train_model(
        train, longer, 3, validation, lambda epoch, figures: reports.append((epoch, figures))
    )
    assert [epoch for epoch, _ in reports] == [1, 2, 3, 4, 5, 6]
    assert [figures["val_accuracy"] for _, figures in reports] == history["val_accuracy"]
    assert history["val_accuracy"][-1] == 1.0
    assert history["loss"][-1] < history["loss"][0]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [1.0, 1.0, 1.0, 1.0]),
        ("cosine", [(2 + 2**0.5) / 4, 0.5, (2 - 2**0.5) / 4, 0.0]),
    ],
)
def test_the_learning_rate_follows_its_schedule(
    schedule: str, expected: list[float], hyperparameters: Hyperparameters
) -> None:
    import keras

    rates: list[float] = []

    class Record(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: object = None) -> None:
            rates.append(float(self.model.optimizer.learning_rate))

    chosen = hyperparameters.model_copy(
        update={"learning_rate": 0.08, "learning_rate_schedule": schedule, "epochs": 4}
    )
    train_model(make_encoded(100), chosen, 0, callbacks=[Record()])  # the last batch is not full
    np.testing.assert_allclose(np.array(rates) / 0.08, expected, atol=1e-6)


def test_nothing_to_predict_gives_nothing(hyperparameters: Hyperparameters) -> None:
    model = build_model(hyperparameters, vocabulary_size=30, n_labels=3)
    assert predict_probabilities(model, np.empty((0, 6), dtype=np.uint8)).shape == (0, 3)
