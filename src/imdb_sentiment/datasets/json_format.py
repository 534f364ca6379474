"""JSON Lines, and JSON with one array of objects, read and written in chunks."""

import datetime
import io
import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import IO, Any

import numpy as np
import pandas as pd

from imdb_sentiment.datasets.decoding import as_text, explain_encoding, find_encoding, require_text
from imdb_sentiment.datasets.table_files import FileToRead, find_suffix
from imdb_sentiment.errors import InputError
from imdb_sentiment.text.encodings import SAMPLE
from imdb_sentiment.text.tables import MALFORMED, SURROGATE, list_cells, require_free

_ARRAY_OF_OBJECTS = re.compile(r"\[\s*\{")
Row = tuple[int, dict[str, Any], str]  # number and cells of a row, and its problem, if any


def read_json(file: FileToRead, options: dict[str, Any]) -> Iterator[pd.DataFrame]:
    """Yield the objects of JSON Lines, or of one array; fields that a row lacks are missing.

    Each frame has the fields of the first one and its own.
    """
    with file.open() as source:
        sample = source.read(SAMPLE)
    require_text(sample, options["encoding"], file)
    encoding, errors = find_encoding(sample, options["encoding"], file), options["encoding_errors"]
    beginning = sample.decode(encoding, errors="replace").lstrip()
    is_json = find_suffix(file.name) == ".json"  # not JSON Lines, at least by its name
    is_array = is_json and beginning.startswith("[")
    if _ARRAY_OF_OBJECTS.match(beginning) and not is_json:
        raise InputError(
            f"{file.name} is a JSON array, not JSON Lines: rename it to end with .json"
        )
    first: dict[str, Any] = {}  # the keys of the first rows, in the order in which they appear
    row = 0
    try:
        with file.open() as source, io.TextIOWrapper(source, encoding, errors) as text:
            rows = _parse_array(text, file.name) if is_array else _parse_lines(text)
            while chunk := list(itertools.islice(rows, options["chunksize"])):
                numbers, cells, problems = zip(*chunk, strict=True)
                row = numbers[-1]
                keys: dict[str, Any] = dict.fromkeys(itertools.chain.from_iterable(cells))
                if any(map(SURROGATE.search, keys)):  # which the name of a column can't have
                    cells = tuple(map(_replace_in_keys, cells))
                    keys = _replace_in_keys(keys)
                first = first or keys
                columns = first | keys  # not those of all rows, of which there may be very many
                require_free(columns, file.name)
                if numbers == (1,) and _is_by_column(cells[0]):
                    raise InputError(
                        f"{file.name} has one object for each column, as pandas writes it by "
                        'default: save it with to_json(path, orient="records", lines=True)'
                    )
                if not columns:
                    raise InputError(
                        f"{file.name} is not JSON Lines, one object per line: row {numbers[0]} is "
                        f"{problems[0] or 'empty'}. If it is an object with a list of rows, save "
                        "this list as JSON Lines: docs/data.md shows how"
                    )
                frame = pd.DataFrame(list(cells), index=numbers, columns=[*columns], dtype=object)
                yield frame.assign(**{MALFORMED: problems})
    except UnicodeError as error:
        raise explain_encoding(file, encoding, error) from None
    if not row:
        raise InputError(f"{file.name} is empty: it must have a JSON object for each row")


def _is_by_column(row: dict[str, Any]) -> bool:
    """Return whether the cells of a row are objects whose keys are the numbers of rows."""
    keys = [tuple(cell) if isinstance(cell, dict) else () for cell in row.values()]
    return len(set(keys)) == 1 and keys[0] == tuple(map(str, range(len(keys[0])))) != ()


def _replace_in_keys(found: dict[str, Any]) -> dict[str, Any]:
    """Return an object with U+FFFD for each half of a surrogate pair in its keys."""
    return {SURROGATE.sub("\ufffd", key): cell for key, cell in found.items()}


def _parse_lines(lines: Iterable[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield parse_line(number, line)


def parse_line(number: int, line: str) -> Row:
    """Return the object in a line of JSON Lines."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        return number, {}, f"not JSON ({error})"
    return _check_object(number, found)


def _parse_array(source: IO[str], name: str) -> Iterator[Row]:
    try:
        found = json.load(source)
    except (ValueError, RecursionError) as error:
        if isinstance(error, UnicodeError):
            raise
        raise InputError(
            f"{name} is not a valid JSON array ({error}): download or export it again"
        ) from None
    yield from itertools.starmap(_check_object, enumerate(found, start=1))


def _check_object(number: int, found: Any) -> Row:
    if isinstance(found, dict):
        return number, found, ""
    return number, {}, f"not a JSON object but {json.dumps(found)[:20]}"


def write_json_lines(chunks: Iterable[pd.DataFrame], file: IO[bytes]) -> None:
    """Write each row of data frames as a line with an object, in UTF-8."""
    with as_text(file) as text:
        for chunk in chunks:
            columns = [map(_as_json, list_cells(chunk[name])) for name in chunk]
            for cells in zip(*columns, strict=True):
                row = dict(zip(chunk, cells, strict=True))
                text.write(_ENCODER.encode(row) + "\n")


def _as_json(cell: Any) -> Any:
    """Return a cell with null for what is missing or not finite, also within lists and objects."""
    match cell:
        case float():
            return cell if math.isfinite(cell) else None
        case list() | tuple() | set():
            return list(map(_as_json, cell))
        case dict():
            return {str(key): _as_json(part) for key, part in cell.items()}
        case np.ndarray():
            return list(map(_as_json, np.atleast_1d(cell)))
        case np.generic():  # whose `item` would return the time as a number of nanoseconds
            types = {"M": pd.Timestamp, "m": pd.Timedelta, "f": float}
            return _as_json(types.get(cell.dtype.kind, np.generic.item)(cell))
    return cell


def _encode(cell: Any) -> Any:
    """Return what JSON has in place of an object of another type."""
    if isinstance(cell, bytes):
        return cell.decode(errors="replace")
    if pd.isna(cell):
        return None
    match cell:
        case datetime.date() | datetime.time() | pd.Timedelta():
            return cell.isoformat()
        case datetime.timedelta():
            return pd.Timedelta(cell).isoformat()
    return str(cell)  # of a decimal number all digits


_ENCODER = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_encode
)
