"""Importing TensorFlow the way that this project wants it."""

import contextlib
import ctypes
import os
import platform
from collections.abc import Iterator

# For glibc's mallopt(3): the variable that sets it from outside, its number, its value.
KEEP_ALL = (
    ("MALLOC_TRIM_THRESHOLD_", -1, -1),
    ("MALLOC_MMAP_MAX_", -4, 0),
    ("MALLOC_ARENA_MAX", -8, 1),
)


@contextlib.contextmanager
def tensorflow_setup() -> Iterator[None]:
    """Set TensorFlow's threads and memory, and keep the console clean while it is imported.

    An operation gets one thread unless the environment says otherwise: the network's operations are
    too small to gain from more, and run in parallel instead (see `network.fused_lstm`).

    Before any of their settings apply, TensorFlow's libraries write to file descriptor 2 that they
    found no GPU. No errors are lost, since these are Python exceptions.
    """
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    _keep_freed_memory()
    stderr = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


def _keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next allocation, unless the environment says otherwise.

    By default, it returns each block of more than 32 MB to the kernel, which clears the pages when
    the next training step allocates as much again. With long reviews, that took as much time as the
    arithmetic. (Dask sets the environment of its workers, so that idle ones return their memory.)
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for variable, parameter, value in KEEP_ALL:
        if variable not in os.environ:
            libc.mallopt(parameter, value)
