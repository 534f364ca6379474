"""Importing TensorFlow the way that this project wants it."""

import contextlib
import ctypes
import os
import platform
from collections.abc import Iterator

# Parameters of glibc's mallopt(3).
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
MOST = 2**31 - 1


@contextlib.contextmanager
def tensorflow_setup() -> Iterator[None]:
    """Set TensorFlow's threads and memory, and keep the console clean while it is imported.

    An operation gets one thread unless the environment says otherwise: the network's are too small
    to gain from more, and run side by side instead (see `imdb_sentiment.fused_lstm`).

    What it frees stays with the process (see `_keep_freed_memory`).

    TensorFlow's libraries write straight to file descriptor 2, before any of their settings apply,
    that they found no GPU. Errors are not lost: they come as Python exceptions.
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
    """Have glibc keep what is freed for the next allocation, from one arena.

    By itself it hands each block of more than 32 MB back to the kernel, which must clear its pages
    when the next step of the training asks for as much again. A long review's step has hundreds of
    MB of such blocks, and that took as much time as the arithmetic.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for parameter, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, MOST), (M_ARENA_MAX, 1)):
        libc.mallopt(parameter, value)
