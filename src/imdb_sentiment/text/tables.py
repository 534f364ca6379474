"""Tables of texts from any dataset: chunks of numbered rows, and cells as strings."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from imdb_sentiment.errors import InputError
from imdb_sentiment.text.labels import parse_number

Part = TypeVar("Part", bound=pd.DataFrame | Callable[[], pd.DataFrame])

MALFORMED = "_malformed"  # column that says what is wrong with a row; empty for a well-formed one
CHUNK = 5000  # rows
MAX_WORDS = 8  # maximum number of words in the name of a column
USUAL_WORDS = 4  # the same, of nearly all names
SENTENCE_ENDS = (".", "!", "\u2026", "\u3002", "\uff01")  # also of Chinese
QUESTION_MARKS = ("?", "\uff1f", "\u061f", "\u037e")  # also of Chinese, Arabic and Greek
FIRST_SYLLABLE = "\u2e80"  # roughly where the letters of Chinese, Japanese and Korean begin
# Letters of Thai, Lao, Burmese, Khmer, Chinese and Japanese; those of Korean count like them.
NO_SPACES = re.compile(f"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff{FIRST_SYLLABLE}-\U0010ffff]")
FLOAT_BYTES = 8  # size of Python's floats
# Half of a surrogate pair, as in an emoji that was cut in two: JSON can have it, UTF-8 can't.
SURROGATE = re.compile("[\ud800-\udfff]")


def number_rows(table: pd.DataFrame | Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Yield a table in chunks that are indexed by row number.

    Args:
        table: What a dataset has loaded: a data frame, or an iterable of data frames. Frames with
            the column `_malformed`, as those of `imdb_sentiment.datasets.TableDataset`, have
            numbered rows already.

    Yields:
        Frames with the columns of the table and `_malformed`, indexed from 1 on. At least one,
        unless the iterable is empty.

    Raises:
        InputError: Two columns have the same name.

    """
    next_row = 1
    for frame in [table] if isinstance(table, pd.DataFrame) else table:
        if MALFORMED in frame:
            yield frame
            continue
        require_distinct(map(str, frame.columns), "the table")
        for start in range(0, max(len(frame), 1), CHUNK):
            chunk = frame.iloc[start : start + CHUNK]
            rows = pd.RangeIndex(next_row, next_row + len(chunk))
            yield with_text_names(chunk.set_axis(rows)).assign(**{MALFORMED: ""})
            next_row += len(chunk)


def with_text_names(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose columns have texts as names, as a cell with a number may be a name."""
    return frame.set_axis(frame.columns.map(str), axis="columns")


def is_like_text(name: str) -> bool:
    """Return whether the name of a column is so long that it may be a text of the first row.

    Long names that are questions are those of a survey.
    """
    return count_words(name) > MAX_WORDS and not name.rstrip().endswith(QUESTION_MARKS)


def is_sentence(name: str) -> bool:
    """Return whether the name of a column may be a short text of the first row."""
    words, end = count_words(name), name.rstrip()
    is_long = words > USUAL_WORDS and not end.endswith(QUESTION_MARKS)
    return is_long or (words > 1 and end.endswith(SENTENCE_ENDS))


def count_words(text: str) -> float:
    """Return about how many words a text has; in scripts without spaces, three letters are one."""
    n_words = len(text.split())
    if text.isascii():
        return n_words
    n_letters = sum(map(str.isalpha, NO_SPACES.findall(text)))
    return max(n_words, n_letters / 3)


def require_distinct(names: Iterable[str], table: str) -> None:
    """Raise `InputError` if two columns of a table have the same name."""
    found = list(names)
    repeated = [name for name, times in Counter(found).items() if times > 1]
    if repeated:
        is_row = parse_number(repeated[0]) is not None or any(map(is_like_text, found))
        advice = ", or if this is the first row, add a header above it" if is_row else ""
        raise InputError(
            f"{table}: two columns have the same name: {repeated[0]!r}; rename one{advice}"
        )


def require_free(names: Iterable[str], file: str) -> None:
    """Raise `InputError` if a column has the name of that for malformed rows."""
    if MALFORMED in names:
        raise InputError(
            f"{file}: rename the column {MALFORMED!r}: malformed lines are marked in a column of "
            "that name"
        )


def list_parts(
    table: pd.DataFrame | Iterable[pd.DataFrame],
) -> Iterator[pd.DataFrame | Callable[[], pd.DataFrame]]:
    """Yield a table as `number_rows` does, but leave the reading to other processes if possible.

    Args:
        table: The table, as for `number_rows`. If it has a method `parts`, as those of
            `imdb_sentiment.datasets.TableDataset` have, it can be read in parts.

    Yields:
        The frames, or functions that read and return one, which may be sent to another process.

    """
    list_own = None if isinstance(table, pd.DataFrame) else getattr(table, "parts", None)
    yield from number_rows(table) if list_own is None else list_own()


def read_first_rows(parts: Iterator[Part]) -> tuple[list[Part], pd.DataFrame]:
    """Take parts until they have `CHUNK` rows, to find the columns in these.

    A table of many small files has many small parts; if the parts are larger, no more rows are
    looked at.

    Args:
        parts: Parts from `list_parts`, or chunks, of which only as many as needed are taken.

    Returns:
        The parts that were taken, and the first `CHUNK` of their rows that are not empty, with the
        columns of all these parts: objects of JSON may lack what later ones have.

    """
    taken: list[Part] = []
    frames: list[pd.DataFrame] = []
    n_rows = 0
    while n_rows < CHUNK and (part := next(parts, None)) is not None:
        taken.append(part)
        rows: Any = part() if callable(part) else part
        frames.append(rows[~find_empty(rows)])
        n_rows += len(frames[-1])
    filled = [frame for frame in frames if len(frame)] or frames[:1] or [pd.DataFrame()]
    if any(list(frame) != list(filled[0]) for frame in filled):
        filled = [frame.astype(object) for frame in filled]  # whole numbers remain whole
    return taken, pd.concat(filled).head(CHUNK)


def list_columns(frame: pd.DataFrame) -> list[str]:
    """Return the names of the columns of the table itself."""
    return [name for name in map(str, frame.columns) if name != MALFORMED]


def find_empty(chunk: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Return which rows are wholly empty, as spreadsheets leave them at the end of a table.

    Args:
        chunk: Chunk from `number_rows`; a malformed row is not empty.

    """
    is_empty = np.ones(len(chunk), bool)
    for name in chunk:
        (places,) = np.nonzero(is_empty)  # hardly any row gets beyond the first column
        is_empty[places] = [_is_blank(cell) for cell in chunk[name].iloc[places].tolist()]
    return is_empty


def _is_blank(cell: Any) -> bool:
    match cell:
        case str():
            return not cell.strip()
        case dict() | list() | np.ndarray():
            return len(cell) == 0
    return bool(pd.isna(cell))


def to_strings(cells: pd.Series) -> list[str]:
    """Return cells as strings: missing ones are empty, and 5.0 is `5`.

    A column of whole numbers becomes one of floats as soon as a number is missing; its numbers
    should stay what they were. So should a float of 32 bits, whose value has more digits in 64.
    Halves of surrogate pairs become spaces, as in texts that are cleaned.
    """
    return [
        _clean(cell) if isinstance(cell, str) else _to_string(cell) for cell in list_cells(cells)
    ]


def list_cells(cells: pd.Series) -> list[Any]:
    """Return cells as Python's objects, and floats of 32 bits with the digits that they have."""
    values: list[Any] = cells.tolist()
    size = getattr(cells.dtype, "itemsize", FLOAT_BYTES)
    if cells.dtype.kind == "f" and size < FLOAT_BYTES:
        shorten = np.dtype(f"f{size}").type
        values = [float(str(shorten(cell))) if pd.notna(cell) else cell for cell in values]
    return values


def _clean(cell: str) -> str:
    return cell if cell.isascii() else SURROGATE.sub(" ", cell)


def find_nested(cells: pd.Series) -> npt.NDArray[np.bool_]:
    """Return which of the cells are objects or lists of JSON or Parquet."""
    if isinstance(cells.dtype, pd.StringDtype):
        return np.zeros(len(cells), bool)
    return np.array([isinstance(cell, dict | list | np.ndarray) for cell in cells.tolist()], bool)


def _to_plain(cell: Any) -> Any:
    return cell.tolist() if isinstance(cell, np.ndarray) else str(cell)


def _to_string(cell: Any) -> str:
    match cell:
        case dict() | list():
            return _clean(json.dumps(cell, ensure_ascii=False, default=_to_plain))
        case np.ndarray():
            return _to_string(cell.tolist())
        case bytes():
            return cell.decode(errors="replace")
        case float() if cell.is_integer():
            return str(int(cell))
        case Decimal() if cell.is_finite():
            return f"{cell:f}"  # not 0E-18
    return "" if bool(pd.isna(cell)) else str(cell)
