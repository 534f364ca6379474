"""A CSV of any length, read one chunk at a time, with every record accounted for."""

import codecs
import csv
import re
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import fsspec
import pandas as pd
from kedro.io import AbstractDataset
from kedro_datasets._typing import TablePreview
from pandas.errors import EmptyDataError, ParserError, ParserWarning

from imdb_sentiment.datasets.atomic import atomic_write
from imdb_sentiment.datasets.base import Stream, require_local
from imdb_sentiment.errors import InputError

MALFORMED = "_malformed"
_SKIPPED = re.compile(r"Skipping line (\d+): expected (\d+) fields, saw (\d+)")

# The header is read as a record: pandas then compares the number of fields of every other record
# with the header's, the first record's too, and never takes a surplus field for an index.
LOAD_ARGS: dict[str, Any] = {
    "chunksize": 5000,
    "dtype": str,
    "encoding": "utf-8",
    "header": None,
    "index_col": False,
    "na_filter": False,
    "on_bad_lines": "warn",
    "skip_blank_lines": False,
}
# All text is quoted: the csv module leaves a lone carriage return unquoted, and readers end a row
# at it.
SAVE_ARGS: dict[str, Any] = {"index": False, "quoting": csv.QUOTE_NONNUMERIC}


class ChunkedCSVDataset(AbstractDataset[Iterable[pd.DataFrame], Stream[pd.DataFrame]]):
    """A CSV made by people, as a stream of data frames of strings.

    The stream can be iterated more than once. Each frame is indexed by the number of the record in
    the file, counted from 1 after the header. A record with more fields than the header stays in
    its place and is empty except for the column `_malformed`, which says what is wrong with it; in
    all other records that column is empty.

    An iterable of data frames is saved; the first one names the columns.

    Args:
        filepath: Path of the file, or its URL for loading only; None for an empty stream.
        load_args: Arguments of `pandas.read_csv`, such as `chunksize`, `encoding` and `sep`.
        save_args: Arguments of `pandas.DataFrame.to_csv`.
        credentials: Options of the remote file system.
        metadata: Metadata for plugins; ignored by Kedro.

    Iterating raises:
        InputError: If the file is missing or empty, is not in the encoding named, has a quotation
            mark that is never closed, two columns of the same name, or one named `_malformed`.

    """

    def __init__(
        self,
        *,
        filepath: str | None,
        load_args: dict[str, Any] | None = None,
        save_args: dict[str, Any] | None = None,
        credentials: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._filepath = filepath or ""
        self._is_named = filepath is not None
        self._credentials = credentials or {}
        self.metadata = metadata
        self._load_args = LOAD_ARGS | (load_args or {})
        self._save_args = SAVE_ARGS | (save_args or {})

    def load(self) -> Stream[pd.DataFrame]:
        """Return the stream of chunks."""
        if not self._exists():
            raise InputError(
                f"{self._filepath} does not exist: put the file there, or name another one that "
                "is in data/01_raw, or its full path"
            )
        try:
            codecs.lookup(self._load_args["encoding"])
        except LookupError as error:
            raise InputError(f"{error}: name an encoding that Python knows") from None
        return Stream(self._chunks)

    def save(self, data: Iterable[pd.DataFrame]) -> None:
        """Write the chunks to a local file, which appears under its name only when complete.

        Raises:
            InputError: If `filepath` is not a local path.

        """
        with (
            atomic_write(require_local(self._filepath)) as partial,
            partial.open("w", encoding="utf-8", newline="") as file,
        ):
            for number, chunk in enumerate(data):
                chunk.to_csv(file, header=number == 0, **self._save_args)

    def preview(self, nrows: int = 5) -> TablePreview:
        """Return the first rows, for Kedro-Viz."""
        chunk = next(self._chunks(), pd.DataFrame({MALFORMED: []}))
        return TablePreview(chunk.drop(columns=MALFORMED).head(nrows).to_dict(orient="split"))

    def _exists(self) -> bool:
        if not self._is_named:
            return True
        filesystem, path = fsspec.url_to_fs(self._filepath, **self._credentials)
        return bool(filesystem.isfile(path))

    def _chunks(self) -> Iterator[pd.DataFrame]:
        if not self._is_named:
            return
        header: list[str] | None = None
        next_row = 0  # the header is record 0
        try:
            options = self._credentials or None  # pandas refuses them for local files
            with pd.read_csv(self._filepath, storage_options=options, **self._load_args) as reader:
                while True:
                    records, problems = _next_records(reader)
                    if records.empty and not problems:
                        return
                    if header is None:
                        header = self._checked_header(records.iloc[0])
                    chunk = _number_rows(records, problems, header, next_row)
                    next_row += len(chunk)
                    yield chunk.drop(index=0, errors="ignore")
        except EmptyDataError:
            raise InputError(f"{self._filepath} is empty: it must begin with a header") from None
        except UnicodeError as error:
            raise InputError(
                f"{self._filepath} is not {self._load_args['encoding']} text ({error}, after row "
                f"{max(next_row - 1, 0)}): save it as UTF-8, or name its encoding, such as "
                "cp1252, with --params reviews_encoding=NAME (input_encoding for inference)"
            ) from None
        except ParserError as error:
            opened = re.search(r"EOF inside string starting at row (\d+)", str(error))
            why = f"a quotation mark opened in row {opened[1]} is never closed" if opened else error
            raise InputError(f"{self._filepath} is not a complete CSV: {why}") from None

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath}

    def _checked_header(self, record: pd.Series) -> list[str]:
        # Spreadsheets leave empty columns behind; they get a name of their own.
        header = [name.strip() or f"unnamed_{place}" for place, name in enumerate(record)]
        if len(set(header)) < len(header):
            raise InputError(f"{self._filepath}: two columns have the same name: {header}")
        if MALFORMED in header:
            raise InputError(
                f"{self._filepath}: rename the column {MALFORMED!r}: malformed lines are marked in "
                "a column of that name"
            )
        return header


def _next_records(reader: Any) -> tuple[pd.DataFrame, dict[int, str]]:
    """Return the next well-formed records, and the problem of each malformed one by its number."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ParserWarning)
        records = next(reader, pd.DataFrame())
    problems = {
        int(line) - 1: f"{saw} fields where the header has {expected}"
        for warning in caught
        for line, expected, saw in _SKIPPED.findall(str(warning.message))
    }
    return records, problems


def _number_rows(
    records: pd.DataFrame, problems: dict[int, str], header: list[str], first: int
) -> pd.DataFrame:
    """Return records and malformed ones in the order of the file, indexed by their number."""
    numbers = pd.RangeIndex(first, first + len(records) + len(problems))
    rows = records.set_axis(numbers.drop(list(problems)))
    rows = rows.reindex(index=numbers, columns=range(len(header)), fill_value="").astype(str)
    rows.columns = [*header]
    return rows.assign(**{MALFORMED: [problems.get(number, "") for number in numbers]})
