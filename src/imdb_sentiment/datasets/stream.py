"""A sequence of chunks that is read again each time it is iterated."""

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Stream(Iterable[T], Generic[T]):
    """An iterable that can be iterated more than once, with one item in memory at a time.

    Args:
        open_stream: Function that returns a new iterator; called at the start of each iteration.

    """

    def __init__(self, open_stream: Callable[[], Iterator[T]]) -> None:
        self._open_stream = open_stream

    def __iter__(self) -> Iterator[T]:
        return self._open_stream()
