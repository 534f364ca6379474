"""The words of texts as numbers, so that each text is cut into words only once.

A chunk of reviews has a column of them, and one list has all distinct words: word number 5 is
`words[5]`. In that column, the numbers of a review are the bytes of an int32 array, since bytes are
pickled as fast as strings, and small arrays are not.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import count

import numpy as np
import numpy.typing as npt

WORDS = "words"  # the column

Numbers = npt.NDArray[np.int32]
Lengths = npt.NDArray[np.int64]

_SIZE = np.dtype(np.int32).itemsize


def number_words(
    texts: Iterable[str], split: Callable[[str], list[str]]
) -> tuple[Numbers, Lengths, list[str]]:
    """Cut texts into words, and number the distinct words in the order of their first occurrence.

    Args:
        texts: Cleaned texts, R in number.
        split: Function that returns the words of a text, such as `Rule.split`.

    Returns:
        The number of each word of all texts, one text after the other, shape (W,); how many of them
        each text has, shape (R,); and the distinct words in the order of their numbers.

    """
    numbers: defaultdict[str, int] = defaultdict(count().__next__)
    found: list[int] = []
    lengths: list[int] = []
    for text in texts:
        words = split(text)
        found += map(numbers.__getitem__, words)
        lengths.append(len(words))
    return np.array(found, np.int32), np.array(lengths, np.int64), list(numbers)


def pack_numbers(numbers: Numbers, lengths: Lengths) -> list[bytes]:
    """Return the column: for each text, the bytes of its numbers."""
    data = numbers.tobytes()
    ends = (_SIZE * np.cumsum(lengths)).tolist()
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def unpack_numbers(column: Iterable[bytes]) -> tuple[Numbers, Lengths]:
    """Return the numbers of all texts and how many each has, as `number_words` does."""
    cells = list(column)
    lengths = np.fromiter(map(len, cells), np.int64, len(cells)) // _SIZE
    return np.frombuffer(b"".join(cells), np.int32), lengths


class WordList:
    """The distinct words so far, each with a number that it keeps."""

    def __init__(self) -> None:
        self._numbers: defaultdict[str, int] = defaultdict(count().__next__)

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def number(self, words: list[str]) -> Numbers:
        """Return the numbers of distinct words, shape (words,); new words get the next ones."""
        return np.fromiter(map(self._numbers.__getitem__, words), np.int32, len(words))
