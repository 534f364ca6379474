"""Encoded reviews on the disk, which are used without being read into memory."""

from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from imdb_sentiment.datasets.base import FileDataset
from imdb_sentiment.text.encoded_reviews import EncodedReviews


class EncodedReviewsDataset(FileDataset):
    """A set of `EncodedReviews`, saved in portions and mapped into memory when it is loaded.

    The file has several arrays in NumPy's format, one after the other, each as `numpy.save` writes
    it: the sequences, rows, groups and codes, the labels, and the size of the vocabulary. It is
    safe to load from any source.

    A set can be saved, or an iterable of sets, which become one. While they are saved, only their
    rows, groups and codes are kept in memory, 17 bytes per review.
    """

    def load(self) -> EncodedReviews:
        """Map the reviews of a file on this machine; read those of another one."""
        with self._reading() as path, path.open("rb") as file:
            arrays = [_map_array(file) for _ in range(6)]
            if not self._is_local:  # the block removes the file, which may not be mapped then
                arrays = [np.array(array) for array in arrays]
        sequences, rows, groups, codes, labels, size = arrays
        return EncodedReviews(sequences, codes, rows, tuple(labels.tolist()), int(size), groups)

    def _write(self, path: Path, data: EncodedReviews | Iterable[EncodedReviews]) -> None:
        parts: list[tuple[npt.NDArray[Any], ...]] = []
        with path.open("wb") as file:
            for part in [data] if isinstance(data, EncodedReviews) else data:
                if not parts:
                    _write_header(file, part.sequences, 0)
                file.write(np.ascontiguousarray(part.sequences).data)
                parts.append((part.rows, part.groups, part.codes))
            end = file.tell()
            columns = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
            file.seek(0)
            _write_header(file, part.sequences, len(columns[0]))
            file.seek(end)
            for array in (*columns, np.array(part.labels), np.array(part.vocabulary_size)):
                np.save(file, array, allow_pickle=False)


def _write_header(file: IO[bytes], part: npt.NDArray[Any], length: int) -> None:
    """Write the header of an array, given a part of it; its size does not depend on the length."""
    header = {"descr": npy.dtype_to_descr(part.dtype), "fortran_order": False}
    npy.write_array_header_1_0(file, {**header, "shape": (length, *part.shape[1:])})


def _map_array(file: IO[bytes]) -> npt.NDArray[Any]:
    """Map the next array of a file, and move to its end."""
    npy.read_magic(file)
    shape, _, dtype = npy.read_array_header_1_0(file)
    start = file.tell()
    if 0 in shape:  # can't be mapped
        return np.zeros(shape, dtype)
    array: npt.NDArray[Any] = np.memmap(file, dtype, "r", start, shape)
    file.seek(start + array.nbytes)
    return array
