"""Predictions for the rows of a CSV, with Python's csv module: the service has no pandas."""

import csv
import itertools
import math
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from typing import IO, NamedTuple

from imdb_sentiment.errors import MAX_NAME, list_names
from imdb_sentiment.evaluation.probabilities import REASON_COLUMN, prediction_columns
from imdb_sentiment.serving.predictor import Prediction, Predictor
from imdb_sentiment.text.delimiters import (
    AUTO,
    MALFORMED_LINE,
    Dialect,
    UnclearDelimiterError,
    describe_surplus,
    name_columns,
    recognise_dialect,
)

# A chunk ends with a thousand rows, or earlier if their fields take more memory than this.
ROWS_AT_A_TIME = 1000
CHUNK_BYTES = 4_000_000
SAMPLE = 1 << 16  # number of characters at the beginning that are read to detect the delimiter
# A line of one byte becomes a row with all columns, so the columns and the output are limited. A
# delimiter may begin a field, which takes fifty times its memory, so they are limited too.
MAX_COLUMNS = 1000
MAX_DELIMITERS = 200_000  # per row
MAX_OUTPUT = 1_000_000_000  # characters


class CsvError(ValueError):
    """The CSV can't be scored; the message says why."""


def score_csv(
    predictor: Predictor,
    source: IO[str],
    target: IO[str],
    text_column: str,
    *,
    delimiter: str = AUTO,
    max_characters: int = sys.maxsize,
    deadline: float = math.inf,
) -> Iterator[int]:
    """Add predictions to each row of a CSV, as the pipeline `inference` does.

    Args:
        predictor: Exported model.
        source: CSV with a header.
        target: Text file to which the rows are written, in the same order, with the columns of
            `imdb_sentiment.evaluation.probabilities` added and with the same delimiter; it may be
            emptied after each chunk.
        text_column: Name of the column with the text.
        delimiter: Name of the delimiter, or `auto` to recognise it.
        max_characters: Maximum length of a text; longer texts get no prediction.
        deadline: Time at which to stop, on the clock of `time.monotonic`.

    Yields:
        Number of rows of each chunk that has been written.

    Raises:
        CsvError: The CSV has no header, lacks the text column, has two columns with the same name
            or too many columns, may have one delimiter or another, has a quotation mark that is
            never closed, or its output would be larger than a gigabyte; after the last chunk, most
            rows have more fields than the header.
        TimeoutError: The deadline has passed.

    """
    csv.field_size_limit(1 << 30)  # the size of the body is limited elsewhere
    dialect = _recognise(source, delimiter)
    rows = _Rows(source, dialect)
    try:
        header = _read_header(rows, text_column)
        copy = _ScoredCopy(
            predictor,
            target,
            dialect.delimiter,
            header,
            place=header.index(text_column),
            max_characters=max_characters,
        )
        n_rows = 0
        while added := copy.add(rows, deadline):
            n_rows += added
            if copy.size > MAX_OUTPUT:
                raise CsvError(
                    f"the scored CSV would be larger than {MAX_OUTPUT:,} characters: split the CSV"
                )
            yield added
        if 2 * copy.n_malformed > n_rows:
            raise CsvError(
                f"{copy.n_malformed:,} of {n_rows:,} rows have more fields than the header: "
                "enclose texts that contain the delimiter in quotation marks, or name another "
                "delimiter"
            )
    except csv.Error as error:
        raise CsvError(f"this is not a valid CSV: {error}") from error


class _Rows:
    """The rows of a CSV; stray quotation marks are tolerated, as in pandas.

    An iteration goes on where the one before has stopped. Nothing of the rows stays in memory
    between them: a reader of the module csv would keep room for the longest field.

    Args:
        source: The CSV.
        dialect: How it is written.

    """

    def __init__(self, source: Iterable[str], dialect: Dialect) -> None:
        self._dialect = dialect
        self._delimiters = 0
        # Two fields, which become a row of their own unless a quotation mark is open.
        self._end = [uuid.uuid4().hex] * 2
        lines = itertools.islice(source, int(dialect.has_delimiter_line), None)
        self._lines: Iterator[str] = itertools.chain(map(self._check, lines), self._list_last())

    def _list_last(self) -> list[str]:
        return [self._dialect.delimiter.join(self._end)]

    def _check(self, line: str) -> str:
        self._delimiters += line.count(self._dialect.delimiter)
        if self._delimiters > MAX_DELIMITERS:
            raise CsvError(
                f"a row has more than {MAX_DELIMITERS:,} delimiters: check the delimiter"
            )
        return line

    def __iter__(self) -> Iterator[list[str]]:
        dialect = self._dialect
        for row in csv.reader(self._lines, delimiter=dialect.delimiter, **dialect.quoting):
            if row == self._end:
                self._lines = iter(self._list_last())  # for a further iteration
                return
            self._delimiters = 0
            yield row
        raise CsvError("this is not a valid CSV: a quotation mark is never closed; close it")


class _Row(NamedTuple):
    """A row with as many fields as the header.

    Attributes:
        fields: The fields, filled up with empty ones; all are empty if there are too many.
        n_fields: Number of fields that there are.

    """

    fields: list[str]
    n_fields: int


class _ScoredCopy:
    """A CSV with predictions, to which rows are added.

    Args:
        predictor: Exported model.
        target: Text file to which the header and the rows are written.
        delimiter: Delimiter between the fields.
        header: Names of the columns.
        place: Place of the column with the text.
        max_characters: Maximum length of a text; longer texts get no prediction.

    Attributes:
        size: Number of characters that have been written.
        n_malformed: Number of rows with more fields than the header.

    """

    def __init__(
        self,
        predictor: Predictor,
        target: IO[str],
        delimiter: str,
        header: list[str],
        *,
        place: int,
        max_characters: int,
    ) -> None:
        self._predictor = predictor
        self._target = target
        self._delimiter = delimiter
        self._width = len(header)
        self._place = place
        self._max_characters = max_characters
        added = [*prediction_columns(predictor.labels), REASON_COLUMN]
        if header[place] in added:
            raise CsvError(
                f"the texts are in the column {header[place]!r}, which the scored file needs for "
                "the predictions: rename it"
            )
        self._kept = [place for place, name in enumerate(header) if name not in added]
        self.size = self.n_malformed = 0
        self._write([[*(header[place] for place in self._kept), *added]])

    def add(self, rows: Iterable[list[str]], deadline: float) -> int:
        """Score the next chunk of the rows.

        Args:
            rows: The rows that have not been scored yet.
            deadline: Time at which to stop, on the clock of `time.monotonic`.

        Returns:
            Number of rows in the chunk; 0 after the last one.

        Raises:
            TimeoutError: The deadline has passed, and there are rows left.

        """
        chunk = self._take_chunk(rows)
        if chunk and time.monotonic() > deadline:
            raise TimeoutError
        self._write(self._score(chunk))
        self.n_malformed += sum(row.n_fields > self._width for row in chunk)
        return len(chunk)

    def _take_chunk(self, rows: Iterable[list[str]]) -> list[_Row]:
        chunk = []
        size = 0
        for found in itertools.islice(rows, ROWS_AT_A_TIME):
            surplus = len(found) - self._width
            fields = [""] * self._width if surplus > 0 else found + [""] * -surplus
            chunk.append(_Row(fields, len(found)))
            size += sum(map(sys.getsizeof, fields))
            if size > CHUNK_BYTES:
                break
        return chunk

    def _score(self, chunk: list[_Row]) -> Iterator[list[object]]:
        """Yield the rows of a chunk with predictions."""
        texts = [row.fields[self._place] for row in chunk]
        short = [text if len(text) <= self._max_characters else "" for text in texts]
        for row, prediction in zip(chunk, self._predictor.predict(short), strict=True):
            judged = _list_values(prediction, self._predictor.labels)
            reason = self._explain_gap(row, prediction)
            yield [*(row.fields[place] for place in self._kept), *judged, reason]

    def _explain_gap(self, row: _Row, prediction: Prediction) -> str:
        """Return the reason why a row has no prediction; empty if it has one."""
        if prediction.label is not None:
            return ""
        if row.n_fields > self._width:
            return f"{MALFORMED_LINE}: {describe_surplus(row.n_fields, self._width)}"
        if len(row.fields[self._place]) > self._max_characters:
            return f"longer than {self._max_characters:,} characters"
        return prediction.reason or ""

    def _write(self, rows: Iterable[Iterable[object]]) -> None:
        # A writer keeps room for its longest row, so it is another one for each chunk.
        writer = csv.writer(
            self._target,
            delimiter=self._delimiter,
            quoting=csv.QUOTE_NONNUMERIC,
            lineterminator="\n",
        )
        self.size += sum(map(writer.writerow, rows))


def _recognise(source: IO[str], delimiter: str) -> Dialect:
    """Return the dialect of a CSV, detected from its beginning."""
    sample = source.read(SAMPLE)
    source.seek(0)
    try:
        return recognise_dialect(sample, delimiter, is_complete=len(sample) < SAMPLE)
    except UnclearDelimiterError as doubt:
        one, two = doubt.names
        raise CsvError(
            f"{doubt}: set it with the parameter delimiter={one} or delimiter={two}"
        ) from None


def _read_header(rows: Iterable[list[str]], text_column: str) -> list[str]:
    found = next(iter(rows), None)
    if found is None:
        raise CsvError("the file is empty: it must begin with a header")
    if not found:
        raise CsvError("the file begins with an empty line: remove it")
    if len(found) > MAX_COLUMNS:
        raise CsvError(
            f"there are {len(found):,} columns, and at most {MAX_COLUMNS:,} are allowed: remove "
            "some of them"
        )
    header = name_columns(found)
    if len(set(header)) < len(header):
        raise CsvError(f"two columns have the same name: {list_names(header)}; rename one")
    if text_column not in header:
        raise CsvError(
            f"there is no column {text_column[:MAX_NAME]!r}; there are: {list_names(header)}. Name "
            "the one with the texts by the parameter text_column"
        )
    return header


def _list_values(prediction: Prediction, labels: tuple[str, ...]) -> list[object]:
    if not prediction.probabilities:
        return [""] * len(prediction_columns(labels))
    judged = ["", ""] if prediction.label is None else [prediction.label, prediction.probability]
    return [*judged, *prediction.probabilities.values()]
