"""Building, training and asking the network. TensorFlow is imported when it is needed."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from imdb_sentiment.encoded import EncodedReviews
from imdb_sentiment.parameters import Hyperparameters
from imdb_sentiment.quiet import silent_tensorflow_import

# A `keras.Model`; Kedro resolves annotations when a run begins, and TensorFlow is not there yet.
KerasModel: TypeAlias = Any

PREDICTION_BATCH_SIZE = 256

History = dict[str, list[float]]
EpochCallback = Callable[[int, dict[str, float]], None]


def build_model(
    hyperparameters: Hyperparameters, vocabulary_size: int, n_labels: int
) -> KerasModel:
    """Return the compiled network: embedding, LSTM, dropout, and a dense layer on top.

    The embedding masks the padding, so a prediction depends neither on how much of it there is nor
    on what a review is batched with. Two labels end in one sigmoid unit, more in a softmax.

    Args:
        hyperparameters: Shape of the network, optimizer and learning rate.
        vocabulary_size: Number of token ids.
        n_labels: Number of labels, 2 or more.

    Returns:
        A `keras.Sequential` from int32 ids of shape (batch, any length) to probabilities of shape
        (batch, 1) for two labels, (batch, n_labels) for more.

    """
    with silent_tensorflow_import():
        import keras

    binary = n_labels == 2  # noqa: PLR2004
    model = keras.Sequential(
        [
            keras.Input(shape=(None,), dtype="int32", name="token_ids"),
            keras.layers.Embedding(vocabulary_size, hyperparameters.embedding_size, mask_zero=True),
            # cuDNN takes padding on the right only.
            keras.layers.LSTM(hyperparameters.units, use_cudnn=False),
            keras.layers.Dropout(hyperparameters.dropout_rate),
            keras.layers.Dense(1, activation="sigmoid")
            if binary
            else keras.layers.Dense(n_labels, activation="softmax"),
        ]
    )
    optimizer = keras.optimizers.get(hyperparameters.optimizer)
    optimizer.learning_rate = hyperparameters.learning_rate
    model.compile(
        optimizer=optimizer,
        loss="binary_crossentropy" if binary else "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def train_model(
    train: EncodedReviews,
    hyperparameters: Hyperparameters,
    seed: int,
    validation: EncodedReviews | None = None,
    on_epoch_end: EpochCallback | None = None,
) -> tuple[KerasModel, History]:
    """Build a network and train it.

    Args:
        train: Reviews to learn from.
        hyperparameters: Of the network and its training.
        seed: Of the initial weights, the shuffling and the dropout; the same seed on the same
            machine gives the same network.
        validation: Reviews to score after each epoch.
        on_epoch_end: Called with the number of each finished epoch, from 1, and its figures.

    Returns:
        The network, and one list a figure (`loss`, `accuracy`, and with validation rows `val_loss`
        and `val_accuracy`) with one value an epoch.

    """
    with silent_tensorflow_import():
        import keras
        import tensorflow as tf

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    model = build_model(hyperparameters, train.vocabulary_size, len(train.labels))
    callbacks = []
    if on_epoch_end is not None:
        notify = on_epoch_end
        callbacks.append(
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: notify(epoch + 1, dict(logs))
            )
        )
    history = model.fit(
        train.sequences,
        train.codes,
        validation_data=(validation.sequences, validation.codes) if validation else None,
        batch_size=hyperparameters.batch_size,
        epochs=hyperparameters.epochs,
        callbacks=callbacks,
        verbose=0,
    )
    return model, {
        name: [float(value) for value in values] for name, values in history.history.items()
    }


def predict_probabilities(
    model: KerasModel, sequences: npt.NDArray[np.unsignedinteger]
) -> npt.NDArray[np.float64]:
    """Return the probability of every label.

    Args:
        model: From `train_model`.
        sequences: Token ids, shape (reviews, sequence length).

    Returns:
        Array of shape (reviews, labels), dtype float64; each row sums to 1.

    """
    if len(sequences) == 0:
        return np.empty((0, max(2, model.output_shape[-1])))
    output = model.predict(sequences, batch_size=PREDICTION_BATCH_SIZE, verbose=0)
    probabilities = np.asarray(output, dtype=np.float64)
    if probabilities.shape[1] == 1:
        return np.hstack([1 - probabilities, probabilities])
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return probabilities
