"""The layers of a network up to the pooling, for training on CPUs: one part of a batch per core.

On a CPU, Keras runs an LSTM as a loop of many small operations. TensorFlow's `BlockLSTM` computes
all steps in one operation. It has no mask, but padding after the words needs none. Backwards, the
padding comes first: an extra input, which is 1 there, closes the input gate, so the state stays 0
until the last word.

An operation runs on one thread. So a batch is divided into parts, which TensorFlow computes in
parallel, from the token ids to the pooled outputs and back to the gradients of the word vectors.

This module imports TensorFlow, so it is imported where a network is trained. (`BlockLSTMV2` has
Keras's order of the gates, but TensorFlow 2.21 registers the first version's gradient for it.)
"""

import itertools
from collections.abc import Sequence

import keras
import tensorflow as tf

CLOSED_GATE = -1e9  # logit of a closed gate: its sigmoid is 0, and so is the gradient


class FusedEncoder(keras.layers.Layer):
    """The embedding, the LSTMs and the pooling of a network, for reviews padded on the right.

    It shares the weights of the given layers, and its outputs are those that they have one after
    the other, except those for padding. The number of parts changes nothing but the rounding.

    Args:
        layers: A `keras.layers.Embedding`, possibly a `SpatialDropout1D`, one or several
            `keras.layers.LSTM` with Keras's default activations or `Bidirectional` of one, and
            possibly a pooling layer.
        parts: Number of parallel operations per batch, for both directions together.

    """

    def __init__(self, layers: Sequence[keras.layers.Layer], parts: int) -> None:
        super().__init__()
        self.supports_jit = False  # XLA does not know the operation
        self._embedding, *others = layers
        self._dropout, *others = others if _is_dropout(others[0]) else [None, *others]
        self._lstms = list(itertools.takewhile(_is_lstm, others))
        self._pooling = [*others[len(self._lstms) :], None][0]
        self._parts = max(1, parts // len(_directions(self._lstms[0])))

    def call(self, token_ids: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return the output of the last layer.

        Args:
            token_ids: int32 of shape (B, T), padded with 0 on the right; at least one token each.
            training: Whether to drop dimensions of the word vectors.

        Returns:
            float32 of shape (B, H), or (B, T, H) if the last layer is an LSTM that returns
            sequences. H is the width of its outputs.

        """
        n = tf.shape(token_ids)[0]
        scale = tf.ones((n, 1, self._embedding.output_dim))
        if self._dropout:  # drawn for the whole batch, so that it does not depend on the parts
            scale = self._dropout(scale, training=training)
        # For a part without rows, the operation's gradient is undefined. So rows of padding are
        # added where there are fewer rows than parts; their outputs are cut off below.
        added = tf.maximum(self._parts - n, 0)
        token_ids = tf.pad(token_ids, ((0, added), (0, 0)))
        scale = tf.pad(scale, ((0, added), (0, 0), (0, 0)))
        bounds = [(n + added) * part // self._parts for part in range(self._parts + 1)]
        parts = [self._encode(token_ids[i:j], scale[i:j]) for i, j in itertools.pairwise(bounds)]
        return tf.concat(parts, axis=0)[:n]

    def _encode(self, token_ids: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        """Return the outputs of one part; `scale` multiplies each review's word vectors."""
        is_word = token_ids != 0  # (B, T)
        # For the operation, words come before reviews.
        words = self._embedding(tf.transpose(token_ids))  # (T, B, E)
        outputs = words * tf.transpose(scale, (1, 0, 2))
        for lstm in self._lstms:
            outputs = run_lstm(lstm, outputs, is_word)
        if not lstm.return_sequences:
            return outputs
        outputs = tf.transpose(outputs, (1, 0, 2))  # (B, T, H)
        return self._pooling(outputs, mask=is_word) if self._pooling else outputs

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the outputs."""
        shape: tuple[int | None, ...] = (*input_shape, self._embedding.output_dim)
        for layer in (*self._lstms, self._pooling):
            shape = layer.compute_output_shape(shape) if layer else shape
        return shape


def make_fused_twin(
    model: keras.Sequential, parts: int, *, has_accuracy: bool = True
) -> keras.Model:
    """Return a model that shares layers and weights with the given one, but trains faster on CPUs.

    Training the twin trains the given model.

    Args:
        model: A compiled network from `build_model`.
        parts: Number of parallel operations per batch.
        has_accuracy: Whether to measure the accuracy, which needs the codes of the labels.

    Returns:
        The twin, compiled with the same optimizer and loss.

    """
    *encoder, dropout, dense = model.layers
    outputs = dense(dropout(FusedEncoder(encoder, parts)(model.inputs[0])))
    twin = keras.Model(model.inputs[0], outputs)
    metrics = ["accuracy"] if has_accuracy else None
    twin.compile(optimizer=model.optimizer, loss=model.loss, metrics=metrics)
    # If the variables of the optimizer and of the metrics exist, TensorFlow traces the training
    # step once instead of twice.
    twin.optimizer.build(twin.trainable_variables)
    if has_accuracy:
        twin.compute_metrics(None, tf.zeros((1,), tf.int32), tf.zeros((1, twin.output_shape[-1])))
    return twin


def _is_dropout(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.SpatialDropout1D)


def _is_lstm(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.LSTM | keras.layers.Bidirectional)


def _directions(layer: keras.layers.Layer) -> list[keras.layers.LSTM]:
    is_both = isinstance(layer, keras.layers.Bidirectional)
    return [layer.forward_layer, layer.backward_layer] if is_both else [layer]


def run_lstm(layer: keras.layers.Layer, inputs: tf.Tensor, is_word: tf.Tensor) -> tf.Tensor:
    """Return the outputs of an LSTM, or of both directions of one.

    Args:
        layer: The LSTM or `Bidirectional`.
        inputs: float32 of shape (T, B, E).
        is_word: False where there is padding, bool of shape (B, T).

    Returns:
        float32 of shape (T, B, H), or (B, H) if the layer returns the last output only.

    """
    is_padding = tf.cast(~tf.transpose(is_word)[:, :, tf.newaxis], inputs.dtype)
    inputs = tf.concat([inputs, is_padding], axis=2)  # (T, B, E + 1)
    forward, *backward = _directions(layer)
    outputs = [_block_lstm(forward, inputs)]
    outputs += [_block_lstm(lstm, inputs[::-1])[::-1] for lstm in backward]
    if not layer.return_sequences:
        last = tf.math.count_nonzero(is_word, axis=1, dtype=tf.int32) - 1
        ends = tf.stack([last, tf.range(tf.size(last))], axis=1)
        # A row of padding, which was added to have one in each part, has no last word.
        outputs[0] = tf.gather_nd(outputs[0], tf.maximum(ends, 0))
        outputs[1:] = [output[0] for output in outputs[1:]]  # backwards, the first word is the last
    return tf.concat(outputs, axis=-1)


def _block_lstm(lstm: keras.layers.LSTM, inputs: tf.Tensor) -> tf.Tensor:
    """Run an LSTM over inputs of shape (T, B, E + 1); the outputs have shape (T, B, units)."""
    units, cell = lstm.units, lstm.cell
    in_padding = tf.concat([tf.fill((1, units), CLOSED_GATE), tf.zeros((1, 3 * units))], axis=1)
    weights = [_reorder_gates(cell.kernel), in_padding, _reorder_gates(cell.recurrent_kernel)]
    no_state = tf.zeros((tf.shape(inputs)[1], units))
    no_peephole = tf.zeros((units,))
    outputs = tf.raw_ops.BlockLSTM(
        seq_len_max=tf.cast(tf.shape(inputs)[0], tf.int64),
        x=inputs,
        cs_prev=no_state,
        h_prev=no_state,
        w=tf.concat(weights, axis=0),
        wci=no_peephole,
        wcf=no_peephole,
        wco=no_peephole,
        b=_reorder_gates(cell.bias),
        forget_bias=0,
        cell_clip=-1,  # no clipping
        use_peephole=False,
    )
    return outputs.h


def _reorder_gates(weights: tf.Tensor) -> tf.Tensor:
    """Change Keras's order of the gates to `BlockLSTM`'s, which has the middle two swapped."""
    input_gate, forget_gate, candidate, output_gate = tf.split(
        tf.convert_to_tensor(weights), 4, axis=-1
    )
    return tf.concat([input_gate, candidate, forget_gate, output_gate], axis=-1)
