"""A CSV that a project may or may not have."""

from typing import Any

import pandas as pd
from kedro_datasets._typing import TablePreview

from imdb_sentiment.datasets.chunked_csv import ChunkedCSVDataset
from imdb_sentiment.datasets.stream import Stream


class OptionalCSVDataset(ChunkedCSVDataset):
    """A `ChunkedCSVDataset` that is empty if no file is named.

    Args:
        filepath: Path or URL of the file, or None.
        **options: Other arguments of `ChunkedCSVDataset`.

    """

    def __init__(self, *, filepath: str | None, **options: Any) -> None:
        self._is_named = filepath is not None
        super().__init__(filepath=filepath or "no_file.csv", **options)

    def load(self) -> Stream[pd.DataFrame]:
        """Return the stream of chunks; without a file there are none."""
        return super().load() if self._is_named else Stream(lambda: iter(()))

    def preview(self, nrows: int = 5) -> TablePreview:
        """Return the first rows, for Kedro-Viz."""
        return (
            super().preview(nrows)
            if self._is_named
            else TablePreview(pd.DataFrame().to_dict(orient="split"))
        )

    def _exists(self) -> bool:
        return not self._is_named or super()._exists()
