"""Handling of Ctrl-C."""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import cast


@contextlib.contextmanager
def delayed_ctrl_c() -> Iterator[None]:
    """Delay Ctrl-C until the block ends; a second Ctrl-C takes effect immediately.

    This is for code that an immediate Ctrl-C would leave in an inconsistent state. While Dask
    waits, `distributed.utils.sync` can try to cancel a call that has not begun; in a transaction,
    SQLAlchemy's commit or rollback may be interrupted; and TensorFlow's modules would stay half
    imported, or ignore Ctrl-C.
    """
    usual = _find_handler()
    if usual is None:
        yield
        return
    pressed = False

    def press(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            usual(number, frame)
        pressed = True

    signal.signal(signal.SIGINT, press)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
        if pressed:  # also if the block has failed
            usual(signal.SIGINT, None)


@contextlib.contextmanager
def remembered_ctrl_c() -> Iterator[None]:
    """Raise KeyboardInterrupt at the end of the block at the latest, if Ctrl-C was pressed in it.

    Ctrl-C raises it as usual, as soon as a call of TensorFlow returns. But while Keras and
    TensorFlow build and trace a network, about one in forty is lost: in a finalizer, in a bare
    `except`, or in a call from C++, which may turn it into another exception. The block may be in
    another one of this kind.
    """
    usual = _find_handler()
    if usual is None:
        yield
        return
    handler, report = _Remembering(), sys.unraisablehook

    def report_others(lost: "sys.UnraisableHookArgs") -> None:
        if lost.exc_type is not KeyboardInterrupt:  # which is raised below
            report(lost)

    signal.signal(signal.SIGINT, handler)
    sys.unraisablehook = report_others
    try:
        yield
    finally:
        sys.unraisablehook = report
        signal.signal(signal.SIGINT, usual)
        if handler.pressed:  # also if the block has failed
            usual(signal.SIGINT, None)


class _Remembering:
    """A handler that raises KeyboardInterrupt and keeps that it has."""

    def __init__(self) -> None:
        self.pressed = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.pressed = True
        raise KeyboardInterrupt


def _find_handler() -> Callable[[int, FrameType | None], object] | None:
    """Return the present handler of Ctrl-C; None if it is not this module's business."""
    handler = signal.getsignal(signal.SIGINT)
    is_usual = handler is signal.default_int_handler or isinstance(handler, _Remembering)
    if not is_usual or threading.current_thread() is not threading.main_thread():
        return None
    return cast(Callable[[int, FrameType | None], object], handler)
