"""Layers that Keras lacks.

This module imports TensorFlow, so it is imported where a network is built. Import it as well before
loading a `model.keras` with pooling or n-grams outside this project.
"""

from typing import Any

import keras
from keras import ops

LSTM_MINIMUM = -1.0  # lower bound of an LSTM's output, which is tanh times a sigmoid
POOLINGS = ("max", "mean", "max_mean", "attention")
BUCKETS = 1 << 20
PRIME = 1_048_573  # the largest prime below BUCKETS
BASE = 1_000_003  # multiplied with a hash, it fits into 64 bits


@keras.saving.register_keras_serializable("imdb_sentiment")
class SequencePooling(keras.layers.Layer):
    """Pooling of an LSTM's outputs over the words of a review, without its padding.

    Args:
        kind: `max` or `mean` over the words, `max_mean` for both side by side, or `attention` for a
            mean with learnt weights (Yang et al., "Hierarchical Attention Networks for Document
            Classification", NAACL 2016).
        **options: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: `kind` is none of these.

    """

    def __init__(self, kind: str, **options: Any) -> None:
        super().__init__(**options)
        if kind not in POOLINGS:
            raise ValueError(f"kind is {kind!r}, and must be one of {', '.join(POOLINGS)}")
        self.kind = kind
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the weights, which only attention has."""
        if self.kind == "attention":
            size = input_shape[-1]
            self._kernel = self.add_weight(shape=(size, size), name="kernel")
            self._bias = self.add_weight(shape=(size,), initializer="zeros", name="bias")
            self._query = self.add_weight(shape=(size, 1), name="query")

    def call(self, sequences: Any, mask: Any = None) -> Any:
        """Pool the outputs of each review.

        Args:
            sequences: Outputs of an LSTM, float32 of shape (B, T, H).
            mask: False where there is padding, bool of shape (B, T); None without padding.

        Returns:
            float32 of shape (B, H), or (B, 2 H) for `max_mean`.

        """
        is_word = None if mask is None else ops.expand_dims(mask, -1)  # (B, T, 1)
        if self.kind == "max":
            return _max(sequences, is_word)
        if self.kind == "mean":
            return _mean(sequences, is_word)
        if self.kind == "max_mean":
            return ops.concatenate([_max(sequences, is_word), _mean(sequences, is_word)], axis=-1)
        scores = ops.tanh(sequences @ self._kernel + self._bias) @ self._query  # (B, T, 1)
        if is_word is not None:
            scores = ops.where(is_word, scores, -1e9)
        return ops.sum(ops.softmax(scores, axis=1) * sequences, axis=1)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        """Return None, since the output has no word axis to mask."""

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the pooled outputs."""
        batch, _, size = input_shape
        return batch, 2 * size if self.kind == "max_mean" and size else size

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that create the layer again."""
        return {**super().get_config(), "kind": self.kind}


def _max(sequences: Any, is_word: Any) -> Any:
    if is_word is not None:
        sequences = ops.where(is_word, sequences, LSTM_MINIMUM)
    return ops.max(sequences, axis=1)


def _mean(sequences: Any, is_word: Any) -> Any:
    if is_word is None:
        return ops.mean(sequences, axis=1)
    weights = ops.cast(is_word, sequences.dtype)
    return ops.sum(sequences * weights, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1)


@keras.saving.register_keras_serializable("imdb_sentiment")
class NgramScores(keras.layers.Layer):
    """Scores of a linear model of tokens and n-grams, each counted once per review.

    The weights of the n-grams are in a table of 2²⁰ buckets, chosen by a hash of their tokens
    (Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", ICML 2009). They are
    not trained with the network.

    Args:
        max_ngram: Length of the longest n-grams counted, in tokens.
        outputs: 1 for two labels, otherwise the number of labels.
        **options: Arguments of `keras.layers.Layer`.

    """

    def __init__(self, max_ngram: int, outputs: int, **options: Any) -> None:
        super().__init__(**options)
        self.max_ngram = max_ngram
        self.outputs = outputs

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the bias and the table. Bucket 0 stands for no n-gram and stays 0."""
        shapes = {"table": (BUCKETS, self.outputs), "bias": (self.outputs,)}
        self._table, self._bias = (
            self.add_weight(shape=shape, initializer="zeros", trainable=False, name=name)
            for name, shape in shapes.items()
        )

    def call(self, token_ids: Any) -> Any:
        """Score each review.

        Args:
            token_ids: int32 of shape (B, T), padded with 0.

        Returns:
            float32 of shape (B, outputs): the log-odds of the second of two labels; for more
            labels, the logarithm of each label's probability against the others.

        """
        weights = ops.take(self._table, find_ngrams(token_ids, self.max_ngram), axis=0)
        scores = ops.sum(weights, axis=1) + self._bias
        return scores if self.outputs == 1 else ops.log_sigmoid(scores)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the scores."""
        return input_shape[0], self.outputs

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that create the layer again."""
        return {**super().get_config(), "max_ngram": self.max_ngram, "outputs": self.outputs}


def find_ngrams(token_ids: Any, max_ngram: int) -> Any:
    """Return the buckets of the tokens and n-grams of each review, each bucket once.

    Args:
        token_ids: Integers of shape (B, T), padded with 0.
        max_ngram: Length of the longest n-grams, in tokens.

    Returns:
        int32 of shape (B, N), where N = T + (T - 1) + … is the number of n-grams of T tokens. It is
        0 for n-grams with padding and for repeated buckets.

    """
    tokens = ops.cast(token_ids, "int64")
    hashes, is_ngram = tokens % PRIME, tokens > 0
    buckets = [ops.where(is_ngram, hashes + 1, 0)]
    for n in range(1, max_ngram):  # a rolling hash (Karp and Rabin, 1987)
        hashes = (hashes[:, :-1] * BASE + tokens[:, n:]) % PRIME
        is_ngram = ops.logical_and(is_ngram[:, :-1], tokens[:, n:] > 0)
        buckets.append(ops.where(is_ngram, hashes + 1, 0))
    ordered = ops.sort(ops.cast(ops.concatenate(buckets, axis=1), "int32"), axis=1)
    repeated = ops.equal(ordered[:, 1:], ordered[:, :-1])
    return ops.concatenate([ordered[:, :1], ops.where(repeated, 0, ordered[:, 1:])], axis=1)
