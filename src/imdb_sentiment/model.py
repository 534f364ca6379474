"""Building, training and asking the network. TensorFlow is imported when it is needed."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from imdb_sentiment.batching import count_tokens, cut_padding, group_by_length
from imdb_sentiment.encoded import EncodedReviews, GuessedReviews
from imdb_sentiment.errors import InputError
from imdb_sentiment.parameters import Hyperparameters
from imdb_sentiment.probabilities import complete_probabilities
from imdb_sentiment.tensorflow_setup import tensorflow_setup

if TYPE_CHECKING:  # it brings scikit-learn, which a worker of a search has no use for
    from imdb_sentiment.ngrams import NgramModel

# A `keras.Model`; Kedro resolves annotations when a run begins, and TensorFlow is not there yet.
KerasModel: TypeAlias = Any

PREDICTION_BATCH_SIZE = 256
ROWS_A_THREAD = 32  # of a training batch; with fewer, another thread gains nothing

NO_ROWS_TO_WATCH = (
    "hyperparameters.early_stopping_patience needs rows that are held out: set "
    "training.use_validation_rows: false, or early_stopping_patience: 0"
)

History = dict[str, list[float]]
EpochCallback = Callable[[int, int, dict[str, float]], None]


def build_model(
    hyperparameters: Hyperparameters,
    vocabulary_size: int,
    n_labels: int,
    word_vectors: npt.NDArray[np.float32] | None = None,
) -> KerasModel:
    """Return the compiled network: embedding, LSTM, pooling, dropout, and a dense layer on top.

    The embedding masks the padding, so a prediction depends neither on how much of it there is nor
    on what a review is batched with. Two labels end in one sigmoid unit, more in a softmax.

    Args:
        hyperparameters: Shape of the network, optimizer and learning rate.
        vocabulary_size: Number of token ids.
        n_labels: Number of labels, 2 or more.
        word_vectors: What a pretrained embedding begins with, shape (vocabulary_size, any size).

    Returns:
        A `keras.Sequential` from int32 ids of shape (batch, any length) to probabilities of shape
        (batch, 1) for two labels, (batch, n_labels) for more.

    Raises:
        InputError: The embedding is to be pretrained, and there are no word vectors, or they are
            of another vocabulary.

    """
    with tensorflow_setup():
        import keras

    chosen = hyperparameters
    vectors = None
    if chosen.pretrained_embedding:
        vectors = require_word_vectors(word_vectors, vocabulary_size)
    size = chosen.embedding_size if vectors is None else vectors.shape[1]
    binary = n_labels == 2  # noqa: PLR2004
    embedding = keras.layers.Embedding(vocabulary_size, size, mask_zero=True)
    model = keras.Sequential(
        [
            keras.Input(shape=(None,), dtype="int32", name="token_ids"),
            embedding,
            *_make_spatial_dropout(chosen.spatial_dropout_rate),
            *(_make_lstm(chosen, number) for number in range(1, chosen.lstm_layers + 1)),
            *_make_pooling(chosen.pooling),
            keras.layers.Dropout(chosen.dropout_rate),
            keras.layers.Dense(1, activation="sigmoid")
            if binary
            else keras.layers.Dense(n_labels, activation="softmax"),
        ]
    )
    if vectors is not None:
        embedding.set_weights([vectors])
    model.compile(
        optimizer=type(keras.optimizers.get(chosen.optimizer))(
            learning_rate=chosen.learning_rate,
            global_clipnorm=chosen.gradient_clip_norm or None,
            use_ema=chosen.ema_momentum > 0,
            ema_momentum=chosen.ema_momentum,
        ),
        loss="binary_crossentropy" if binary else "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def require_word_vectors(
    word_vectors: npt.NDArray[np.float32] | None, vocabulary_size: int
) -> npt.NDArray[np.float32]:
    """Return the vectors, or raise `InputError` if they don't suit a network."""
    if word_vectors is None or not word_vectors.size:
        raise InputError(
            "hyperparameters.pretrained_embedding needs word vectors: set word_vectors.method, or "
            "pretrained_embedding: false"
        )
    if len(word_vectors) != vocabulary_size:
        raise InputError(
            f"there are word vectors of {len(word_vectors):,} tokens and reviews of "
            f"{vocabulary_size:,}: run kedro run --pipelines data_processing again"
        )
    return word_vectors


def _make_spatial_dropout(rate: float) -> list[Any]:
    import keras

    return [keras.layers.SpatialDropout1D(rate)] if rate > 0 else []


def _make_lstm(hyperparameters: Hyperparameters, number: int) -> Any:
    import keras

    last = number == hyperparameters.lstm_layers
    lstm = keras.layers.LSTM(
        hyperparameters.units,
        recurrent_dropout=hyperparameters.recurrent_dropout_rate,
        return_sequences=not last or hyperparameters.pooling != "last",
        use_cudnn=False,  # cuDNN takes padding on the right only
    )
    return keras.layers.Bidirectional(lstm) if hyperparameters.bidirectional else lstm


def _make_pooling(kind: str) -> list[Any]:
    if kind == "last":
        return []
    from imdb_sentiment.layers import SequencePooling

    return [SequencePooling(kind)]


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
        from imdb_sentiment.fused_lstm import make_fused_twin

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


def average_networks(
    models: Sequence[KerasModel], ngrams: "NgramModel | None" = None, share: float = 0
) -> KerasModel:
    """Return one network whose logits are the mean of several networks' logits.

    Their layers stand side by side, up to the last, which takes the outputs of all. An average is
    not compiled: it has no optimizer to go on with.

    Args:
        models: From `train_model`, all with the same hyperparameters; they stay as they are.
        ngrams: A linear model to be averaged with them; needed if it has a share.
        share: What it counts, the mean of the networks counting the rest; 0 to do without.

    Returns:
        The average; a single network without n-grams as it is.

    """
    if len(models) == 1 and not share:
        return models[0]
    with tensorflow_setup():
        import keras

    token_ids = keras.Input(shape=(None,), dtype="int32", name="token_ids")
    outputs = []
    for number, model in enumerate(models, start=1):
        output = token_ids
        for layer in model.layers[:-1]:
            config = layer.get_config()
            copy = type(layer).from_config({**config, "name": f"{config['name']}_of_{number}"})
            output = copy(output)
            copy.set_weights(layer.get_weights())
        outputs.append(output)
    kernels, biases = zip(*(model.layers[-1].get_weights() for model in models), strict=True)
    kernel, bias = np.concatenate(kernels) / len(models), np.mean(biases, axis=0)
    if share:
        if ngrams is None:
            raise ValueError("there is no n-gram model to have a share")
        from imdb_sentiment.layers import NgramScores

        scores = NgramScores(ngrams.max_ngram, len(ngrams.bias))
        outputs.append(scores(token_ids))
        scores.set_weights([ngrams.table, ngrams.bias])
        kernel = np.concatenate([(1 - share) * kernel, share * np.eye(len(bias))])
        bias = (1 - share) * bias
    last = models[0].layers[-1]
    top = type(last).from_config(last.get_config())
    averaged = keras.Model(token_ids, top(keras.layers.Concatenate()(outputs)))
    top.set_weights([kernel, bias])
    return averaged


def divide_logits(model: KerasModel, temperature: float) -> KerasModel:
    """Return a network whose logits are the given one's divided by a temperature, not compiled.

    Args:
        model: From `train_model`; it stays as it is.
        temperature: Above 1 for less sure probabilities, below for surer ones.

    """
    with tensorflow_setup():
        import keras

    scaled = keras.models.clone_model(model)
    *others, kernel, bias = model.get_weights()
    scaled.set_weights([*others, kernel / temperature, bias / temperature])
    return scaled


def count_known_tokens(model: KerasModel) -> int:
    """Return the size of the vocabulary that a network was built for."""
    return next(int(layer.input_dim) for layer in model.layers if hasattr(layer, "input_dim"))


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
    probabilities = np.empty((len(sequences), max(2, model.output_shape[-1])))
    for rows in group_by_length(count_tokens(sequences), PREDICTION_BATCH_SIZE):
        batch = cut_padding(sequences[rows]).astype(np.int32)
        probabilities[rows] = complete_probabilities(np.asarray(model.predict_on_batch(batch)))
    return probabilities


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
