"""Ways to compute an LSTM's outputs and gradients on one core, side by side.

    .venv/bin/python benchmarks/lstm.py

- "BlockLSTM": TensorFlow's operation for all steps, as the project trains.
- "loop": one product for the inputs of all steps; a loop over the steps, forwards and backwards, in
  which only the state is multiplied; then one product of all steps for each gradient.
- "compiled": the same, with the loops compiled by XLA.
- "bfloat16": like "compiled", with all products outside the loops in bfloat16.

The table has the processor time of outputs and gradients, the least of all rounds; that of the
first round, which also builds the graph, and with XLA compiles it, as for each further shape; and
how far the gradients are from those of `keras.layers.LSTM`, relative to the largest of each.
"""

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from project import describe_machine

from imdb_sentiment.network.tensorflow_setup import tensorflow_setup

os.environ["TF_NUM_INTEROP_THREADS"] = "1"
with tensorflow_setup():
    import keras
    import tensorflow as tf

    from imdb_sentiment.network.fused_lstm import run_lstm


def scan_forwards(projected: Any, recurrent: Any) -> list[Any]:
    """Return outputs, states and gates of all steps.

    Args:
        projected: Products of the inputs with bias, float32 of shape (T, B, 4 H).
        recurrent: The recurrent kernel, float32 of shape (H, 4 H).

    """
    steps, rows, width = projected.shape
    units = width // 4
    # The four activations are one operation: sigmoid(x) = 0.5 + 0.5 tanh(x / 2).
    scale = tf.repeat([0.5, 0.5, 1.0, 0.5], units)
    shift = tf.repeat([0.5, 0.5, 0.0, 0.5], units)

    def step(t: Any, output: Any, state: Any, *stacks: Any) -> tuple[Any, ...]:
        gates = tf.tanh((projected[t] + output @ recurrent) * scale) * scale + shift
        let_in, kept, candidate, let_out = tf.split(gates, 4, axis=1)
        state = kept * state + let_in * candidate
        output = let_out * tf.tanh(state)
        found = zip(stacks, (output, state, gates), strict=True)
        return t + 1, output, state, *(stack.write(t, value) for stack, value in found)

    nothing = tf.zeros((rows, units))
    stacks = [
        tf.TensorArray(tf.float32, steps, element_shape=(rows, n)) for n in (units, units, width)
    ]
    ended = tf.while_loop(lambda t, *_: t < steps, step, (0, nothing, nothing, *stacks))
    return [stack.stack() for stack in ended[3:]]


def scan_backwards(upstream: Any, recurrent: Any, states: Any, gates: Any) -> Any:
    """Return the gradients of `projected`, given those of all outputs, shape (T, B, H)."""
    steps, rows, units = upstream.shape
    transposed = tf.transpose(recurrent)

    def step(t: Any, output: Any, state: Any, stack: Any) -> tuple[Any, ...]:
        let_in, kept, candidate, let_out = tf.split(gates[t], 4, axis=1)
        before = tf.where(t > 0, states[tf.maximum(t - 1, 0)], 0.0)
        squashed = tf.tanh(states[t])
        output += upstream[t]
        state += output * let_out * (1 - squashed**2)
        parts = [
            state * candidate * let_in * (1 - let_in),
            state * before * kept * (1 - kept),
            state * let_in * (1 - candidate**2),
            output * squashed * let_out * (1 - let_out),
        ]
        found = tf.concat(parts, axis=1)
        return t - 1, found @ transposed, state * kept, stack.write(t, found)

    nothing = tf.zeros((rows, units))
    stack = tf.TensorArray(tf.float32, steps, element_shape=(rows, 4 * units))
    start = (steps - 1, nothing, nothing, stack)
    return tf.while_loop(lambda t, *_: t >= 0, step, start)[3].stack()


def make_scan(layer: keras.layers.LSTM, *, jit: bool, dtype: Any) -> Callable[[Any], Any]:
    """Return a function that computes an LSTM by both loops; `dtype` is that of other products."""
    forwards = tf.function(scan_forwards, jit_compile=jit, autograph=False)
    backwards = tf.function(scan_backwards, jit_compile=jit, autograph=False)

    def multiply(one: Any, other: Any, **how: bool) -> Any:
        return tf.cast(tf.matmul(tf.cast(one, dtype), tf.cast(other, dtype), **how), tf.float32)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def scan(inputs: Any, kernel: Any, recurrent: Any, bias: Any) -> Any:
        steps, rows, size = inputs.shape
        flat = tf.reshape(inputs, (-1, size))
        projected = tf.reshape(multiply(flat, kernel) + bias, (steps, rows, -1))
        outputs, states, gates = forwards(projected, recurrent)

        def differentiate(upstream: Any) -> list[Any]:
            found = backwards(upstream, recurrent, states, gates)
            found = tf.reshape(found, (-1, found.shape[2]))
            before = tf.concat([tf.zeros_like(outputs[:1]), outputs[:-1]], axis=0)
            before = tf.reshape(before, (-1, before.shape[2]))
            return [
                tf.reshape(multiply(found, kernel, transpose_b=True), inputs.shape),
                multiply(flat, found, transpose_a=True),
                multiply(before, found, transpose_a=True),
                tf.reduce_sum(found, axis=0),
            ]

        return outputs, differentiate

    return lambda inputs: scan(inputs, *(variable.value for variable in layer.weights))


def main() -> None:
    """Run the measurements and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=32, help="of a batch, or of a part of one")
    parser.add_argument("--words", type=int, default=150)
    parser.add_argument("--size", type=int, default=65, help="of the word vectors")
    parser.add_argument("--units", type=int, default=75)
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)
    inputs = tf.random.normal((arguments.words, arguments.rows, arguments.size))
    upstream = tf.random.normal((arguments.words, arguments.rows, arguments.units))
    layer = keras.layers.LSTM(arguments.units, return_sequences=True)
    layer.build((arguments.rows, arguments.words, arguments.size))
    is_word = tf.ones((arguments.rows, arguments.words), tf.bool)
    ways: dict[str, Callable[[Any], Any]] = {
        "Keras": lambda inputs: tf.transpose(layer(tf.transpose(inputs, (1, 0, 2))), (1, 0, 2)),
        "BlockLSTM": lambda inputs: run_lstm(layer, inputs, is_word),
        "loop": make_scan(layer, jit=False, dtype=tf.float32),
        "compiled": make_scan(layer, jit=True, dtype=tf.float32),
        "bfloat16": make_scan(layer, jit=True, dtype=tf.bfloat16),
    }

    def differentiate(run: Callable[[Any], Any]) -> list[Any]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(run(inputs) * upstream)
        gradients: list[Any] = tape.gradient(loss, [inputs, *layer.trainable_variables])
        return gradients

    steps = {
        way: tf.function(lambda run=run: differentiate(run), autograph=False)
        for way, run in ways.items()
    }
    used: dict[str, list[float]] = {way: [] for way in ways}
    found: dict[str, list[Any]] = {}
    # The speed of the machine may change over time, so each round has all ways.
    for _ in range(arguments.rounds):
        for way, step in steps.items():
            start = time.process_time()
            found[way] = step()
            used[way].append(1000 * (time.process_time() - start))
    print(describe_machine())
    print("| way | processor ms | first round, ms | difference |")
    print("| --- | ---: | ---: | ---: |")
    for way, gradients in found.items():
        differences = [
            np.abs(one - other).max() / np.abs(other).max()
            for one, other in zip(gradients, found["Keras"], strict=True)
        ]
        print(f"| {way} | {min(used[way]):.1f} | {used[way][0]:.0f} | {max(differences):.0e} |")


if __name__ == "__main__":
    main()
