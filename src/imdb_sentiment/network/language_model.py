"""Pretraining of the LSTM as a language model, on texts without labels.

After Dai and Le, "Semi-supervised Sequence Learning" (NeurIPS 2015): an LSTM that has learnt to
predict text is a better start for a classifier than a random one. As in Johnson and Zhang,
"Supervised and Semi-Supervised Text Categorization using LSTM for Region Embeddings" (ICML 2016),
it predicts which words occur next, in any order and without the most frequent ones, since those say
little about the content. The loss is that of negative sampling (Mikolov et al., NeurIPS 2013).

TensorFlow is imported inside the functions that need it.
"""

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from imdb_sentiment.errors import InputError
from imdb_sentiment.interrupts import remembered_ctrl_c
from imdb_sentiment.network.model import initialize_gates, make_lstm, require_word_vectors
from imdb_sentiment.network.seeding import seeded
from imdb_sentiment.network.tensorflow_setup import tensorflow_setup
from imdb_sentiment.network.training import can_fuse, count_parts, make_dataset
from imdb_sentiment.parameters import LanguageModelParameters
from imdb_sentiment.progress import Task
from imdb_sentiment.text.batching import (
    count_occurrences,
    count_tokens,
    group_by_length,
    pad_right,
)

logger = logging.getLogger(__name__)

WINDOW = 5  # maximum distance, in tokens, of a predicted token
DISTANCES = 2  # number of distances drawn from the window in each step, to save time
FREQUENT_TOKENS = 100  # number of most frequent tokens, which are not predicted
NEGATIVES = 512  # number of negative samples per step, shared by all predictions
NEGATIVE_WEIGHT = 5.0  # weight of their mean loss, as if there were five per predicted token
NEGATIVE_STRIDE = 4  # they are compared with the output at every fourth token, to save time
TARGET_DEVIATION = 0.1  # standard deviation of the initial vectors of the predicted tokens
NEGATIVE_POWER = 0.75  # exponent of the token frequencies in the sampling distribution
SPATIAL_DROPOUT_RATE = 0.2
GRADIENT_CLIP_NORM = 1.0
STEPS_PER_LOG = 500

Batch = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32]]


@remembered_ctrl_c()
def pretrain_lstm(
    sequences: npt.NDArray[np.unsignedinteger],
    word_vectors: npt.NDArray[np.float32],
    parameters: LanguageModelParameters,
    *,
    passes: int,
    units: int,
    bidirectional: bool,
    chrono_initialization: int,
) -> tuple[npt.NDArray[np.float32], ...]:
    """Train the embedding and the first LSTM to predict the tokens around each token.

    A bidirectional LSTM predicts the next tokens in its direction: the forward one those that
    follow, the backward one those that precede.

    Args:
        sequences: Token ids, shape (texts, sequence length), padded with 0 on the left.
        word_vectors: Initial weights of the embedding, shape (vocabulary, size).
        parameters: Batch size, learning rate and seed.
        passes: Number of epochs.
        units: Size of the LSTM's state, in each direction.
        bidirectional: Whether a second LSTM reads the texts backwards.
        chrono_initialization: Longest dependency for the initial biases; see `Hyperparameters`.

    Returns:
        The weights of the embedding, shape (vocabulary, size), followed by those of the LSTM in
        Keras's order, all of dtype float32.

    Raises:
        InputError: There are no word vectors to start from, or the training has diverged.

    """
    with tensorflow_setup():
        import keras

    sequences = sequences[count_tokens(sequences) > 0]
    require_word_vectors(word_vectors)
    counts = _count_predicted(sequences, len(word_vectors))
    targets = _make_target_vectors(word_vectors, units, parameters.seed)
    with seeded(parameters.seed):
        embedding = keras.layers.Embedding(*word_vectors.shape, mask_zero=True)
        lstm = make_lstm(units, bidirectional=bidirectional)
        keras.Sequential([keras.Input((None,), dtype="int32"), embedding, lstm])  # builds them
        embedding.set_weights([word_vectors])
        if chrono_initialization:
            initialize_gates(lstm, chrono_initialization)
        model = _make_language_model(
            embedding, lstm, targets, counts > 0, count_parts(parameters.batch_size)
        )
    batches = _make_batches(sequences, counts, parameters)
    steps = passes * int(batches.cardinality())
    model.compile(
        optimizer=make_fused_adam(
            keras.optimizers.schedules.CosineDecay(parameters.learning_rate, steps)
        ),
        jit_compile=False,  # XLA does not know the fused operation
    )
    with Task("Language model", steps, "steps") as progress:
        log = keras.callbacks.LambdaCallback(on_train_batch_end=_log_progress(steps, progress))
        model.fit(
            batches,
            epochs=passes,
            shuffle=False,  # the batches are shuffled already
            callbacks=[log],
            verbose=0,
        )
    weights = (embedding.get_weights()[0], *lstm.get_weights())
    if not all(np.isfinite(array).all() for array in weights):
        raise InputError("the language model has diverged: lower language_model.learning_rate")
    return weights


def _log_progress(steps: int, progress: Task) -> Any:
    done = 0

    def log(batch: int, logs: dict[str, float]) -> None:
        nonlocal done
        done += 1
        progress.update(done)
        if done % STEPS_PER_LOG == 0 or done == steps:
            logger.debug("Language model, step %d of %d: loss %.3f", done, steps, logs["loss"])

    return log


def _make_language_model(
    embedding: Any,
    lstm: Any,
    targets: npt.NDArray[np.float32],
    is_predicted: npt.NDArray[np.bool_],
    parts: int,
) -> Any:
    """Return a `keras.Model` that trains both layers on batches of `_make_batches`.

    Args:
        embedding: A `keras.layers.Embedding`.
        lstm: A `keras.layers.LSTM` that returns all outputs, or a `Bidirectional` of one.
        targets: Initial vectors of the predicted tokens, shape (vocabulary, units).
        is_predicted: Whether each token is predicted, shape (vocabulary,).
        parts: Number of parallel operations per batch, if the LSTM is fused.

    """
    import keras
    import tensorflow as tf

    layers = [embedding, keras.layers.SpatialDropout1D(SPATIAL_DROPOUT_RATE), lstm]
    if can_fuse():
        from imdb_sentiment.network.fused_lstm import FusedEncoder

        reader = FusedEncoder(layers, parts)
    else:
        reader = keras.Sequential(layers)
    vocabulary_size = len(is_predicted)
    may_be_target = tf.constant(is_predicted)

    class LanguageModel(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = embedding
            self.lstm = lstm
            directions = 2 if isinstance(lstm, keras.layers.Bidirectional) else 1
            self.vectors = [
                self.add_weight(targets.shape, keras.initializers.Constant(targets))
                for _ in range(directions)
            ]
            # As logits, 0 would mean that any token is as likely to follow as not.
            self.biases = [
                self.add_weight((vocabulary_size,), keras.initializers.Constant(-3.0))
                for _ in range(directions)
            ]
            self.built = True

        def train_step(self, data: Any) -> dict[str, Any]:
            ids = data[0]
            with tf.GradientTape() as tape:
                is_token = tf.not_equal(ids, 0)  # (B, T)
                outputs = tf.split(reader(ids, training=True), len(self.vectors), axis=2)
                loss = sum(
                    self._score(direction, output, is_token, data)
                    for direction, output in enumerate(outputs)
                )
            gradients = tape.gradient(loss, self.trainable_variables)
            # Keras's `global_clipnorm` has the same result, but makes all gradients dense.
            gradients, _ = tf.clip_by_global_norm(gradients, GRADIENT_CLIP_NORM)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
            return {"loss": loss}

        def _score(self, direction: int, outputs: Any, is_token: Any, data: Any) -> Any:
            """Return the loss of one direction, whose outputs have the shape (B, T, units)."""
            ids, negatives, distances = data
            vectors, biases = self.vectors[direction], self.biases[direction]
            drawn = tf.matmul(
                tf.boolean_mask(outputs, is_token)[::NEGATIVE_STRIDE],
                tf.gather(vectors, negatives),
                transpose_b=True,
            )
            loss = NEGATIVE_WEIGHT * tf.reduce_mean(
                tf.nn.softplus(drawn + tf.gather(biases, negatives))
            )
            predictions = []
            for distance in tf.unstack(distances, DISTANCES):
                kept = tf.shape(ids)[1] - distance
                if direction == 0:
                    targets = tf.pad(ids[:, distance:], ((0, 0), (0, distance)))
                else:
                    targets = tf.pad(ids[:, :kept], ((0, 0), (distance, 0)))
                is_used = is_token & tf.gather(may_be_target, targets)
                chosen = tf.boolean_mask(targets, is_used)
                logits = tf.reduce_sum(
                    tf.boolean_mask(outputs, is_used) * tf.gather(vectors, chosen), axis=1
                )
                predictions.append(tf.nn.softplus(-logits - tf.gather(biases, chosen)))
            every = tf.concat(predictions, axis=0)
            count = tf.maximum(tf.cast(tf.size(every), tf.float32), 1.0)
            return loss + tf.reduce_sum(every) / count

    return LanguageModel()


def make_fused_adam(learning_rate: Any) -> Any:
    """Return Keras's Adam, except that one operation of TensorFlow updates a whole variable.

    Keras's own takes about ten, each of which goes through all vectors of a vocabulary.

    Args:
        learning_rate: A number or a schedule of `keras.optimizers.schedules`.

    """
    import keras
    import tensorflow as tf

    class FusedAdam(keras.optimizers.Adam):
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            index = self._get_variable_index(variable)
            step = tf.cast(self.iterations + 1, tf.float32)
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=self._momentums[index].value.handle,
                v=self._velocities[index].value.handle,
                beta1_power=self.beta_1**step,
                beta2_power=self.beta_2**step,
                lr=learning_rate,
                beta1=self.beta_1,
                beta2=self.beta_2,
                epsilon=self.epsilon,
                grad=tf.convert_to_tensor(gradient),  # sums the slices of a token
            )

    return FusedAdam(learning_rate)


def _make_target_vectors(
    word_vectors: npt.NDArray[np.float32], units: int, seed: int
) -> npt.NDArray[np.float32]:
    """Return initial vectors of the predicted tokens: the main components of the word vectors.

    So tokens with a similar meaning are predicted alike from the first step on, and the LSTM does
    not begin by learning which these are. Further units, if the word vectors have fewer components,
    begin with random numbers.

    Args:
        word_vectors: Shape (vocabulary, size).
        units: Size of the LSTM's state.
        seed: Seed of the random numbers.

    Returns:
        Array of shape (vocabulary, units).

    """
    vectors = word_vectors.astype(np.float64)
    _, axes = np.linalg.eigh(vectors.T @ vectors)  # by their variance, the least first
    components = vectors @ axes[:, ::-1][:, :units]
    rng = np.random.default_rng(seed)
    targets = rng.normal(0.0, TARGET_DEVIATION, (len(vectors), units))
    targets[:, : components.shape[1]] = components * (TARGET_DEVIATION / (components.std() or 1.0))
    return targets.astype(np.float32)


def _count_predicted(
    sequences: npt.NDArray[np.unsignedinteger], vocabulary_size: int
) -> npt.NDArray[np.intp]:
    """Return how often each token occurs, shape (vocabulary,); 0 for those that are not predicted.

    These are the padding and, except in a small vocabulary, the most frequent tokens.
    """
    counts = count_occurrences(sequences, vocabulary_size)
    counts[0] = 0
    if np.count_nonzero(counts) > 2 * FREQUENT_TOKENS:
        counts[np.argsort(-counts, kind="stable")[:FREQUENT_TOKENS]] = 0
    return counts


def _make_batches(
    sequences: npt.NDArray[np.unsignedinteger],
    counts: npt.NDArray[np.intp],
    parameters: LanguageModelParameters,
) -> Any:
    """Return a `tf.data.Dataset` of batches of texts of similar length, shuffled in each epoch.

    Returns:
        Token ids, int32 of shape (B, T); random tokens, int32 of shape (NEGATIVES,); and the
        distances of the predicted tokens, int32 of shape (DISTANCES,).

    """
    import tensorflow as tf

    lengths = count_tokens(sequences)
    rng = np.random.default_rng(parameters.seed)
    cumulated = np.cumsum(counts**NEGATIVE_POWER)

    def generate() -> Iterator[Batch]:
        for rows in group_by_length(lengths, parameters.batch_size, rng):
            ids = pad_right(sequences[rows]).astype(np.int32)
            drawn = np.searchsorted(cumulated, rng.random(NEGATIVES) * cumulated[-1], side="right")
            distances = np.minimum(1 + rng.permutation(WINDOW)[:DISTANCES], ids.shape[1])
            yield ids, drawn.astype(np.int32), distances.astype(np.int32)

    return make_dataset(
        generate,
        (
            tf.TensorSpec((None, None), tf.int32),
            tf.TensorSpec((NEGATIVES,), tf.int32),
            tf.TensorSpec((DISTANCES,), tf.int32),
        ),
        n_batches=-(-len(sequences) // parameters.batch_size),
    )
