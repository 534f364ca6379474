"""A mapping from hashes to numbers, for many millions of hashes in little memory."""

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]


class HashIndex:
    """The hashes so far, each with a number.

    The hashes are in sorted arrays, each of which is at least twice as long as the next one, as in
    a log-structured merge-tree (O'Neil et al., 1996). So there are few arrays, and a hash is seldom
    moved.

    Args:
        dtype: Type of the numbers, an integer.

    """

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._dtype = dtype
        self._runs: list[tuple[Hashes, npt.NDArray[np.integer]]] = []

    def find(self, hashes: Hashes) -> npt.NDArray[np.int64]:
        """Return the number of each hash, or -1 if it is not known; shape (hashes,)."""
        found = np.full(len(hashes), -1, np.int64)
        for known, numbers in self._runs:
            places = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
            is_known = known[places] == hashes
            found[is_known] = numbers[places[is_known]]
        return found

    def add(self, hashes: Hashes, numbers: npt.NDArray[np.integer]) -> None:
        """Add hashes that are not known yet, each with a number of at least 0."""
        order = np.argsort(hashes)
        hashes, numbers = hashes[order], numbers[order].astype(self._dtype)
        while self._runs and len(self._runs[-1][0]) < 2 * len(hashes):
            known, known_numbers = self._runs.pop()
            places = np.searchsorted(known, hashes)
            hashes = np.insert(known, places, hashes)
            numbers = np.insert(known_numbers, places, numbers)
        if len(hashes):
            self._runs.append((hashes, numbers))
