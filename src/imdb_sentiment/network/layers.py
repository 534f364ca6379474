"""What Keras has no layer for. Imports TensorFlow, so it is imported where a network is built.

To load a `model.keras` with pooling or n-grams in it outside of the project, import this module
first.
"""

from typing import Any

import keras
from keras import ops

LEAST = -1.0  # no output of an LSTM is below: tanh times a sigmoid
POOLINGS = ("max", "mean", "max_mean", "attention")
BUCKETS = 1 << 20
PRIME = 1_048_573  # the largest below the number of buckets
BASE = 1_000_003  # times a hash it fits into 64 bits


@keras.saving.register_keras_serializable("imdb_sentiment")
class SequencePooling(keras.layers.Layer):
    """One vector a review, from an LSTM's outputs for its words, and not for its padding.

    Args:
        kind: `max` or `mean` over the words, `max_mean` for both side by side, or `attention` for a
            mean with weights that are learnt (Yang et al., "Hierarchical Attention Networks for
            Document Classification", NAACL 2016).
        **options: Of any Keras layer.

    """

    def __init__(self, kind: str, **options: Any) -> None:
        super().__init__(**options)
        if kind not in POOLINGS:
            raise ValueError(f"kind is {kind!r}, and must be one of {', '.join(POOLINGS)}")
        self.kind = kind
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights, which attention alone has."""
        if self.kind == "attention":
            size = input_shape[-1]
            self._kernel = self.add_weight(shape=(size, size), name="kernel")
            self._bias = self.add_weight(shape=(size,), initializer="zeros", name="bias")
            self._query = self.add_weight(shape=(size, 1), name="query")

    def call(self, sequences: Any, mask: Any = None) -> Any:
        """Return what is left of each review.

        Args:
            sequences: Outputs of an LSTM, float32 of shape (batch, words, size).
            mask: False in the padding, bool of shape (batch, words); None if there is none.

        Returns:
            float32 of shape (batch, size), for `max_mean` of twice the size.

        """
        here = None if mask is None else ops.expand_dims(mask, -1)
        if self.kind == "max":
            return _max(sequences, here)
        if self.kind == "mean":
            return _mean(sequences, here)
        if self.kind == "max_mean":
            return ops.concatenate([_max(sequences, here), _mean(sequences, here)], axis=-1)
        scores = ops.tanh(sequences @ self._kernel + self._bias) @ self._query
        if here is not None:
            scores = ops.where(here, scores, -1e9)
        return ops.sum(ops.softmax(scores, axis=1) * sequences, axis=1)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        """Return None: what comes out has no words."""

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of what is left."""
        batch, _, size = input_shape
        return batch, 2 * size if self.kind == "max_mean" and size else size

    def get_config(self) -> dict[str, Any]:
        """Return what it takes to make the layer again."""
        return {**super().get_config(), "kind": self.kind}


def _max(sequences: Any, here: Any) -> Any:
    return ops.max(sequences if here is None else ops.where(here, sequences, LEAST), axis=1)


def _mean(sequences: Any, here: Any) -> Any:
    if here is None:
        return ops.mean(sequences, axis=1)
    weights = ops.cast(here, sequences.dtype)
    return ops.sum(sequences * weights, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1)


@keras.saving.register_keras_serializable("imdb_sentiment")
class NgramScores(keras.layers.Layer):
    """What a linear model says of a review by its tokens and n-grams, each counted once.

    N-grams have their weights in a table of 2²⁰ buckets, by a hash of their tokens (Weinberger et
    al., "Feature Hashing for Large Scale Multitask Learning", ICML 2009). These are not trained
    with the network.

    Args:
        max_ngram: Longest n-gram of tokens counted.
        outputs: 1 for two labels, or one a label.
        **options: Of any Keras layer.

    """

    def __init__(self, max_ngram: int, outputs: int, **options: Any) -> None:
        super().__init__(**options)
        self.max_ngram = max_ngram
        self.outputs = outputs

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the table, of which row 0 is for nothing, and the bias."""
        shapes = {"table": (BUCKETS, self.outputs), "bias": (self.outputs,)}
        self._table, self._bias = (
            self.add_weight(shape=shape, initializer="zeros", trainable=False, name=name)
            for name, shape in shapes.items()
        )

    def call(self, token_ids: Any) -> Any:
        """Return what is said for each label.

        Args:
            token_ids: int32 of shape (batch, words), padded with 0.

        Returns:
            float32 of shape (batch, outputs): the log-odds of the second of two labels; of more,
            the logarithm of each one's probability against the others.

        """
        weights = ops.take(self._table, find_ngrams(token_ids, self.max_ngram), axis=0)
        scores = ops.sum(weights, axis=1) + self._bias
        return scores if self.outputs == 1 else ops.log_sigmoid(scores)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the scores."""
        return input_shape[0], self.outputs

    def get_config(self) -> dict[str, Any]:
        """Return what it takes to make the layer again."""
        return {**super().get_config(), "max_ngram": self.max_ngram, "outputs": self.outputs}


def find_ngrams(token_ids: Any, max_ngram: int) -> Any:
    """Return the buckets of the tokens and n-grams of each review, each bucket once.

    Args:
        token_ids: Whole numbers, shape (batch, words), padded with 0.
        max_ngram: Longest n-gram of tokens counted.

    Returns:
        int32 of shape (batch, n-grams), with 0 in the place of padding and repetitions.

    """
    tokens = ops.cast(token_ids, "int64")
    hashes, here = tokens % PRIME, tokens > 0
    found = [ops.where(here, hashes + 1, 0)]
    for n in range(1, max_ngram):  # a rolling hash (Karp and Rabin, 1987)
        hashes = (hashes[:, :-1] * BASE + tokens[:, n:]) % PRIME
        here = ops.logical_and(here[:, :-1], tokens[:, n:] > 0)
        found.append(ops.where(here, hashes + 1, 0))
    ordered = ops.sort(ops.cast(ops.concatenate(found, axis=1), "int32"), axis=1)
    repeated = ops.equal(ordered[:, 1:], ordered[:, :-1])
    return ops.concatenate([ordered[:, :1], ops.where(repeated, 0, ordered[:, 1:])], axis=1)
