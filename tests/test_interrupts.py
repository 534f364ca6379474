import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from imdb_sentiment.interrupts import delayed_ctrl_c, remembered_ctrl_c


@pytest.fixture(autouse=True)
def usual_handler() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it
    try:
        yield
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def press() -> None:
    signal.raise_signal(signal.SIGINT)


class PressedWhenDeleted:
    def __del__(self) -> None:
        press()


def interrupt(block: Callable[[], None]) -> None:
    """Run a block that remembers Ctrl-C, which has to end it."""
    with pytest.raises(KeyboardInterrupt):
        remembered_ctrl_c()(block)()


def test_ctrl_c_that_a_finalizer_loses_ends_the_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = []
    reported: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", reported.append)

    class Faulty:
        def __del__(self) -> None:
            raise ValueError

    def block() -> None:
        PressedWhenDeleted()
        Faulty()
        done.append("the rest")

    interrupt(block)
    assert done == ["the rest"]
    assert [lost.exc_type for lost in reported] == [ValueError]
    assert sys.unraisablehook == reported.append


def test_ctrl_c_that_becomes_another_exception_is_ctrl_c_again() -> None:
    def block() -> None:
        try:
            press()
        except KeyboardInterrupt:
            raise AssertionError("from C++") from None

    interrupt(block)


def test_ctrl_c_is_not_delayed() -> None:
    done = []

    def block() -> None:
        press()
        done.append("the rest")

    interrupt(block)
    assert not done


def test_a_block_within_a_block_remembers_for_both() -> None:
    done = []

    def inner_block() -> None:
        PressedWhenDeleted()

    def block() -> None:
        interrupt(inner_block)
        done.append("the rest")

    interrupt(block)
    assert done == ["the rest"]


def test_a_delayed_ctrl_c_is_remembered() -> None:
    done = []

    def block() -> None:
        with contextlib.suppress(KeyboardInterrupt), delayed_ctrl_c():
            press()
            done.append("the delayed rest")
        done.append("the rest")

    interrupt(block)
    assert done == ["the delayed rest", "the rest"]


def test_nothing_happens_without_ctrl_c_or_with_a_handler_of_someone_else() -> None:
    with remembered_ctrl_c(), remembered_ctrl_c(), delayed_ctrl_c():
        pass
    pressed: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    with remembered_ctrl_c(), delayed_ctrl_c():
        press()
        assert pressed == [signal.SIGINT]
    signal.signal(signal.SIGINT, signal.default_int_handler)
