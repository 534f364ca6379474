import gc
import random
import threading
import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import balanced_accuracy_score, log_loss

from helpers import make_encoded, make_network, small_hyperparameters
from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.logits import to_probabilities
from imdb_sentiment.evaluation.objectives import make_metric
from imdb_sentiment.evaluation.probabilities import expand_probabilities
from imdb_sentiment.network.model import build_model, compile_scorer, score_logits
from imdb_sentiment.network.training import NetworkTrainer, PseudoLabels, train_model
from imdb_sentiment.parameters import Hyperparameters
from imdb_sentiment.parameters.tuning import MetricName
from imdb_sentiment.text.batching import pad_right, shorten
from imdb_sentiment.text.encoded_reviews import EncodedReviews


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
def test_probabilities_are_those_of_the_equations(n_labels: int) -> None:
    encoded = make_encoded(9, n_labels)
    model = make_network(n_labels=n_labels)
    probabilities = to_probabilities(score_logits(model, encoded.sequences))
    assert probabilities.shape == (9, n_labels)
    for row, tokens in enumerate(encoded.sequences):
        scores = forward(model.get_weights(), [int(token) for token in tokens if token])
        if n_labels == 2:
            expected = np.array([1 - sigmoid(scores)[0], sigmoid(scores)[0]])
        else:
            expected = np.exp(scores) / np.exp(scores).sum()
        np.testing.assert_allclose(probabilities[row], expected, atol=1e-5)


@pytest.mark.parametrize("n_labels", [2, 3])
def test_logits_are_exact_where_the_network_is_certain(n_labels: int) -> None:
    """In float32, the probability of a logit of 20 is 1."""
    reviews = make_encoded(9, n_labels)
    model = build_model(small_hyperparameters(), 30, n_labels)
    kernel, bias = model.layers[-1].get_weights()
    before = score_logits(model, reviews.sequences)
    assert before.shape == (9, 1 if n_labels == 2 else 3)
    probabilities = to_probabilities(score_logits(model, reviews.sequences))
    np.testing.assert_allclose(
        np.log(probabilities[:, 1] / probabilities[:, 0]),
        before[:, 0] if n_labels == 2 else before[:, 1] - before[:, 0],
        atol=1e-9,
    )
    output = np.asarray(model.predict_on_batch(reviews.sequences.astype(np.int32)))
    np.testing.assert_allclose(probabilities[:, -1], output[:, -1], atol=1e-6)
    model.layers[-1].set_weights([kernel, bias + 20])
    np.testing.assert_allclose(score_logits(model, reviews.sequences), before + 20, atol=1e-5)


def test_a_scorer_follows_the_training_of_its_network() -> None:
    reviews = make_encoded(9)
    model = build_model(small_hyperparameters(), 30, 2)
    score = compile_scorer(model)
    before = score(reviews.sequences)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=weights.shape) for weights in model.get_weights()])
    after = score(reviews.sequences)
    np.testing.assert_array_equal(after, score_logits(model, reviews.sequences))
    assert (before != after).all()


def test_a_network_that_has_been_scored_is_not_kept() -> None:
    model = build_model(small_hyperparameters(), 30, 2)
    score_logits(model, make_encoded(3).sequences)
    kept = weakref.ref(model)
    del model
    gc.collect()
    assert kept() is None


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


@pytest.mark.parametrize(
    "shape",
    [
        {},
        pytest.param({"bidirectional": True}, marks=pytest.mark.slow),
        pytest.param(
            {"bidirectional": True, "pooling": "max_mean", "lstm_layers": 2},
            marks=pytest.mark.slow,
        ),
        pytest.param({"pooling": "max"}, marks=pytest.mark.slow),
        pytest.param({"pooling": "mean", "spatial_dropout_rate": 0.3}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_prediction_depends_on_neither_padding_nor_batch(shape: dict[str, Any]) -> None:
    encoded = make_encoded(5)
    model = make_network(**shape)
    together = to_probabilities(score_logits(model, encoded.sequences))
    more_padding = np.pad(encoded.sequences, ((0, 0), (7, 0)))
    alone = [
        to_probabilities(score_logits(model, tokens[np.newaxis, tokens > 0]))
        for tokens in encoded.sequences
    ]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-6)
    np.testing.assert_allclose(
        together, to_probabilities(score_logits(model, more_padding)), atol=1e-6
    )


@pytest.mark.parametrize(
    "shape",
    [
        {},
        pytest.param({"bidirectional": True}, marks=pytest.mark.slow),
        {"bidirectional": True, "pooling": "max_mean", "lstm_layers": 2},
        pytest.param({"pooling": "mean"}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_outputs_and_gradients_do_not_depend_on_the_side_of_the_padding(
    shape: dict[str, Any],
) -> None:
    """On a GPU, the padding must be on the right."""
    import tensorflow as tf

    encoded = make_encoded(9, length=8)
    model = make_network(dropout_rate=0.0, **shape)

    def run(tokens: npt.NDArray[np.unsignedinteger]) -> list[npt.NDArray[np.float32]]:
        with tf.GradientTape() as tape:
            outputs = model(tokens.astype(np.int32), training=True)
            loss = model.compute_loss(y=encoded.codes.astype(np.int32), y_pred=outputs)
        gradients = tape.gradient(loss, model.trainable_variables)
        return [np.asarray(tf.convert_to_tensor(array)) for array in (outputs, *gradients)]

    for left, right in zip(run(encoded.sequences), run(pad_right(encoded.sequences)), strict=True):
        np.testing.assert_allclose(right, left, atol=1e-6 * max(1, np.abs(left).max()))


@pytest.mark.slow
def test_a_seed_gives_one_network(hyperparameters: Hyperparameters) -> None:
    """Whatever random numbers other threads draw."""

    def draw() -> None:
        while not has_ended.is_set():
            random.random()

    encoded = make_encoded(64)
    first, other = (train_model(encoded, hyperparameters, seed)[0].get_weights() for seed in (1, 2))
    has_ended, thread = threading.Event(), threading.Thread(target=draw)
    thread.start()
    try:
        again = train_model(encoded, hyperparameters, 1)[0].get_weights()
    finally:
        has_ended.set()
        thread.join()
    for one, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, same)
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adam", "spatial_dropout_rate": 0.3, "dropout_rate": 0.4},
        pytest.param(
            {"optimizer": "nadam", "learning_rate_schedule": "cosine"}, marks=pytest.mark.slow
        ),
        pytest.param(
            {"optimizer": "adam", "pretrained_embedding": True, "early_stopping_patience": 1},
            marks=pytest.mark.slow,
        ),
        pytest.param({"optimizer": "adamw"}, marks=pytest.mark.slow),
        pytest.param({"optimizer": "rmsprop", "bidirectional": True}, marks=pytest.mark.slow),
        pytest.param({"optimizer": "sgd"}, marks=pytest.mark.slow),
    ],
    ids=lambda settings: settings["optimizer"],
)
def test_a_network_that_takes_the_place_of_another_is_as_if_built_alone(
    settings: dict[str, Any],
) -> None:
    chosen = small_hyperparameters(epochs=2, **settings)
    reviews, others = make_encoded(64, 3), make_encoded(64, 3, seed=5)
    of_search: Any = {  # with ratios, initial vectors are others
        "word_vectors": np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32),
        "metric": make_metric("log_loss", None, reviews.labels, are_ordered=False),
    }
    trainer = NetworkTrainer(chosen, **of_search)
    trainer.train(others, 1, reviews)
    trainer.score_logits(reviews.sequences)
    earlier = trainer.model
    history = trainer.train(reviews, 2, others)
    assert trainer.model is earlier  # it was not compiled again
    alone, expected = train_model(reviews, chosen, 2, others, **of_search)
    assert history == expected
    for one, same in zip(trainer.model.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_array_equal(one, same)
    scores = trainer.score_logits(others.sequences)
    np.testing.assert_array_equal(scores, score_logits(alone, others.sequences))


@pytest.mark.parametrize(
    "other",
    [make_encoded(80), pytest.param(make_encoded(64, 3), marks=pytest.mark.slow)],
    ids=["steps", "labels"],
)
def test_a_network_of_another_shape_or_schedule_takes_no_place(other: EncodedReviews) -> None:
    chosen = small_hyperparameters(epochs=1, learning_rate_schedule="cosine")
    trainer = NetworkTrainer(chosen)
    trainer.train(make_encoded(64), 1)
    before = trainer.model.get_weights()
    earlier = trainer.model
    trainer.train(other, 2)
    assert trainer.model is not earlier
    alone, _ = train_model(other, chosen, 2)
    for one, same in zip(trainer.model.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_array_equal(one, same)
    for one, same in zip(earlier.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, same)


def test_it_learns_and_reports_each_epoch(hyperparameters: Hyperparameters) -> None:
    reports: list[tuple[int, dict[str, float]]] = []
    longer = hyperparameters.model_copy(update={"epochs": 6})
    train, validation = make_encoded(200), make_encoded(40, seed=9)
    _, history = train_model(
        train, longer, 3, validation, lambda epoch, _, figures: reports.append((epoch, figures))
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fraction", "epochs", "lengths"),
    [
        (0.5, 3, [4, 6, 8]),
        (0.25, 4, [2, 4, 6, 8]),
        (0.2, 5, [2, 3, 5, 6, 8]),
        (0.25, 1, [8]),
        (1.0, 2, [8, 8]),
    ],
)
def test_each_epoch_reads_more_of_a_review(
    fraction: float, epochs: int, lengths: list[int]
) -> None:
    sequences = np.random.default_rng(0).integers(2, 30, (16, 8), dtype=np.uint16)
    sequences[:5, :3] = 0  # shorter reviews

    # Steps so small that every epoch has the loss of the initial weights.
    still = {"dropout_rate": 0.0, "learning_rate": 1e-12}
    reviews = replace(make_encoded(16), sequences=sequences)
    chosen = small_hyperparameters(initial_length_fraction=fraction, epochs=epochs, **still)
    trainer = NetworkTrainer(chosen)
    histories = [
        trainer.train(reviews, 0),
        trainer.train(reviews, 0),  # once more with the same network
        # Keras then reads ahead.
        train_model(reviews, chosen, 0, label_weights=np.ones(2))[1],
    ]
    expected = [
        train_model(
            replace(reviews, sequences=shorten(sequences, length)),
            small_hyperparameters(epochs=1, **still),
            0,
        )[1]["loss"][0]
        for length in lengths
    ]
    for history in histories:
        np.testing.assert_allclose(history["loss"], expected, rtol=1e-6)
    assert len(set(np.round(expected, 6))) == len(set(lengths))


def test_with_early_stopping_every_epoch_reads_whole_reviews() -> None:
    reviews, others = make_encoded(64), make_encoded(32, seed=9)

    def learn(fraction: float) -> Any:
        patient = small_hyperparameters(
            initial_length_fraction=fraction, early_stopping_patience=9, epochs=3
        )
        return train_model(reviews, patient, 0, others)[1]

    assert learn(0.25) == learn(1.0)


@pytest.mark.parametrize("n_labels", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_the_log_loss_of_an_epoch_is_that_without_the_weights_of_labels(n_labels: int) -> None:
    train, others = make_encoded(64, n_labels), make_encoded(32, n_labels, seed=9)
    weights = np.array([1.0, 4.0, 0.5])[:n_labels]

    def learn(name: MetricName) -> tuple[Any, Any]:
        metric = make_metric(name, None, train.labels, are_ordered=False)
        chosen = small_hyperparameters(epochs=2)
        return train_model(train, chosen, 0, others, label_weights=weights, metric=metric)

    model, history = learn("log_loss")
    output = expand_probabilities(model.predict(others.sequences, verbose=0)) / weights
    expected = log_loss(others.codes, output / output.sum(axis=1, keepdims=True))
    assert history["val_log_loss"][-1] == pytest.approx(expected, rel=1e-4)
    model, history = learn("balanced_accuracy")  # the decision keeps the weights
    preferred = expand_probabilities(model.predict(others.sequences, verbose=0)).argmax(axis=1)
    expected = balanced_accuracy_score(others.codes, preferred)
    assert history["val_balanced_accuracy"][-1] == pytest.approx(expected)


def make_labels(sequences: npt.NDArray[Any], probabilities: npt.NDArray[Any]) -> PseudoLabels:
    return PseudoLabels(sequences, probabilities, np.arange(len(sequences)))


@pytest.fixture
def single_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callbacks are called after each step."""
    monkeypatch.setattr("imdb_sentiment.network.training.STEPS_PER_EXECUTION", 1)


@pytest.mark.parametrize("is_fused", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_steps_give_the_same_network_alone_or_together(
    is_fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imdb_sentiment.network.training.can_fuse", lambda: is_fused)
    monkeypatch.setattr("imdb_sentiment.network.training.PREDICTION_BATCH_SIZE", 8)
    reviews, weights = make_encoded(40), np.array([0.5, 2.0])
    chosen = small_hyperparameters(
        epochs=2, batch_size=4, initial_length_fraction=1.0, learning_rate_schedule="cosine"
    )
    trained = []
    for steps, ends in ((3, [3, 6, 9, 10, 13, 16, 19, 20]), (1, list(range(1, 21)))):
        monkeypatch.setattr("imdb_sentiment.network.training.STEPS_PER_EXECUTION", steps)
        shares: list[float] = []
        trained.append(
            train_model(
                reviews, chosen, 0, reviews, label_weights=weights, on_progress=shares.append
            )
        )
        np.testing.assert_allclose(shares, np.array(ends) / 20)
    (together, history), (alone, expected) = trained
    assert history == expected
    for found, wanted in zip(together.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.slow
@pytest.mark.usefixtures("single_steps")
def test_progress_follows_the_tokens_of_each_epoch() -> None:
    sequences = np.full((32, 8), 5, np.uint16)
    sequences[:16, :6] = 0  # two tokens
    reviews = replace(make_encoded(32), sequences=sequences)
    chosen = small_hyperparameters(initial_length_fraction=0.5, epochs=2, batch_size=16)
    shares: list[float] = []
    train_model(reviews, chosen, 0, on_progress=shares.append)
    done = np.array([48, 96, 176, 256])  # epochs of 16 * 2 + 16 * 4 and 16 * 2 + 16 * 8 tokens
    np.testing.assert_allclose(shares, done / 256)
    shares.clear()
    labels = make_labels(np.full((20, 8), 5, np.uint16), np.full((20, 2), 0.5, np.float32))
    train_model(reviews, chosen, 0, on_progress=shares.append, pseudo_labels=labels)
    # One epoch of 20 * 8 tokens before, in batches of 16.
    np.testing.assert_allclose(shares, [80 / 416, 160 / 416, *((160 + done) / 416)])
    shares.clear()
    more = chosen.model_copy(update={"min_steps": 3})  # two such epochs
    train_model(reviews, more, 0, on_progress=shares.append, pseudo_labels=labels)
    np.testing.assert_allclose(shares, [*np.arange(80, 321, 80) / 576, *((320 + done) / 576)])


def test_nothing_to_predict_gives_nothing(hyperparameters: Hyperparameters) -> None:
    model = build_model(hyperparameters, vocabulary_size=30, n_labels=3)
    assert to_probabilities(score_logits(model, np.empty((0, 6), dtype=np.uint8))).shape == (0, 3)


def test_layers_of_a_bigger_network_are_as_asked_for() -> None:
    chosen = small_hyperparameters(
        bidirectional=True, lstm_layers=2, pooling="max", spatial_dropout_rate=0.4
    )
    model = build_model(chosen, vocabulary_size=30, n_labels=3)
    assert [type(layer).__name__ for layer in model.layers] == [
        "Embedding",
        "SpatialDropout1D",
        "Bidirectional",
        "Bidirectional",
        "SequencePooling",
        "Dropout",
        "Dense",
    ]
    assert model.layers[1].rate == 0.4
    assert model.layers[3].output.shape[-1] == 2 * chosen.units


def test_pretrained_vectors_are_where_training_begins() -> None:
    vectors = np.random.default_rng(0).normal(size=(30, 7)).astype(np.float32)
    chosen = small_hyperparameters(pretrained_embedding=True)
    model = build_model(chosen, 30, 2, vectors)
    np.testing.assert_array_equal(model.layers[0].get_weights()[0], vectors)
    with pytest.raises(InputError, match=r"set word_vectors\.method"):
        build_model(chosen, 30, 2, np.zeros((0, 7), np.float32))
    with pytest.raises(InputError, match="30 tokens, and the reviews 31"):
        build_model(chosen, 31, 2, vectors)


def split_biases(layer: Any) -> list[npt.NDArray[np.float32]]:
    """Return an LSTM's biases of the input gate, the forget gate, the candidate and the output."""
    return np.split(layer.cell.bias.numpy(), 4)


def test_units_begin_with_memories_of_many_lengths() -> None:
    """Chrono initialization: after n words, a unit forgets what it has read; n is 1 to 199."""
    import keras

    keras.utils.set_random_seed(0)
    chosen = small_hyperparameters(
        units=150, bidirectional=True, lstm_layers=2, chrono_initialization=200
    )
    model = build_model(chosen, vocabulary_size=30, n_labels=2)
    directions = [
        direction
        for layer in model.layers
        if hasattr(layer, "forward_layer")
        for direction in (layer.forward_layer, layer.backward_layer)
    ]
    assert len(directions) == 4
    drawn = []
    for lstm in directions:
        write, forget, candidate, read = split_biases(lstm)
        np.testing.assert_array_equal(write, -forget)
        assert not candidate.any()
        assert not read.any()
        assert forget.min() >= 0
        assert forget.max() <= np.log(199)
        drawn.append(np.exp(forget))
    for quantile in (0.1, 0.5, 0.9):  # uniform
        assert np.quantile(drawn, quantile) == pytest.approx(1 + 198 * quantile, abs=20)
    assert len({tuple(lengths) for lengths in drawn}) == 4  # each LSTM has its own


@pytest.mark.parametrize("longest", [1, 2, 3])
def test_the_shortest_memories_are_of_a_word(longest: int) -> None:
    model = build_model(small_hyperparameters(chrono_initialization=longest), 30, n_labels=2)
    write, forget, _, _ = split_biases(model.layers[1])
    np.testing.assert_array_equal(write, -forget)
    assert forget.min() >= 0
    assert forget.max() <= np.log(2)


def test_without_chrono_initialization_the_biases_are_those_of_keras() -> None:
    for chosen in (small_hyperparameters(), small_hyperparameters(bidirectional=True)):
        layer = build_model(chosen, vocabulary_size=30, n_labels=2).layers[1]
        directions = (
            [layer.forward_layer, layer.backward_layer] if chosen.bidirectional else [layer]
        )
        for lstm in directions:
            write, forget, candidate, read = split_biases(lstm)
            np.testing.assert_array_equal(forget, np.ones(chosen.units))
            assert not np.concatenate([write, candidate, read]).any()


def test_only_the_biases_are_initialized_otherwise() -> None:
    import keras

    models = []
    for longest in (0, 200):
        keras.utils.set_random_seed(3)
        models.append(
            build_model(small_hyperparameters(chrono_initialization=longest), 30, n_labels=2)
        )
    for one, other in zip(*(model.weights for model in models), strict=True):
        is_changed = not np.array_equal(one.numpy(), other.numpy())
        assert is_changed == one.path.endswith("lstm_cell/bias")


def test_training_ends_early_with_the_best_epoch() -> None:
    hard = small_hyperparameters(learning_rate=0.3, epochs=12, early_stopping_patience=2)
    train, validation = make_encoded(64, length=6), make_encoded(50, seed=4)
    model, history = train_model(train, hard, 5, validation)
    values = history["val_accuracy"]
    assert len(values) < hard.epochs
    best = values.index(max(values))
    assert len(values) == best + 1 + hard.early_stopping_patience
    predicted = to_probabilities(score_logits(model, validation.sequences)).argmax(axis=1)
    assert (predicted == validation.codes).mean() == pytest.approx(max(values))


def test_few_rows_are_passed_over_until_there_are_steps_enough() -> None:
    few = small_hyperparameters(batch_size=16, epochs=2, min_steps=9)
    assert few.count_epochs(33, 2) == 3  # with three steps each
    assert few.count_epochs(16, 2) == 9
    assert few.count_epochs(16 * 9, 2) == 2
    assert small_hyperparameters(epochs=2).count_epochs(1, 2) == 2
    _, history = train_model(make_encoded(33), few, 0)
    assert len(history["loss"]) == 3


def test_early_stopping_does_not_watch_a_metric_that_is_not_defined() -> None:
    """The ROC AUC of reviews that lack a label."""
    hp = small_hyperparameters(early_stopping_patience=1, epochs=5)
    scored = make_encoded(20)
    one_label = scored.take(np.flatnonzero(scored.codes == 0))
    metric = make_metric("roc_auc", None, scored.labels, are_ordered=False)
    _, history = train_model(make_encoded(40), hp, 0, one_label, metric=metric)
    assert len(history["loss"]) == 5
    assert "val_roc_auc" not in history


@pytest.mark.slow
@pytest.mark.parametrize("name", ["accuracy", "f1_macro", "log_loss"])
def test_early_stopping_survives_a_network_that_diverges_later(name: MetricName) -> None:
    import keras

    class Diverge(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            if epoch == 1:
                weights = self.model.get_weights()
                self.model.set_weights([np.full_like(array, np.nan) for array in weights])

    hp = small_hyperparameters(early_stopping_patience=2, epochs=9)
    scored = make_encoded(20)
    metric = make_metric(name, None, scored.labels, are_ordered=False)
    once, _ = train_model(make_encoded(40), small_hyperparameters(epochs=1), 0)
    model, history = train_model(
        make_encoded(40), hp, 0, scored, metric=metric, callbacks=[Diverge()]
    )
    assert np.isnan(history[f"val_{name}"]).tolist() == [False, True, True]
    for found, expected in zip(model.get_weights(), once.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)

    # Without it, no further epoch is trained with any metric that is computed after an epoch.
    if name != "accuracy":
        ended: list[int] = []
        count = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, _: ended.append(epoch))
        impatient = small_hyperparameters(epochs=9)
        with pytest.raises(InputError, match="diverged"):
            train_model(
                make_encoded(40), impatient, 0, scored, metric=metric, callbacks=[Diverge(), count]
            )
        assert ended == [0, 1]


def test_early_stopping_needs_rows_to_watch() -> None:
    with pytest.raises(InputError, match="use_validation_rows: false"):
        train_model(make_encoded(20), small_hyperparameters(early_stopping_patience=1), 0)


@pytest.mark.slow
def test_weights_of_labels_weigh_the_loss() -> None:
    """Equal weights change nothing; a label with next to no weight is not learnt."""
    train = make_encoded(40)
    once = small_hyperparameters(epochs=1)
    plain, even = (
        train_model(train, once, 3, label_weights=weights)[0].get_weights()
        for weights in (None, np.ones(2))
    )
    for first, second in zip(plain, even, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-6)
    longer = small_hyperparameters(epochs=30, learning_rate=0.05)
    model, _ = train_model(train, longer, 3, label_weights=np.array([1.0, 1e-9]))
    probabilities = to_probabilities(score_logits(model, train.sequences))
    assert (probabilities[:, 0] > 0.9).all()  # always the first label


@pytest.mark.slow
@pytest.mark.usefixtures("single_steps")
@pytest.mark.parametrize(
    ("n_labels", "schedule", "is_fused"),
    [(2, "cosine", True), (3, "constant", True), (3, "cosine", False)],
)
def test_labels_of_the_ngrams_are_learnt_first(
    n_labels: int, schedule: str, is_fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reviews with labels have none of the tokens that decide about the others."""
    monkeypatch.setattr("imdb_sentiment.network.training.can_fuse", lambda: is_fused)
    reviews = make_encoded(40, n_labels)
    codes = np.arange(300) % n_labels
    sequences = np.repeat((25 + codes)[:, np.newaxis], 8, axis=1).astype(np.uint16)
    probabilities = np.full((300, n_labels), 0.1, np.float32)
    probabilities[np.arange(300), codes] = 1 - 0.1 * (n_labels - 1)
    labels = make_labels(sequences, probabilities)
    chosen = small_hyperparameters(learning_rate=0.02, epochs=1, learning_rate_schedule=schedule)
    trainer = NetworkTrainer(chosen)

    def train(pseudo_labels: PseudoLabels | None) -> tuple[npt.NDArray[np.float64], list[float]]:
        import keras

        rates: list[float] = []
        note = keras.callbacks.LambdaCallback(
            on_train_batch_begin=lambda batch, logs: rates.append(
                float(trainer.model.optimizer.learning_rate)
            )
        )
        trainer.train(reviews, 0, pseudo_labels=pseudo_labels, callbacks=[note])
        return to_probabilities(trainer.score_logits(sequences)), rates

    alone, rates_alone = train(None)
    learnt, rates = train(labels)
    assert np.mean(alone.argmax(axis=1) == codes) < 0.9
    assert np.mean(learnt.argmax(axis=1) == codes) > 0.95
    assert rates_alone[0] == pytest.approx(0.02)
    assert len(rates) == 3  # steps
    np.testing.assert_allclose(rates, np.array(rates_alone) / 2)
    # Compiled networks that are used again give the same.
    np.testing.assert_array_equal(train(labels)[0], learnt)
    np.testing.assert_array_equal(train(None)[0], alone)


def test_early_stopping_begins_after_the_labels_of_the_ngrams() -> None:
    reviews = make_encoded(40)
    patient = small_hyperparameters(early_stopping_patience=1, epochs=3)
    labels = make_labels(reviews.sequences, np.eye(2, dtype=np.float32)[reviews.codes])
    ends: list[int] = []
    history = NetworkTrainer(patient).train(
        reviews, 0, reviews, lambda *end: ends.append(end[0]), pseudo_labels=labels
    )
    assert ends == list(range(1, len(history["val_loss"]) + 1))
