"""A stream of pickled chunks in one file."""

import pickle
from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd
from kedro_datasets._typing import TablePreview

from imdb_sentiment.datasets.atomic import atomic_write
from imdb_sentiment.datasets.local_file import LocalFileDataset
from imdb_sentiment.datasets.stream import Stream


class PickleStreamDataset(LocalFileDataset[Iterable[Any], Stream[Any]]):
    """One file per stream with one pickle per chunk, of which one at a time is in memory.

    The file appears under its name when the stream has ended; a stream that raises leaves the
    previous file as it was. It loads as an object that can be iterated any number of times.

    Args:
        filepath: Local path of the file.
        metadata: Metadata for plugins; ignored by Kedro.

    """

    def save(self, data: Iterable[Any]) -> None:
        """Write every chunk of `data`."""
        with atomic_write(self._filepath) as partial, partial.open("wb") as file:
            for chunk in data:
                pickle.dump(chunk, file, protocol=pickle.HIGHEST_PROTOCOL)

    def load(self) -> Stream[Any]:
        """Return the stream.

        Raises:
            DatasetError: If the file does not exist.

        """
        if not self._exists():
            raise FileNotFoundError(f"{self._filepath} does not exist")
        return Stream(self._chunks)

    def preview(self, nrows: int = 5) -> TablePreview:
        """Return the first rows of a stream of data frames, for Kedro-Viz."""
        first = next(self._chunks(), pd.DataFrame())
        return TablePreview(first.head(nrows).to_dict(orient="split"))

    def _chunks(self) -> Iterator[Any]:
        with self._filepath.open("rb") as file:
            while file.peek(1):
                yield pickle.load(file)
