"""The network's LSTM as one TensorFlow operation, for training on CPUs.

On a CPU, Keras runs an LSTM as a loop of many small operations. TensorFlow's `BlockLSTM` computes
all steps in one operation. It has no mask, but padding on the left needs none: an extra input,
which is 1 in the padding, closes the input gate there, so the state stays 0 until the first word.

This module imports TensorFlow, so it is imported where a network is trained. (`BlockLSTMV2` has
Keras's order of the gates, but TensorFlow 2.21 registers the first version's gradient for it.)
"""

import itertools
from typing import Any

import keras
import tensorflow as tf

CLOSED_GATE = -1e9  # logit of a closed gate: its sigmoid is 0, and so is the gradient


class FusedLSTM(keras.layers.Layer):
    """A Keras LSTM computed by `BlockLSTM`, for reviews padded on the left.

    The layer shares the weights of the given one and has the same outputs for words. Its outputs
    for padding differ, but the mask hides these.

    An operation runs on one thread. So a batch is divided into parts, which run in parallel, and so
    do the two directions of a bidirectional layer.

    Args:
        layer: A `keras.layers.LSTM` with Keras's default activations, or a `Bidirectional` of one.
        parts: Number of parallel operations per batch, for all directions together.

    """

    def __init__(self, layer: keras.layers.Layer, parts: int) -> None:
        super().__init__(name=f"fused_{layer.name}")
        self.supports_jit = False  # XLA does not know the operation
        self.supports_masking = True
        both = isinstance(layer, keras.layers.Bidirectional)
        self._directions = [layer.forward_layer, layer.backward_layer] if both else [layer]
        self._parts = max(1, parts // len(self._directions))
        self._return_sequences = layer.return_sequences

    def call(self, sequences: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Return the outputs for all words, or the last one, as the given layer would.

        Args:
            sequences: Word vectors, float32 of shape (B, T, E).
            mask: False where there is padding, bool of shape (B, T); None without padding.

        Returns:
            float32 of shape (B, T, H) or (B, H). H is the number of units, doubled if the layer is
            bidirectional.

        """
        if mask is None:
            mask = tf.ones(tf.shape(sequences)[:2], tf.bool)
        is_padding = tf.cast(~mask[:, :, tf.newaxis], sequences.dtype)  # (B, T, 1)
        inputs = tf.concat([sequences, is_padding], axis=2)  # (B, T, E + 1)
        outputs = [
            self._run_direction(lstm, inputs, mask, backwards=number == 1)
            for number, lstm in enumerate(self._directions)
        ]
        return tf.concat(outputs, axis=-1)

    def _run_direction(
        self, lstm: keras.layers.LSTM, inputs: tf.Tensor, mask: tf.Tensor, *, backwards: bool
    ) -> tf.Tensor:
        """Return the outputs of one LSTM, shape (B, T, units) or (B, units)."""
        weights, bias = _convert_weights(lstm)
        inputs = inputs[:, ::-1] if backwards else inputs
        n = tf.shape(inputs)[0]
        # For a part without rows, the operation's gradient is undefined. So rows of zeros are added
        # where there are fewer rows than parts; their outputs are cut off below.
        added = tf.maximum(self._parts - n, 0)
        inputs = tf.pad(inputs, ((0, added), (0, 0), (0, 0)))
        bounds = [(n + added) * part // self._parts for part in range(self._parts + 1)]
        parts = [_block_lstm(inputs[i:j], weights, bias) for i, j in itertools.pairwise(bounds)]
        outputs = tf.concat(parts, axis=1)[:, :n]  # (T, B, units)
        if self._return_sequences:
            return tf.transpose(outputs[::-1] if backwards else outputs, (1, 0, 2))
        if not backwards:
            return outputs[-1]
        first_word = tf.maximum(tf.math.count_nonzero(mask, axis=1, dtype=tf.int32) - 1, 0)
        return tf.gather_nd(outputs, tf.stack([first_word, tf.range(n)], axis=1))  # from the end

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return the mask if the output still has a word axis."""
        return previous_mask if self._return_sequences else None

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the outputs."""
        size = sum(lstm.units for lstm in self._directions)
        return (*input_shape[:2], size) if self._return_sequences else (input_shape[0], size)


def make_fused_twin(model: keras.Sequential, parts: int) -> keras.Model:
    """Return a model that shares layers and weights with the given one, but has fused LSTMs.

    Training the twin trains the given model. An LSTM with recurrent dropout stays as it is, since
    the operation has none.

    Args:
        model: A compiled network from `build_model`.
        parts: Number of parallel operations per batch.

    Returns:
        The twin, compiled with the same optimizer and loss.

    """
    outputs = model.inputs[0]
    for layer in model.layers:
        outputs = (FusedLSTM(layer, parts) if _can_be_fused(layer) else layer)(outputs)
    twin = keras.Model(model.inputs[0], outputs)
    twin.compile(optimizer=model.optimizer, loss=model.loss, metrics=["accuracy"])
    # If the variables of the optimizer and of the metrics exist, TensorFlow traces the training
    # step once instead of twice.
    twin.optimizer.build(twin.trainable_variables)
    twin.compute_metrics(None, tf.zeros((1,), tf.int32), tf.zeros((1, twin.output_shape[-1])))
    return twin


def _can_be_fused(layer: keras.layers.Layer) -> bool:
    inner = layer.forward_layer if isinstance(layer, keras.layers.Bidirectional) else layer
    return isinstance(inner, keras.layers.LSTM) and not inner.cell.recurrent_dropout


def _convert_weights(lstm: keras.layers.LSTM) -> tuple[tf.Tensor, tf.Tensor]:
    """Return weights of shape (E + 1 + units, 4 units) and a bias of shape (4 units,)."""
    units, cell = lstm.units, lstm.cell
    in_padding = tf.concat([tf.fill((1, units), CLOSED_GATE), tf.zeros((1, 3 * units))], axis=1)
    weights = [_reorder_gates(cell.kernel), in_padding, _reorder_gates(cell.recurrent_kernel)]
    return tf.concat(weights, axis=0), _reorder_gates(cell.bias)


def _reorder_gates(weights: tf.Tensor) -> tf.Tensor:
    """Change Keras's order of the gates to `BlockLSTM`'s, which has the middle two swapped."""
    input_gate, forget_gate, candidate, output_gate = tf.split(
        tf.convert_to_tensor(weights), 4, axis=-1
    )
    return tf.concat([input_gate, candidate, forget_gate, output_gate], axis=-1)


def _block_lstm(inputs: tf.Tensor, weights: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Run an LSTM over inputs of shape (B, T, E + 1); the outputs have shape (T, B, units)."""
    by_word = tf.transpose(inputs, (1, 0, 2))
    units = bias.shape[0] // 4
    no_state = tf.zeros((tf.shape(inputs)[0], units))
    no_peephole = tf.zeros((units,))
    outputs = tf.raw_ops.BlockLSTM(
        seq_len_max=tf.cast(tf.shape(by_word)[0], tf.int64),
        x=by_word,
        cs_prev=no_state,
        h_prev=no_state,
        w=weights,
        wci=no_peephole,
        wcf=no_peephole,
        wco=no_peephole,
        b=bias,
        forget_bias=0,
        cell_clip=-1,  # no clipping
        use_peephole=False,
    )
    return outputs.h
