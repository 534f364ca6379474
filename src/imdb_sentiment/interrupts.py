"""Handling of Ctrl-C."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def delayed_ctrl_c() -> Iterator[None]:
    """Delay Ctrl-C until the block ends; a second Ctrl-C takes effect immediately.

    This is for code that an immediate Ctrl-C would leave in an inconsistent state. While Dask
    waits, `distributed.utils.sync` can try to cancel a call that has not begun; in a transaction,
    SQLAlchemy's commit or rollback may be interrupted; and TensorFlow's modules would stay half
    imported, or ignore Ctrl-C.
    """
    usual = signal.default_int_handler
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not usual:  # somebody else handles it
        yield
        return
    pressed = False

    def press(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    signal.signal(signal.SIGINT, press)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
        if pressed:  # also if the block has failed
            raise KeyboardInterrupt
