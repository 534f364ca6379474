"""Importing TensorFlow without its messages."""

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def silent_tensorflow_import() -> Iterator[None]:
    """Keep the console clean while TensorFlow is imported.

    Its libraries write straight to file descriptor 2, before any of their settings apply, that they
    found no GPU. Errors are not lost: they come as Python exceptions.
    """
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
