"""Parts of a Parquet file that any process can read without reading what comes before them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from imdb_sentiment.datasets.parquet_format import make_frame, open_parquet
from imdb_sentiment.datasets.parts import Part, State, find_state, open_unchanged

# A part reads its row groups from their beginning: if one had more parts, each would read too much
# in vain.
MAX_PARTS_PER_GROUP = 4


@dataclass(frozen=True, kw_only=True)
class ParquetPart(Part):
    """Some rows of a Parquet file.

    Attributes:
        groups: Indices of the row groups that contain the rows.
        skipped: Number of rows to skip at the beginning of these groups.

    """

    groups: tuple[int, ...]
    skipped: int

    def __call__(self) -> pd.DataFrame:
        """Return the rows."""
        footer = _read_footer(self.path, self.state)
        with self._open() as source, open_parquet(source, self.path, footer) as table:
            found = table.read_row_groups(list(self.groups))
            return make_frame(found.slice(self.skipped, self.rows), self.before)

    def read_columns(self) -> list[str]:
        """Return the names of the columns."""
        footer = _read_footer(self.path, self.state)
        with self._open() as source, open_parquet(source, self.path, footer) as table:
            return list(make_frame(table.schema_arrow.empty_table()).columns)

    @property
    def position(self) -> int:
        """Unknown, since a file stores one column after the other."""
        return 0


@lru_cache(maxsize=1)
def _read_footer(path: str, state: State) -> Any:
    """Return the metadata of a file, which say where all its row groups are.

    Their size grows with the file, so a process reads them once, and not again for each part.
    """
    with open_unchanged(path, state) as source, open_parquet(source, path) as table:
        return table.metadata


def divide_parquet(path: str, rows: int) -> Iterator[ParquetPart] | None:
    """Divide a Parquet file into parts of at most `rows` rows each; only its footer is read.

    Args:
        path: Path of the file.
        rows: Maximum number of rows per part.

    Returns:
        The parts; None for a file that is better read as a whole, since it has no rows, or row
        groups that are much larger.

    """
    path = str(Path(path).absolute())
    state = find_state(Path(path).stat())
    metadata = _read_footer(path, state)
    sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    if max(sizes, default=0) > MAX_PARTS_PER_GROUP * rows or not sum(sizes):
        return None
    return _make_parts(path, state, sizes, rows)


def _make_parts(path: str, state: State, sizes: Sequence[int], rows: int) -> Iterator[ParquetPart]:
    before = 0
    for groups, skipped, found in _plan(sizes, rows):
        yield ParquetPart(
            path=path, state=state, before=before, rows=found, groups=groups, skipped=skipped
        )
        before += found


def _plan(sizes: Sequence[int], rows: int) -> Iterator[tuple[tuple[int, ...], int, int]]:
    """Yield which row groups a part has, how many of their rows it skips, and how many it takes."""
    groups: list[int] = []
    found = 0
    for group, size in enumerate(sizes):
        if found and found + size > rows:
            yield tuple(groups), 0, found
            groups, found = [], 0
        if size > rows:
            for start in range(0, size, rows):
                yield (group,), start, min(rows, size - start)
        else:
            groups.append(group)
            found += size
    if found:
        yield tuple(groups), 0, found
