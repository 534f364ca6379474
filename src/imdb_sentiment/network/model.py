"""The network: building it, and scoring reviews with it.

TensorFlow is imported inside the functions that need it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.logits import Logits
from imdb_sentiment.network.tensorflow_setup import tensorflow_setup
from imdb_sentiment.parameters import Hyperparameters
from imdb_sentiment.text.batching import count_tokens, group_by_length, pad_right

# A `keras.Model`. Kedro resolves annotations when a run begins, before TensorFlow is imported.
KerasModel: TypeAlias = Any

# Weights of the embedding, followed by those of the first LSTM in Keras's order.
PretrainedWeights: TypeAlias = Sequence[npt.NDArray[np.float32]]

PREDICTION_BATCH_SIZE = 128


def build_model(
    hyperparameters: Hyperparameters,
    vocabulary_size: int,
    n_labels: int,
    word_vectors: npt.NDArray[np.float32] | None = None,
) -> KerasModel:
    """Return the compiled network: embedding, LSTM, pooling, dropout and a dense layer.

    The embedding masks the padding, so a prediction depends neither on the padding nor on the other
    reviews of a batch. On a GPU, Keras runs an LSTM as one kernel of
    cuDNN, which needs reviews from `pad_right`. Two labels end in one sigmoid unit, more labels in
    a softmax.

    Args:
        hyperparameters: Shape of the network, optimizer and learning rate, which `NetworkTrainer`
            replaces.
        vocabulary_size: Number of token ids, V.
        n_labels: Number of labels, C; 2 or more.
        word_vectors: Initial weights of a pretrained embedding, float32 of shape (V, E). Their
            width E then takes the place of `hyperparameters.embedding_size`.

    Returns:
        A `keras.Sequential` from token ids, int32 of shape (B, T), to probabilities, float32 of
        shape (B, 1) for two labels and (B, C) for more. B is the batch size, T the number of tokens
        of its longest review.

    Raises:
        InputError: The embedding is pretrained, but there are no word vectors, or they belong to
            another vocabulary.

    """
    with tensorflow_setup():
        import keras
        from keras import layers

        from imdb_sentiment.network.layers import SequencePooling

    # In the comments, H is the width of the LSTM's output: `units`, doubled if bidirectional.
    hp = hyperparameters
    vectors = (
        require_word_vectors(word_vectors, vocabulary_size) if hp.pretrained_embedding else None
    )
    embedding_size = hp.embedding_size if vectors is None else vectors.shape[1]
    binary = n_labels == 2  # noqa: PLR2004

    stack = [
        keras.Input((None,), dtype="int32", name="token_ids"),  # (B, T)
        layers.Embedding(vocabulary_size, embedding_size, mask_zero=True),  # (B, T, E)
    ]
    if hp.spatial_dropout_rate:
        stack.append(layers.SpatialDropout1D(hp.spatial_dropout_rate))  # (B, T, E)
    for number in range(1, hp.lstm_layers + 1):  # (B, T, H); without pooling, the last gives (B, H)
        stack.append(
            make_lstm(
                hp.units,
                bidirectional=hp.bidirectional,
                return_sequences=number < hp.lstm_layers or hp.pooling != "last",
            )
        )
    if hp.pooling != "last":
        stack.append(SequencePooling(hp.pooling))  # (B, H), or (B, 2 H) for "max_mean"
    stack.append(layers.Dropout(hp.dropout_rate))
    if binary:
        stack.append(layers.Dense(1, activation="sigmoid"))  # (B, 1)
    else:
        stack.append(layers.Dense(n_labels, activation="softmax"))  # (B, C)
    # Not layer by layer with `add`, which calls them repeatedly and so advances their random seeds.
    model = keras.Sequential(stack)

    if vectors is not None:
        model.layers[0].set_weights([vectors])
    if hp.chrono_initialization:
        for layer in model.layers:
            initialize_gates(layer, hp.chrono_initialization)
    compile_network(model, hp, hp.learning_rate)
    return model


def compile_network(
    model: KerasModel, hyperparameters: Hyperparameters, learning_rate: float
) -> None:
    """Compile a network with a new optimizer.

    Args:
        model: The network.
        hyperparameters: Kind of the optimizer, and its options.
        learning_rate: Constant learning rate of the optimizer.

    """
    import keras

    hp = hyperparameters
    binary = model.output_shape[-1] == 1
    model.compile(
        optimizer=type(keras.optimizers.get(hp.optimizer))(learning_rate=learning_rate),
        loss="binary_crossentropy" if binary else "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )


def make_lstm(units: int, *, bidirectional: bool, return_sequences: bool = True) -> Any:
    """Return a `keras.layers.LSTM`, or a `Bidirectional` of one; see `Hyperparameters`."""
    from keras import layers

    lstm = layers.LSTM(units, return_sequences=return_sequences)
    return layers.Bidirectional(lstm) if bidirectional else lstm


def initialize_gates(layer: Any, longest: int) -> None:
    """Set an LSTM's biases so that its units remember for 1 to `longest` words ("chrono").

    After Tallec and Ollivier, "Can recurrent neural networks warp time?", ICLR 2018. With Keras's
    biases, a unit forgets within a few words.

    Args:
        layer: A layer of a network; only an LSTM, or a `Bidirectional` of one, is changed.
        longest: Longest dependency, in words.

    """
    from keras import layers, ops, random

    if isinstance(layer, layers.Bidirectional):
        initialize_gates(layer.forward_layer, longest)
        initialize_gates(layer.backward_layer, longest)
    elif isinstance(layer, layers.LSTM):
        forget = ops.log(random.uniform((layer.units,), 1, max(longest - 1, 2)))
        rest = ops.zeros(2 * layer.units)
        layer.cell.bias.assign(ops.concatenate([-forget, forget, rest]))  # Keras's order of gates


def set_lstm_weights(model: KerasModel, weights: PretrainedWeights) -> None:
    """Let the first LSTM of a network start from pretrained weights.

    If its inputs have more dimensions than those of the pretrained LSTM, the initial weights of the
    further ones, which come last, are kept.

    Args:
        model: Network from `build_model`.
        weights: Weights from `pretrain_lstm`; those of the embedding are not used.

    """
    from keras import layers

    lstm = next(x for x in model.layers if isinstance(x, layers.LSTM | layers.Bidirectional))
    lstm.set_weights(
        [
            np.concatenate([pretrained, initial[len(pretrained) :]])
            for pretrained, initial in zip(weights[1:], lstm.get_weights(), strict=True)
        ]
    )


def require_pretrained_shape(weights: PretrainedWeights, hyperparameters: Hyperparameters) -> None:
    """Check that pretrained weights are those of the LSTM that the hyperparameters describe.

    Args:
        weights: Weights from `pretrain_lstm`.
        hyperparameters: Shape of the network.

    Raises:
        InputError: They belong to an LSTM of another shape.

    """
    directions = 2 if hyperparameters.bidirectional else 1
    per_direction = 3  # kernel, recurrent kernel of shape (units, 4 units), bias
    is_same = len(weights) == 1 + per_direction * directions
    if not is_same or len(weights[2]) != hyperparameters.units:
        raise InputError(
            "the pretrained LSTM has another size or another number of directions than "
            "hyperparameters.units and bidirectional say: run data_processing and tuning with the "
            "same hyperparameters (language_model.passes and passes_without_unlabelled: 0 for no "
            "pretraining)"
        )


def require_word_vectors(
    word_vectors: npt.NDArray[np.float32] | None, vocabulary_size: int | None = None
) -> npt.NDArray[np.float32]:
    """Return the word vectors if a pretrained embedding can start from them.

    Args:
        word_vectors: Shape (tokens, width); None or empty if there are none.
        vocabulary_size: Number of token ids of the reviews; None to check only that there are word
            vectors.

    Returns:
        The word vectors, unchanged.

    Raises:
        InputError: There are none, or they belong to another vocabulary.

    """
    if word_vectors is None or not word_vectors.size:
        raise InputError(
            "hyperparameters.pretrained_embedding needs word vectors: set word_vectors.method, or "
            "pretrained_embedding: false"
        )
    if vocabulary_size is not None and len(word_vectors) != vocabulary_size:
        raise InputError(
            f"the word vectors have {len(word_vectors):,} tokens, and the reviews "
            f"{vocabulary_size:,}: run kedro run --pipelines data_processing again"
        )
    return word_vectors


def count_known_tokens(model: KerasModel) -> int:
    """Return the size of the vocabulary that a network was built for."""
    return next(int(layer.input_dim) for layer in model.layers if hasattr(layer, "input_dim"))


def score_logits(model: KerasModel, sequences: npt.NDArray[np.unsignedinteger]) -> Logits:
    """Return the logits of each review, which are exact even where the network is certain.

    In float32, a probability above 0.99999 says little about its logit, and one of 1 nothing.

    Args:
        model: Network from `build_model` or `train_model`.
        sequences: Token ids, shape (reviews, sequence length), padded with 0 on the left.

    Returns:
        Array of shape (reviews, 1) for two labels, otherwise (reviews, labels), dtype float64.

    Raises:
        InputError: The network has diverged, so that logits are not finite.

    """
    return compile_scorer(model)(sequences)


def compile_scorer(model: KerasModel) -> Callable[[npt.NDArray[np.unsignedinteger]], Logits]:
    """Return a function like `score_logits` for one network and repeated calls.

    The network is compiled once, and may be trained between the calls.
    """
    with tensorflow_setup():
        import tensorflow as tf

    # Keras's own `predict` traces the network for up to three shapes.
    compute_features = tf.function(
        partial(_without_last_layer(model), training=False),
        input_signature=[tf.TensorSpec((None, None), tf.int32)],
        autograph=False,
    )

    def score(sequences: npt.NDArray[np.unsignedinteger]) -> Logits:
        kernel, bias = (weights.astype(np.float64) for weights in model.layers[-1].get_weights())
        logits = np.empty((len(sequences), len(bias)))
        for rows in group_by_length(count_tokens(sequences), PREDICTION_BATCH_SIZE):
            batch = pad_right(sequences[rows]).astype(np.int32)
            logits[rows] = compute_features(batch).numpy() @ kernel + bias
        if not np.isfinite(logits).all():
            raise InputError("the network has diverged: lower hyperparameters.learning_rate")
        return logits

    return score


def _without_last_layer(model: KerasModel) -> KerasModel:
    """Return the network up to its last layer, which shares its weights."""
    with tensorflow_setup():
        import keras

    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    return keras.Sequential([token_ids, *model.layers[:-1]])
