"""Finding rows that have occurred before, in little memory."""

import numpy as np
import numpy.typing as npt

from imdb_sentiment.text.hash_index import HashIndex

Keys = npt.NDArray[np.uint64]
Codes = npt.NDArray[np.int64]


class KeyIndex:
    """The keys of all rows so far that were new, each with the code of its row.

    A key takes 10 bytes.
    """

    def __init__(self) -> None:
        self._index = HashIndex(np.int16)

    def claim(
        self,
        keys: Keys,
        codes: Codes | None = None,
        is_usable: npt.NDArray[np.bool_] | None = None,
    ) -> Codes:
        """Look up rows, one after the other, and keep the keys of those that are new.

        A row is new if no earlier row that was new has any of its keys.

        Args:
            keys: The keys of each row, shape (rows, keys per row).
            codes: A number from 0 to 32767 for each row, shape (rows,); None for 0.
            is_usable: Whether to look a row up at all, shape (rows,); None for all.

        Returns:
            The code of the earlier row that shares a key with each row, preferably the first key;
            -1 for rows that are new, or not usable. Shape (rows,).

        """
        codes = np.zeros(len(keys), np.int64) if codes is None else codes
        is_usable = np.ones(len(keys), bool) if is_usable is None else is_usable
        distinct, places, counts = np.unique(keys, return_inverse=True, return_counts=True)
        before = self._index.find(distinct)[places]
        found = np.full(len(keys), -1, np.int64)
        is_doubtful = is_usable & ((before >= 0) | (counts[places] > 1)).any(axis=1)
        seen: dict[int, int] = {}  # of these rows alone, since the others share no key with any
        for row in np.flatnonzero(is_doubtful).tolist():
            own = keys[row].tolist()
            earlier = [
                seen.get(key, known) for key, known in zip(own, before[row].tolist(), strict=True)
            ]
            found[row] = next((code for code in earlier if code >= 0), -1)
            if found[row] < 0:
                seen.update(dict.fromkeys(own, int(codes[row])))
        is_new = is_usable & (found < 0)
        self._index.add(keys[is_new].ravel(), np.repeat(codes[is_new], keys.shape[1]))
        return found
