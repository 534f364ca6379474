"""Predictions for the rows of a CSV, with Python's csv module: the service has no pandas."""

import csv
import itertools
import math
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from typing import IO

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

ROWS_AT_A_TIME = 1000
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
    reader = _read_rows(source, dialect)
    writer = csv.writer(
        target, delimiter=dialect.delimiter, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n"
    )
    try:
        header = _read_header(reader, text_column)
        width, place = len(header), header.index(text_column)
        added = [*prediction_columns(predictor.labels), REASON_COLUMN]
        kept = [place for place, name in enumerate(header) if name not in added]
        size = writer.writerow([*(header[place] for place in kept), *added])
        rows = n_malformed = 0
        while chunk := list(itertools.islice(reader, ROWS_AT_A_TIME)):
            if time.monotonic() > deadline:
                raise TimeoutError
            texts = [row[place] if place < len(row) <= width else "" for row in chunk]
            short = [text if len(text) <= max_characters else "" for text in texts]
            for row, text, prediction in zip(chunk, texts, predictor.predict(short), strict=True):
                whole = [""] * width if len(row) > width else row + [""] * (width - len(row))
                reason = _explain_gap(row, text, prediction, width, max_characters)
                judged = _list_values(prediction, predictor.labels)
                size += writer.writerow([*(whole[place] for place in kept), *judged, reason])
            rows += len(chunk)
            n_malformed += sum(len(row) > width for row in chunk)
            if size > MAX_OUTPUT:
                raise CsvError(
                    f"the scored CSV would be larger than {MAX_OUTPUT:,} characters: split the CSV"
                )
            yield len(chunk)
        if 2 * n_malformed > rows:
            raise CsvError(
                f"{n_malformed:,} of {rows:,} rows have more fields than the header: enclose texts "
                "that contain the delimiter in quotation marks, or name another delimiter"
            )
    except csv.Error as error:
        raise CsvError(f"this is not a complete CSV: {error}") from error


def _recognise(source: IO[str], delimiter: str) -> Dialect:
    """Return the dialect of a CSV, detected from its beginning."""
    sample = source.read(SAMPLE)
    source.seek(0)
    try:
        return recognise_dialect(sample, delimiter, is_complete=len(sample) < SAMPLE)
    except UnclearDelimiterError as doubt:
        one, two = doubt.names
        raise CsvError(
            f"{doubt}: name it with the parameter delimiter={one} or delimiter={two}"
        ) from None


def _read_rows(source: Iterable[str], dialect: Dialect) -> Iterator[list[str]]:
    """Yield the rows of a CSV; stray quotation marks are tolerated, as in pandas."""
    end = uuid.uuid4().hex
    delimiters = 0

    def lines() -> Iterator[str]:
        nonlocal delimiters
        for line in itertools.islice(source, int(dialect.has_delimiter_line), None):
            delimiters += line.count(dialect.delimiter)
            if delimiters > MAX_DELIMITERS:
                raise CsvError(
                    f"a row has more than {MAX_DELIMITERS:,} delimiters: check the delimiter"
                )
            yield line
        yield end  # becomes a row of its own, unless a quotation mark is still open

    for row in csv.reader(lines(), delimiter=dialect.delimiter, **dialect.quoting):
        if row == [end]:
            return
        delimiters = 0
        yield row
    raise CsvError("this is not a complete CSV: a quotation mark is never closed; close it")


def _read_header(reader: Iterator[list[str]], text_column: str) -> list[str]:
    found = next(reader, [])
    if not found:
        raise CsvError("the file is empty: it must begin with a header")
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


def _explain_gap(
    row: list[str], text: str, prediction: Prediction, width: int, max_characters: int
) -> str:
    """Return the reason why a row has no prediction; empty if it has one."""
    if prediction.label is not None:
        return ""
    if len(row) > width:
        return f"{MALFORMED_LINE}: {describe_surplus(len(row), width)}"
    if len(text) > max_characters:
        return f"longer than {max_characters:,} characters"
    return prediction.reason or ""
