"""Building the network, asking it, and scaling its logits.

TensorFlow is imported when it is needed.
"""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.probabilities import complete_probabilities
from imdb_sentiment.network.tensorflow_setup import tensorflow_setup
from imdb_sentiment.parameters import Hyperparameters
from imdb_sentiment.text.batching import count_tokens, cut_padding, group_by_length

# A `keras.Model`; Kedro resolves annotations when a run begins, and TensorFlow is not there yet.
KerasModel: TypeAlias = Any

PREDICTION_BATCH_SIZE = 256


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
    from imdb_sentiment.network.layers import SequencePooling

    return [SequencePooling(kind)]


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


def score_sequences(
    model: KerasModel, sequences: npt.NDArray[np.unsignedinteger]
) -> npt.NDArray[np.float64]:
    """Return the probability of every label.

    Args:
        model: From `build_model` or `train_model`.
        sequences: Token ids, shape (reviews, sequence length).

    Returns:
        Array of shape (reviews, labels), dtype float64; each row sums to 1.

    """
    probabilities = np.empty((len(sequences), max(2, model.output_shape[-1])))
    for rows in group_by_length(count_tokens(sequences), PREDICTION_BATCH_SIZE):
        batch = cut_padding(sequences[rows]).astype(np.int32)
        probabilities[rows] = complete_probabilities(np.asarray(model.predict_on_batch(batch)))
    return probabilities
