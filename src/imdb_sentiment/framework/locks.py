"""Locks on files, which processes hold for moments."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from imdb_sentiment.errors import InputError

LOCK_TIMEOUT = 60  # seconds


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold the lock of a file.

    Args:
        path: The file of the lock.

    Raises:
        InputError: Another process has held it for a minute.

    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=LOCK_TIMEOUT)
    except Timeout as error:
        raise InputError(
            f"another process has held {path} for {LOCK_TIMEOUT} seconds: end that process if it "
            "hangs, and run the same command again"
        ) from error
    try:
        yield
    finally:
        lock.release()
