"""Predictions for the rows of a CSV, with Python's csv module: the service has no pandas."""

import csv
import itertools
import math
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from typing import IO

from imdb_sentiment.evaluation.probabilities import REASON_COLUMN, prediction_columns
from imdb_sentiment.serving.predictor import Prediction, Predictor

ROWS_AT_A_TIME = 1000
# A line of one byte becomes a row with all columns, so the columns and the output are limited. A
# comma may become a field, which takes fifty times its memory, so commas are limited too.
MAX_COLUMNS = 1000
MAX_COMMAS = 200_000  # per row
MAX_OUTPUT = 1_000_000_000  # characters


class CsvError(ValueError):
    """The CSV can't be scored; the message says why."""


def score_csv(
    predictor: Predictor,
    source: Iterable[str],
    target: IO[str],
    text_column: str,
    *,
    max_characters: int = sys.maxsize,
    deadline: float = math.inf,
) -> Iterator[int]:
    """Add predictions to each row of a CSV, as the pipeline `inference` does.

    Args:
        predictor: Exported model.
        source: Lines of a CSV with a header.
        target: Text file to which the rows are written, in the same order, with the columns of
            `imdb_sentiment.evaluation.probabilities` added.
        text_column: Name of the column with the text.
        max_characters: Maximum length of a text; longer texts get no prediction.
        deadline: Time at which to stop, on the clock of `time.monotonic`.

    Yields:
        Number of rows of each chunk that has been written.

    Raises:
        CsvError: The CSV has no header, lacks the text column, has two columns with the same name
            or too many columns, has a quotation mark that is never closed, or its output would be
            larger than a gigabyte.
        TimeoutError: The deadline has passed.

    """
    csv.field_size_limit(1 << 30)  # the size of the body is limited elsewhere
    reader = _read_rows(source)
    writer = csv.writer(target, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    try:
        header = _read_header(reader, text_column)
        width, place = len(header), header.index(text_column)
        added = [*prediction_columns(predictor.labels), REASON_COLUMN]
        kept = [place for place, name in enumerate(header) if name not in added]
        writer.writerow([*(header[place] for place in kept), *added])
        while chunk := list(itertools.islice(reader, ROWS_AT_A_TIME)):
            if time.monotonic() > deadline:
                raise TimeoutError
            texts = [row[place] if place < len(row) <= width else "" for row in chunk]
            short = [text if len(text) <= max_characters else "" for text in texts]
            for row, text, prediction in zip(chunk, texts, predictor.predict(short), strict=True):
                whole = [""] * width if len(row) > width else row + [""] * (width - len(row))
                reason = _explain_gap(row, text, prediction, width, max_characters)
                judged = _list_values(prediction, predictor.labels)
                writer.writerow([*(whole[place] for place in kept), *judged, reason])
            if target.tell() > MAX_OUTPUT:
                raise CsvError(f"with predictions, it would be larger than {MAX_OUTPUT:,} bytes")
            yield len(chunk)
    except csv.Error as error:
        raise CsvError(f"this is not a complete CSV: {error}") from error


def _read_rows(source: Iterable[str]) -> Iterator[list[str]]:
    """Yield the rows of a CSV; stray quotation marks are tolerated, as in pandas."""
    end = uuid.uuid4().hex
    commas = 0

    def lines() -> Iterator[str]:
        nonlocal commas
        for line in source:
            commas += line.count(",")
            if commas > MAX_COMMAS:
                raise CsvError(f"a row has more than {MAX_COMMAS:,} commas")
            yield line
        yield end  # becomes a row of its own, unless a quotation mark is still open

    reader = csv.reader(lines())
    for row in reader:
        if row == [end]:
            return
        commas = 0
        yield row
    raise CsvError("this is not a complete CSV: a quotation mark is never closed")


def _read_header(reader: Iterator[list[str]], text_column: str) -> list[str]:
    found = next(reader, [])
    if not found:
        raise CsvError("the file is empty: it must begin with a header")
    if len(found) > MAX_COLUMNS:
        raise CsvError(f"there are {len(found):,} columns, and at most {MAX_COLUMNS:,} are allowed")
    header = [name.strip() or f"unnamed_{place}" for place, name in enumerate(found)]
    if len(set(header)) < len(header):
        raise CsvError(f"two columns have the same name: {_shorten(header)}")
    if text_column not in header:
        raise CsvError(f"there is no column {text_column[:50]!r}; there are: {_shorten(header)}")
    return header


def _shorten(header: list[str]) -> str:
    names = [name[:50] for name in header[:20]]
    return ", ".join([*names, "…"] if len(header) > len(names) else names)


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
        return f"malformed line: {len(row)} fields where the header has {width}"
    if len(text) > max_characters:
        return f"longer than {max_characters:,} characters"
    return prediction.reason or ""
