"""A sequence of chunks that is read anew each time it is iterated."""

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Stream(Iterable[T], Generic[T]):
    """Iterable more than once at the memory of one item.

    Args:
        open_stream: Called at the start of each iteration; returns a fresh iterator.

    """

    def __init__(self, open_stream: Callable[[], Iterator[T]]) -> None:
        self._open_stream = open_stream

    def __iter__(self) -> Iterator[T]:
        return self._open_stream()
