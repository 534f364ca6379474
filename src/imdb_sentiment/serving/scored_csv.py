"""A CSV with predictions added, by Python's own csv module: the service has no pandas."""

import csv
import itertools
from collections.abc import Iterable, Iterator
from typing import IO

from imdb_sentiment.probabilities import REASON_COLUMN, prediction_columns
from imdb_sentiment.serving.predictor import Predictor, explain_silence

ROWS_AT_A_TIME = 1000


class CsvError(ValueError):
    """A CSV that can't be scored; the message says why."""


def score_csv(
    predictor: Predictor, source: Iterable[str], target: IO[str], text_column: str
) -> int:
    """Add predictions to each row, as the pipeline inference does, and return how many there were.

    Args:
        predictor: The model.
        source: Lines of a CSV with a header.
        target: Where the same rows go, in the same order, with the columns of
            `imdb_sentiment.predictions` added.
        text_column: Name of the column with the text.

    Raises:
        CsvError: It has no header or not that column, two columns of one name, or a quotation mark
            that never closes.

    """
    csv.field_size_limit(1 << 30)  # the body's size is limited already
    reader = csv.reader(source, strict=True)
    writer = csv.writer(target, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    try:
        header = _read_header(reader, text_column)
        added = [*prediction_columns(predictor.labels), REASON_COLUMN]
        kept = [place for place, name in enumerate(header) if name not in added]
        writer.writerow([*(header[place] for place in kept), *added])
        rows = 0
        while chunk := list(itertools.islice(reader, ROWS_AT_A_TIME)):
            for row in _score_rows(predictor, chunk, header, kept, text_column):
                writer.writerow(row)
            rows += len(chunk)
    except csv.Error as error:
        raise CsvError(f"this is not a whole CSV: {error} (line {reader.line_num})") from error
    return rows


def _read_header(reader: Iterator[list[str]], text_column: str) -> list[str]:
    header = [name.strip() or f"unnamed_{place}" for place, name in enumerate(next(reader, []))]
    if not header:
        raise CsvError("the file is empty: it must begin with a header")
    if len(set(header)) < len(header):
        raise CsvError(f"two columns have the same name: {', '.join(header)}")
    if text_column not in header:
        raise CsvError(f"there is no column {text_column!r}; there are: {', '.join(header)}")
    return header


def _score_rows(
    predictor: Predictor,
    chunk: list[list[str]],
    header: list[str],
    kept: list[int],
    text_column: str,
) -> Iterator[list[object]]:
    width = len(header)
    whole = [
        row + [""] * (width - len(row)) if len(row) <= width else [""] * width for row in chunk
    ]
    texts = [row[header.index(text_column)] for row in whole]
    for given, row, text, prediction in zip(
        chunk, whole, texts, predictor.predict(texts), strict=True
    ):
        added: list[object]
        if prediction.label is not None:
            added = [prediction.label, prediction.probability, *prediction.probabilities.values()]
            reason = ""
        else:
            added = [""] * (2 + len(predictor.labels))
            reason = (
                explain_silence(text)
                if len(given) <= width
                else f"malformed line: {len(given)} fields where the header has {width}"
            )
        yield [*(row[place] for place in kept), *added, reason]
