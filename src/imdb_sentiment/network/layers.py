"""Layers that Keras lacks.

This module imports TensorFlow, so it is imported where a network is built. Import it as well before
loading a `model.keras` with pooling outside this project.
"""

from typing import Any

import keras
from keras import ops

LSTM_MINIMUM = -1.0  # lower bound of an LSTM's outputs, each of which is tanh times a sigmoid
POOLINGS = ("max", "mean", "max_mean")


@keras.saving.register_keras_serializable("imdb_sentiment")
class SequencePooling(keras.layers.Layer):
    """Pooling of an LSTM's outputs over the words of a review, without its padding.

    Args:
        kind: `max` or `mean` over the words, or `max_mean` for both side by side.
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
        return ops.concatenate([_max(sequences, is_word), _mean(sequences, is_word)], axis=-1)

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
