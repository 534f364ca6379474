"""Random numbers of a network that depend on its seed alone."""

import contextlib
import random
from collections.abc import Iterator


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Make training deterministic, and let no other thread change what Keras draws in this block.

    Keras draws the seeds of initial weights and dropout from Python's global generator, which other
    threads use, too: in a worker of Dask, the one that estimates the size of results. A trial would
    then depend on what happens beside it.

    Args:
        seed: Seed of all networks that are built in the block.

    """
    import keras
    import tensorflow as tf
    from keras.src.random import seed_generator

    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(seed)
    shared = getattr(seed_generator, "python_random", random)  # not a public name
    # It draws the same numbers as the shared one would after `set_random_seed`.
    seed_generator.python_random = random.Random(seed)
    try:
        yield
    finally:
        seed_generator.python_random = shared
