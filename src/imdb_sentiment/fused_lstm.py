"""The LSTM of the network as one operation, for training on processors.

Keras runs an LSTM on a processor as a loop of many small operations. TensorFlow's `BlockLSTM` does
all steps in one. It knows no mask, but needs none for padding on the left: an extra input that is 1
in the padding shuts the input gate there, so the state stays at 0 until the first word.

This module imports TensorFlow, so it is imported where a network is trained. (`BlockLSTMV2` has
Keras's order of the gates, but TensorFlow 2.21 registers the first version's gradient for it.)
"""

import itertools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

SHUT = -1e9  # what the input gate gets in the padding: its sigmoid is 0, and so is the gradient


class FusedLSTM(keras.layers.Layer):
    """What a `keras.layers.LSTM` computes of reviews with padding on the left, with its weights.

    An operation takes one thread, so several are run side by side, each on a part of the batch.

    Args:
        lstm: The layer, with Keras's default activations, that returns its last output.
        parts: Into how many parts a batch is divided.

    """

    def __init__(self, lstm: keras.layers.LSTM, parts: int) -> None:
        super().__init__(name=f"fused_{lstm.name}")
        self.supports_jit = False  # XLA doesn't know the operation
        self._lstm = lstm
        self._parts = parts

    def call(self, sequences: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Return the last output.

        Args:
            sequences: Word vectors, float32 of shape (batch, words, size).
            mask: False in the padding, bool of shape (batch, words); None if there is none.

        Returns:
            float32 of shape (batch, units).

        """
        units, cell = self._lstm.units, self._lstm.cell
        in_padding = tf.zeros_like(sequences[:, :, :1])
        if mask is not None:
            in_padding = tf.cast(~mask[:, :, tf.newaxis], sequences.dtype)
        shut = tf.concat([tf.fill((1, units), SHUT), tf.zeros((1, 3 * units))], axis=1)
        weights = [_reorder(cell.kernel), shut, _reorder(cell.recurrent_kernel)]
        run = _make_run(units, tf.concat(weights, axis=0), _reorder(cell.bias))
        inputs = tf.concat([sequences, in_padding], axis=2)
        n = tf.shape(inputs)[0]
        bounds = [n * part // self._parts for part in range(self._parts + 1)]

        def run_parts() -> tf.Tensor:
            return tf.concat([run(inputs[i:j]) for i, j in itertools.pairwise(bounds)], axis=0)

        # Of a part without rows, the operation's gradient would be whatever is in memory.
        return tf.cond(n >= self._parts, run_parts, lambda: run(inputs))

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        """Return None: what comes out has no words."""

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, int]:
        """Return the shape of the last output."""
        return input_shape[0], self._lstm.units


def make_fused_twin(model: keras.Sequential, parts: int) -> keras.Model:
    """Return a twin with the same layers and weights, but the LSTM fused.

    It is compiled as the given model is, with the same optimizer. Training it trains that model.
    """
    outputs = model.inputs[0]
    for layer in model.layers:
        fused = isinstance(layer, keras.layers.LSTM)
        outputs = (FusedLSTM(layer, parts) if fused else layer)(outputs)
    twin = keras.Model(model.inputs[0], outputs)
    twin.compile(optimizer=model.optimizer, loss=model.loss, metrics=["accuracy"])
    return twin


def _reorder(weights: tf.Tensor) -> tf.Tensor:
    """Return weights of the gates in the operation's order, which has the middle two swapped."""
    write, forget, candidate, read = tf.split(tf.convert_to_tensor(weights), 4, axis=-1)
    return tf.concat([write, candidate, forget, read], axis=-1)


def _make_run(units: int, weights: tf.Tensor, bias: tf.Tensor) -> Callable[[tf.Tensor], tf.Tensor]:
    unused = tf.zeros((units,))  # weights of peepholes

    def run(inputs: tf.Tensor) -> tf.Tensor:
        by_word = tf.transpose(inputs, (1, 0, 2))
        zeros = tf.zeros((tf.shape(inputs)[0], units))
        outputs = tf.raw_ops.BlockLSTM(
            seq_len_max=tf.cast(tf.shape(by_word)[0], tf.int64),
            x=by_word,
            cs_prev=zeros,
            h_prev=zeros,
            w=weights,
            wci=unused,
            wcf=unused,
            wco=unused,
            b=bias,
            forget_bias=0,
            cell_clip=-1,  # none
            use_peephole=False,
        )
        return outputs.h[-1]

    return run
