"""Reviews as token ids, with their labels; `review_encoder.py` encodes them."""

import hashlib
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from imdb_sentiment.text.batching import Sequences, count_tokens


def compute_fingerprint(*arrays: npt.NDArray[Any] | list[npt.NDArray[Any]], about: str = "") -> str:
    """Return the SHA-256 of arrays, their shapes and dtypes, and a further text.

    A list of arrays counts as one array, in which the others follow the first.
    """
    digest = hashlib.sha256(about.encode())
    for array in arrays:
        parts = array if isinstance(array, list) else [array]
        shape = (sum(map(len, parts)), *parts[0].shape[1:])
        digest.update(repr((shape, str(parts[0].dtype))).encode())
        for part in parts:
            digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()


def _join(first: Sequences, second: Sequences) -> Sequences:
    """Return both arrays as one, which is mapped from a temporary file if `first` is mapped."""
    if not isinstance(first, np.memmap):
        return np.concatenate([first, second])
    if first.shape[1:] != second.shape[1:]:
        raise ValueError(f"the dimensions differ: {first.shape} and {second.shape}")
    shape = (len(first) + len(second), *first.shape[1:])
    with tempfile.TemporaryFile() as file:  # it lives as long as the array
        for part in (first, second):  # written through a map, a full disk would end the process
            file.write(np.ascontiguousarray(part, first.dtype).data)
        file.flush()
        joined: Sequences = np.memmap(file, first.dtype, "r", shape=shape)
    return joined


@dataclass(frozen=True)
class EncodedReviews:
    """Token ids and label codes of a set of reviews.

    Attributes:
        sequences: Token ids, shape (reviews, sequence length), padded with 0 on the left.
        codes: Index of each review's label in `labels`, shape (reviews,), dtype uint8 or uint16.
        rows: Row number of each review in the table, shape (reviews,), dtype int64.
        labels: Names of the labels in the order of their codes.
        vocabulary_size: Number of token ids, including padding and the unknown word.
        groups: Hash of the group of each review, shape (reviews,), dtype uint64; equal for all if
            the table has no groups.

    """

    sequences: npt.NDArray[np.unsignedinteger]
    codes: npt.NDArray[np.unsignedinteger]
    rows: npt.NDArray[np.int64]
    labels: tuple[str, ...]
    vocabulary_size: int
    groups: npt.NDArray[np.uint64]

    @cached_property  # each training asks for them, and the sequences may be on the disk
    def lengths(self) -> npt.NDArray[np.intp]:
        """Number of tokens of each review, without its padding, shape (reviews,)."""
        return count_tokens(self.sequences)

    def __len__(self) -> int:
        return len(self.codes)

    def __add__(self, other: Self) -> "EncodedReviews":
        """Return the reviews of both sets as one set, those of `self` first.

        Args:
            other: Reviews encoded with the same labels and the same vocabulary, to sequences of the
                same length.

        Returns:
            A new set of len(self) + len(other) reviews; neither operand is changed. If the
            sequences of `self` are mapped from a file, so are its own.

        Raises:
            ValueError: The sets differ in their labels, the size of their vocabulary or the length
                of their sequences.

        """
        if (self.labels, self.vocabulary_size) != (other.labels, other.vocabulary_size):
            raise ValueError("the sets were encoded with other labels or another vocabulary")
        return EncodedReviews(
            sequences=_join(self.sequences, other.sequences),
            codes=np.concatenate([self.codes, other.codes]),
            rows=np.concatenate([self.rows, other.rows]),
            labels=self.labels,
            vocabulary_size=self.vocabulary_size,
            groups=np.concatenate([self.groups, other.groups]),
        )

    def take(self, indices: npt.NDArray[np.intp]) -> Self:
        """Return the reviews at these positions, in their order.

        Args:
            indices: Positions in this set, shape (reviews,).

        """
        return replace(
            self,
            sequences=self.sequences[indices],
            codes=self.codes[indices],
            rows=self.rows[indices],
            groups=self.groups[indices],
        )

    def fingerprint(self, *others: Self) -> str:
        """Return the SHA-256 of everything a model could learn from this set.

        Args:
            others: Sets encoded in the same way, whose reviews follow those of this one.

        """
        sets = [self, *others]
        about = repr((self.labels, self.vocabulary_size))
        return compute_fingerprint(
            [each.sequences for each in sets], [each.codes for each in sets], about=about
        )


def join_codes(sets: Iterable[EncodedReviews]) -> npt.NDArray[np.unsignedinteger]:
    """Return the label codes of all reviews, shape (reviews,)."""
    return np.concatenate([reviews.codes for reviews in sets])
