"""The words of texts as numbers, so that each text is cut into words only once.

A chunk of reviews has a column of them, and one list has all distinct words: word number 5 is
`words[5]`. In that column, the numbers of a review are the bytes of an int32 array, since bytes are
pickled as fast as strings, and small arrays are not.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import count
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pandas.util import hash_array

from imdb_sentiment.text.hash_index import Hashes, HashIndex
from imdb_sentiment.text.tokenizer import divide_texts

WORDS = "words"  # the column
SEPARATOR = "\n"  # no word contains it; a space may occur, since some letters are folded to words
CHARACTERS_AT_A_TIME = 1 << 22  # of Arrow, which needs several times their memory

Numbers = npt.NDArray[np.int32]
Lengths = npt.NDArray[np.int64]

_SIZE = np.dtype(np.int32).itemsize


def join_words(words: Iterable[str]) -> str:
    """Return the words of a text as one string, for `number_words`."""
    return SEPARATOR.join(words)


def number_words(joined: Iterable[str]) -> tuple[Numbers, Lengths, list[str]]:
    """Give the distinct words of texts numbers, in the order of their first occurrence.

    Arrow cuts the strings into words again and looks them up, which is faster than a dictionary.

    Args:
        joined: The words of each text, from `join_words`, R in number.

    Returns:
        The number of each word of all texts, one text after the other, shape (W,); the number of
        words per text, shape (R,); and the distinct words in the order of their numbers.

    """
    numbers: defaultdict[str, int] = defaultdict(count().__next__)
    found = [np.empty(0, np.int32)]
    lengths = [np.empty(0, np.int64)]
    for batch in divide_texts(joined, CHARACTERS_AT_A_TIME):
        # With "" instead of None, a text without words would have an empty one.
        texts = pa.array([words or None for words in batch], pa.large_string())
        lists = pc.split_pattern(texts, SEPARATOR)
        words = lists.flatten().dictionary_encode()
        distinct = [numbers[word] for word in words.dictionary.to_pylist()]
        found.append(np.array(distinct, np.int32)[words.indices.to_numpy()])
        lengths.append(np.diff(lists.offsets.to_numpy()).astype(np.int64))
    return np.concatenate(found), np.concatenate(lengths), list(numbers)


def pack_numbers(numbers: Numbers, lengths: Lengths) -> list[bytes]:
    """Return the column: for each text, the bytes of its numbers."""
    data = numbers.tobytes()
    ends = (_SIZE * np.cumsum(lengths)).tolist()
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def unpack_numbers(column: Iterable[bytes]) -> tuple[Numbers, Lengths]:
    """Return the numbers of all texts, and the number of words per text, as `number_words` does."""
    cells = list(column)
    lengths = np.fromiter(map(len, cells), np.int64, len(cells)) // _SIZE
    return np.frombuffer(b"".join(cells), np.int32), lengths


class PackedWords(NamedTuple):
    """Distinct words in the form in which one process sends them to another.

    Attributes:
        hashes: Hashes of the words, sorted, which makes looking them up faster; shape (words,).
        order: Index of the word with each of these hashes, shape (words,).
        joined: The words as one string, which is pickled faster; it is split only if one is new.

    """

    hashes: Hashes
    order: Numbers
    joined: str


def pack_words(words: list[str]) -> PackedWords:
    """Return words in the form for `WordList`."""
    hashes = hash_array(np.array(words, object), categorize=False)
    order = np.argsort(hashes)
    return PackedWords(hashes[order], order.astype(np.int32), SEPARATOR.join(words))


class WordList:
    """The distinct words so far, each with a number that it keeps.

    Words are distinguished by their 64-bit hashes: among ten million words, two have the same hash
    with a probability of 3e-6.
    """

    def __init__(self) -> None:
        self._words: list[str] = []
        self._index = HashIndex(np.int32)

    def __len__(self) -> int:
        return len(self._words)

    def __iter__(self) -> Iterator[str]:
        return iter(self._words)

    def find(self, words: PackedWords) -> Numbers:
        """Return the numbers of words, shape (words,); -1 for those that are not in the list."""
        numbers = np.empty(len(words.hashes), np.int32)
        numbers[words.order] = self._index.find(words.hashes)
        return numbers

    def number(self, words: PackedWords) -> Numbers:
        """Return the numbers of distinct words, shape (words,); new words get the next ones."""
        numbers = self.find(words)
        new = np.flatnonzero(numbers < 0)
        if len(new):
            numbers[new] = np.arange(len(self), len(self) + len(new))
            is_added = numbers[words.order] >= len(self)
            self._index.add(words.hashes[is_added], numbers[words.order[is_added]])
            given = words.joined.split(SEPARATOR)
            self._words += [given[place] for place in new.tolist()]
        return numbers
