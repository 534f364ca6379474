"""Settings of TensorFlow's threads, memory and messages, applied when it is imported."""

import contextlib
import ctypes
import gc
import os
import platform
import sys
import threading
from collections.abc import Iterator

from imdb_sentiment.interrupts import delayed_ctrl_c

# Settings of glibc's mallopt(3): environment variable, number of the parameter, value.
KEEP_ALL = (
    ("MALLOC_TRIM_THRESHOLD_", -1, -1),
    ("MALLOC_MMAP_MAX_", -4, 0),
    ("MALLOC_ARENA_MAX", -8, 1),
)

_STDERR_LOCK = threading.RLock()  # two threads at once would lose the file that stderr was


@contextlib.contextmanager
def tensorflow_setup() -> Iterator[None]:
    """Set TensorFlow's threads and memory, and silence its messages while it is imported.

    Each operation uses one thread unless the environment sets another number: the operations of
    the network are too small to benefit from more, and run in parallel instead (see
    `imdb_sentiment.network.fused_lstm`). Freed memory stays with the process while a node runs (see
    `_keep_freed_memory`). On a GPU, float32 keeps its full precision, unless the environment sets
    `NVIDIA_TF32_OVERRIDE`.

    Without a GPU, TensorFlow's libraries write warnings directly to file descriptor 2, before any
    of their settings apply. Errors are not lost, because they are raised as Python exceptions. One
    thread at a time is in the block.

    Python's garbage collector leaves the imported modules alone (see `_without_collections`), and
    Ctrl-C takes effect after the import.
    """
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TF32 has the precision of float16: the exported model, in float32, would differ too much.
    os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
    # Otherwise a process takes all the memory of a GPU, which other workers may share.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    # TensorFlow's own allocator would keep hundreds of MB after a training, for good.
    os.environ.setdefault("TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "1")
    _keep_freed_memory()
    with _STDERR_LOCK:  # first: another thread may be importing TensorFlow
        if "tensorflow" in sys.modules:
            with _without_stderr():
                yield
            return
        with delayed_ctrl_c(), _without_stderr(), _without_collections():
            yield


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    stderr = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """Keep the garbage collector from examining the imported objects, now and later.

    They are half a million objects, which live as long as the process. Examining them takes a fifth
    of the time of the import, and 0.2 s again whenever Keras clears its session.
    """
    is_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if is_on:
            gc.enable()


def _keep_freed_memory() -> None:
    """Make glibc keep freed memory for later allocations, unless the environment sets otherwise.

    By default, glibc returns each block of more than 32 MB to the kernel, which must clear its
    pages again when the next training step allocates as much. A step on long reviews has hundreds
    of MB of such blocks, and clearing them took as much time as the computation. Dask sets the
    environment variables for its workers, so that idle workers release memory.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for variable, parameter, value in KEEP_ALL:
        if variable not in os.environ:
            libc.mallopt(parameter, value)
