"""A CSV of any length, a chunk at a time, with every record accounted for."""

import codecs
import re
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from kedro_datasets._typing import TablePreview
from kedro_datasets.pandas import CSVDataset
from pandas.errors import EmptyDataError, ParserError, ParserWarning

from imdb_sentiment.datasets.atomic import AtomicCSVDataset, atomic_write
from imdb_sentiment.datasets.stream import Stream
from imdb_sentiment.errors import InputError

MALFORMED = "_malformed"
_SKIPPED = re.compile(r"Skipping line (\d+): expected (\d+) fields, saw (\d+)")


class ChunkedCSVDataset(CSVDataset):
    """`pandas.CSVDataset` with `chunksize`, for files from people.

    It loads as a stream of data frames of strings, which can be iterated more than once. Each
    frame is indexed by the number of the record in the file, counted from 1 after the header. A
    record with more fields than the header stays in its place, empty but for the column
    `_malformed`, which says what is wrong with it; in all others that column is empty.

    It saves an iterable of data frames, under the final name once it has ended.

    Args:
        filepath: The file.
        load_args: Of `pandas.read_csv`, such as `chunksize`, `encoding` and `sep`.
        save_args: Of `pandas.DataFrame.to_csv`.
        metadata: For plugins; Kedro ignores it.

    Iterating raises:
        InputError: The file is missing or empty, is not in the encoding named, has a quote that
            never closes, two columns of one name, or one that is called `_malformed`.

    """

    # The header is read as a record: pandas then holds every other record against its number of
    # fields, the first one too, and never takes a surplus field for an index.
    DEFAULT_LOAD_ARGS: ClassVar[dict[str, Any]] = {
        "chunksize": 5000,
        "dtype": str,
        "encoding": "utf-8",
        "header": None,
        "index_col": False,
        "na_filter": False,
        "on_bad_lines": "warn",
        "skip_blank_lines": False,
    }

    DEFAULT_SAVE_ARGS: ClassVar[dict[str, Any]] = AtomicCSVDataset.DEFAULT_SAVE_ARGS

    def load(self) -> Stream[pd.DataFrame]:
        """Return the stream of chunks."""
        if not self._fs.isfile(str(self._filepath)):
            raise InputError(
                f"{self._filepath} does not exist: put the file there, or name another one that "
                "is in data/01_raw, or its whole path"
            )
        try:
            codecs.lookup(self._load_args["encoding"])
        except LookupError as error:
            raise InputError(f"{error}: name an encoding that Python knows") from None
        return Stream(self._chunks)

    def save(self, data: Iterable[pd.DataFrame]) -> None:
        """Write the chunks one after another; the first one names the columns."""
        with (
            atomic_write(self._get_save_path()) as partial,
            partial.open("w", encoding="utf-8", newline="") as file,
        ):
            for number, chunk in enumerate(data):
                chunk.to_csv(file, header=number == 0, **self._save_args)

    def preview(self, nrows: int = 5) -> TablePreview:
        """Return the first rows, for Kedro-Viz."""
        chunk = next(self._chunks(), pd.DataFrame({MALFORMED: []}))
        return TablePreview(chunk.drop(columns=MALFORMED).head(nrows).to_dict(orient="split"))

    def _chunks(self) -> Iterator[pd.DataFrame]:
        header: list[str] | None = None
        next_row = 0  # the header is record 0
        try:
            with super().load.__wrapped__(self) as reader:
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
            raise InputError(f"{self._filepath} is not a whole CSV: {_explain(error)}") from None

    def _checked_header(self, record: pd.Series) -> list[str]:
        # Spreadsheets leave empty columns behind.
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
    numbers = np.arange(first, first + len(records) + len(problems))
    malformed = pd.DataFrame("", index=list(problems), columns=header, dtype=str)
    malformed[MALFORMED] = list(problems.values())
    wellformed = records.set_axis(header, axis="columns") if len(records) else malformed[:0]
    wellformed = wellformed.set_axis(numbers[~np.isin(numbers, list(problems))])
    wellformed = wellformed.assign(**{MALFORMED: ""})
    return pd.concat([wellformed, malformed]).sort_index() if problems else wellformed


def _explain(error: ParserError) -> str:
    opened = re.search(r"EOF inside string starting at row (\d+)", str(error))
    if opened:
        return f"a quotation mark opened in row {opened[1]} is never closed"
    return str(error).removeprefix("Error tokenizing data. C error: ")
