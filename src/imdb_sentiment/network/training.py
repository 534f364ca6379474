"""Training of the network. TensorFlow is imported when it is needed."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from imdb_sentiment.errors import InputError
from imdb_sentiment.network.model import PREDICTION_BATCH_SIZE, KerasModel, build_model
from imdb_sentiment.network.tensorflow_setup import tensorflow_setup
from imdb_sentiment.parameters import Hyperparameters
from imdb_sentiment.text.batching import count_tokens, cut_padding, group_by_length
from imdb_sentiment.text.encoded_reviews import EncodedReviews, GuessedReviews

ROWS_A_THREAD = 32  # of a training batch; with fewer, another thread gains nothing

NO_ROWS_TO_WATCH = (
    "hyperparameters.early_stopping_patience needs rows that are held out: set "
    "training.use_validation_rows: false, or early_stopping_patience: 0"
)

History = dict[str, list[float]]
EpochCallback = Callable[[int, int, dict[str, float]], None]


def train_model(
    train: EncodedReviews,
    hyperparameters: Hyperparameters,
    seed: int,
    validation: EncodedReviews | None = None,
    on_epoch_end: EpochCallback | None = None,
    *,
    word_vectors: npt.NDArray[np.float32] | None = None,
    guessed: GuessedReviews | None = None,
    callbacks: Sequence[Any] = (),
) -> tuple[KerasModel, History]:
    """Build a network and train it.

    Args:
        train: Reviews to learn from.
        hyperparameters: Of the network and its training.
        seed: Of the initial weights, the shuffling and the dropout; the same seed on the same
            machine gives the same network.
        validation: Reviews to score after each epoch.
        on_epoch_end: Called with the number of each finished epoch, from 1, how many there are at
            most, and its figures.
        word_vectors: What a pretrained embedding begins with, shape (vocabulary, size).
        guessed: Further reviews to learn from. Each epoch draws their labels anew, which on average
            is to learn from the probabilities.
        callbacks: Further `keras.callbacks.Callback`s.

    Returns:
        The network, and one list a figure (`loss`, `accuracy`, and with validation rows `val_loss`
        and `val_accuracy`) with one value an epoch. `accuracy` counts labels as drawn, of guessed
        reviews.

    Raises:
        InputError: The embedding is to be pretrained without word vectors, or training is to stop
            early without rows to score.

    """
    if hyperparameters.early_stopping_patience and validation is None:
        raise InputError(NO_ROWS_TO_WATCH)
    with tensorflow_setup():
        import keras
        import tensorflow as tf

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    rng = np.random.default_rng(seed)
    model = build_model(hyperparameters, train.vocabulary_size, len(train.labels), word_vectors)
    batches = _make_dataset(train, hyperparameters.batch_size, rng, guessed)
    epochs = hyperparameters.count_epochs(len(train) + len(guessed or ()))
    if hyperparameters.learning_rate_schedule == "cosine":  # Loshchilov and Hutter, ICLR 2017
        model.optimizer.learning_rate = keras.optimizers.schedules.CosineDecay(
            hyperparameters.learning_rate, epochs * int(batches.cardinality())
        )
    trained = model
    if not tf.config.list_physical_devices("GPU"):  # there, Keras's own is left as it is
        from imdb_sentiment.network.fused_lstm import make_fused_twin

        parts = min(count_threads(), max(1, hyperparameters.batch_size // ROWS_A_THREAD))
        trained = make_fused_twin(model, parts)
    notify = on_epoch_end or (lambda epoch, epochs, figures: None)
    told = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: notify(epoch + 1, epochs, dict(logs))
    )
    history = trained.fit(
        batches,
        validation_data=_make_dataset(validation, PREDICTION_BATCH_SIZE) if validation else None,
        shuffle=False,  # the dataset does that
        epochs=epochs,
        callbacks=[*_make_callbacks(hyperparameters), told, *callbacks],
        verbose=0,
    )
    return model, {
        name: [float(value) for value in values] for name, values in history.history.items()
    }


def _make_callbacks(hyperparameters: Hyperparameters) -> list[Any]:
    import keras

    callbacks = []
    if hyperparameters.ema_momentum:  # first, so that the others see the average of an epoch
        callbacks.append(keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    if hyperparameters.early_stopping_patience:
        callbacks.append(
            keras.callbacks.EarlyStopping(
                "val_accuracy",
                mode="max",
                patience=hyperparameters.early_stopping_patience,
                restore_best_weights=True,
            )
        )
    return callbacks


def count_threads() -> int:
    """Return how many of its operations TensorFlow runs side by side in this process."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    given = int(os.environ.get("TF_NUM_INTEROP_THREADS") or 0)
    return given if given > 0 else cores or 1


def _make_dataset(
    reviews: EncodedReviews,
    batch_size: int,
    rng: np.random.Generator | None = None,
    guessed: GuessedReviews | None = None,
) -> Any:
    """Return a `tf.data.Dataset` of one epoch's batches; `rng` draws them anew each time."""
    import tensorflow as tf

    sequences = reviews.sequences
    if guessed:
        sequences = np.concatenate([sequences, guessed.sequences])
    lengths = count_tokens(sequences)

    def generate() -> Iterator[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]]:
        codes = reviews.codes.astype(np.int32)
        if guessed and rng:
            codes = np.concatenate([codes, guessed.draw_codes(rng).astype(np.int32)])
        for rows in group_by_length(lengths, batch_size, rng):
            yield cut_padding(sequences[rows]).astype(np.int32), codes[rows]

    dataset = tf.data.Dataset.from_generator(
        generate,
        output_signature=(
            tf.TensorSpec((None, None), tf.int32),  # as long as the longest of the batch
            tf.TensorSpec((None,), tf.int32),
        ),
    )
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(-(-len(lengths) // batch_size)))
    # tf.data's tuner sleeps 10, 20, 40, … ms, and an iterator can't end before it wakes: an epoch
    # of 21 s would take 41.
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
