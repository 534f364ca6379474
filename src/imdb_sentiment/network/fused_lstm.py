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
    """What an LSTM of Keras computes of reviews with padding on the left, with its weights.

    An operation takes one thread, so several are run side by side, each on a part of the batch, and
    those of the two directions too. What comes out for a word is what Keras has there; for padding
    it is something else, which the mask hides.

    Args:
        layer: A `keras.layers.LSTM` with Keras's default activations, or a `Bidirectional` of one.
        parts: Into how many parts a batch is divided.

    """

    def __init__(self, layer: keras.layers.Layer, parts: int) -> None:
        super().__init__(name=f"fused_{layer.name}")
        self.supports_jit = False  # XLA doesn't know the operation
        self.supports_masking = True
        both = isinstance(layer, keras.layers.Bidirectional)
        self._directions = [layer.forward_layer, layer.backward_layer] if both else [layer]
        self._parts = max(1, parts // len(self._directions))
        self._return_sequences = layer.return_sequences

    def call(self, sequences: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Return the outputs, or the last one.

        Args:
            sequences: Word vectors, float32 of shape (batch, words, size).
            mask: False in the padding, bool of shape (batch, words); None if there is none.

        Returns:
            float32 of shape (batch, words, units) or (batch, units), of twice the units if the
            layer is bidirectional.

        """
        if mask is None:
            mask = tf.ones(tf.shape(sequences)[:2], tf.bool)
        inputs = tf.concat([sequences, tf.cast(~mask[:, :, tf.newaxis], sequences.dtype)], axis=2)
        outputs = [
            self._run(lstm, inputs, mask, backwards=number == 1)
            for number, lstm in enumerate(self._directions)
        ]
        return tf.concat(outputs, axis=-1)

    def _run(
        self, lstm: keras.layers.LSTM, inputs: tf.Tensor, mask: tf.Tensor, *, backwards: bool
    ) -> tf.Tensor:
        units, cell = lstm.units, lstm.cell
        shut = tf.concat([tf.fill((1, units), SHUT), tf.zeros((1, 3 * units))], axis=1)
        weights = [_reorder(cell.kernel), shut, _reorder(cell.recurrent_kernel)]
        run = _make_run(units, tf.concat(weights, axis=0), _reorder(cell.bias))
        n = tf.shape(inputs)[0]
        bounds = [n * part // self._parts for part in range(self._parts + 1)]
        words = inputs[:, ::-1] if backwards else inputs

        def run_parts() -> tf.Tensor:
            return tf.concat([run(words[i:j]) for i, j in itertools.pairwise(bounds)], axis=1)

        # Of a part without rows, the operation's gradient would be whatever is in memory.
        by_word = tf.cond(n >= self._parts, run_parts, lambda: run(words))
        if self._return_sequences:
            return tf.transpose(by_word[::-1] if backwards else by_word, (1, 0, 2))
        if not backwards:
            return by_word[-1]
        first_word = tf.maximum(tf.math.count_nonzero(mask, axis=1, dtype=tf.int32) - 1, 0)
        return tf.gather_nd(by_word, tf.stack([first_word, tf.range(n)], axis=1))  # from the end

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return the mask if there is still a vector a word."""
        return previous_mask if self._return_sequences else None

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of what comes out."""
        size = sum(lstm.units for lstm in self._directions)
        return (*input_shape[:2], size) if self._return_sequences else (input_shape[0], size)


def make_fused_twin(model: keras.Sequential, parts: int) -> keras.Model:
    """Return a twin with the same layers and weights, but every LSTM fused that can be.

    Recurrent dropout is beyond the operation: such LSTMs are left as they are. The twin is compiled
    as the given model is, with the same optimizer. Training it trains that model.
    """
    outputs = model.inputs[0]
    for layer in model.layers:
        outputs = (FusedLSTM(layer, parts) if _can_be_fused(layer) else layer)(outputs)
    twin = keras.Model(model.inputs[0], outputs)
    twin.compile(optimizer=model.optimizer, loss=model.loss, metrics=["accuracy"])
    return twin


def _can_be_fused(layer: keras.layers.Layer) -> bool:
    inner = layer.forward_layer if isinstance(layer, keras.layers.Bidirectional) else layer
    return isinstance(inner, keras.layers.LSTM) and not inner.cell.recurrent_dropout


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
        return outputs.h

    return run
