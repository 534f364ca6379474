"""What Keras has no layer for. Imports TensorFlow, so it is imported where a network is built.

To load a `model.keras` with pooling in it outside of the project, import this module first.
"""

from typing import Any

import keras
from keras import ops

LEAST = -1.0  # no output of an LSTM is below: tanh times a sigmoid
POOLINGS = ("max", "mean", "max_mean", "attention")


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
