"""Importing TensorFlow the way that this project wants it."""

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def tensorflow_setup() -> Iterator[None]:
    """Set TensorFlow's threads, and keep the console clean while it is imported.

    An operation gets one thread unless the environment says otherwise: the network's are too small
    to gain from more, and run side by side instead (see `imdb_sentiment.fused_lstm`).

    TensorFlow's libraries write straight to file descriptor 2, before any of their settings apply,
    that they found no GPU. Errors are not lost: they come as Python exceptions.
    """
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    stderr = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
