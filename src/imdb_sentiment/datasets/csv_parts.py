"""Parts of a CSV that any process can read without reading what comes before them."""

import codecs
import contextlib
import csv
import io
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from imdb_sentiment.datasets.csv_format import read_records
from imdb_sentiment.datasets.decoding import is_one_byte
from imdb_sentiment.datasets.parts import Part, find_state
from imdb_sentiment.datasets.table_files import FileToRead
from imdb_sentiment.errors import make_printable
from imdb_sentiment.text.delimiters import recognise_dialect

logger = logging.getLogger(__name__)

BLOCK = 1 << 17  # bytes that are examined at a time, few enough for the processor's cache
# Arguments of `pandas.read_csv` with which the ends of records can be located.
KNOWN = {"chunksize", "encoding", "sep"}
_LINE_FEED, _RETURN, _QUOTE = b'\n\r"'
_BOM = b"\xef\xbb\xbf"
_CHECKED: set[tuple[str, Any]] = set()  # files that `check_marks` has read

Places = npt.NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class CsvPart(Part):
    """Some records of a CSV.

    Attributes:
        options: Arguments of `pandas.read_csv`, from `find_options`.
        header: Size of the header in bytes.
        start: Position of the first record in the file, in bytes.
        size: Size of the records in bytes; None for all records up to the end of the file, in which
            case `rows` is 0, since their number is unknown.
        prefix: Prefix of parameter names in messages; see `FileToRead`.

    """

    options: dict[str, Any]
    header: int
    start: int
    size: int | None
    prefix: str | None = None

    def __call__(self) -> pd.DataFrame:
        """Return the records of a part of known size."""
        options = self.options | {"chunksize": self.rows + 1}  # the header is one, too
        (rows,) = read_records(self._file, options, self.before)
        return rows

    def read_columns(self) -> list[str]:
        """Return the names of the columns."""
        return list(replace(self, size=0, rows=0)().columns)

    def read_all(self) -> Iterator[pd.DataFrame]:
        """Yield the records, `chunksize` at a time."""
        return read_records(self._file, self.options, self.before)

    @property
    def position(self) -> int:
        """Number of bytes of the file before this part."""
        return self.start

    @property
    def _file(self) -> FileToRead:
        return FileToRead(self.path, self.open_records, self.prefix, self._open)

    def open_records(self) -> io.BufferedIOBase:
        """Open a file of the header and the records."""
        with self._open() as file:
            header = file.read(self.header)
            if self.size is not None:
                file.seek(self.start)
                return io.BytesIO(header + file.read(self.size))
        return io.BufferedReader(_HeaderAndRest(header, self.path, self.start))


@dataclass(frozen=True)
class JoinedParts:
    """Parts of several small files with the same columns; a call returns them as a data frame."""

    parts: tuple[CsvPart, ...]

    def __call__(self) -> pd.DataFrame:
        """Return the rows; the order of the columns is that of the first file."""
        return pd.concat([part() for part in self.parts])


def join_small_parts(
    parts: Iterable[pd.DataFrame | Part], rows: int
) -> Iterator[pd.DataFrame | Part | JoinedParts]:
    """Join consecutive parts of CSVs to as many as `rows` rows: a chunk takes time of its own."""
    waiting: list[CsvPart] = []
    n_waiting = 0  # rows
    for part in parts:
        if waiting and not (isinstance(part, CsvPart) and n_waiting + part.rows <= rows):
            yield _join(waiting)
            waiting, n_waiting = [], 0
        if isinstance(part, CsvPart):
            waiting.append(part)
            n_waiting += part.rows
        else:
            yield part
    if waiting:
        yield _join(waiting)


def _join(parts: list[CsvPart]) -> CsvPart | JoinedParts:
    return parts[0] if len(parts) == 1 else JoinedParts(tuple(parts))


class _HeaderAndRest(io.RawIOBase):
    """The header of a file, followed by the rest of the file from some position on."""

    def __init__(self, header: bytes, path: str, start: int) -> None:
        self._header = io.BytesIO(header)
        self._file = Path(path).open("rb")  # noqa: SIM115  (closed with this one)
        self._file.seek(start)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._header.readinto(buffer) or self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


def can_divide(load_args: dict[str, Any], options: dict[str, Any]) -> bool:
    """Return whether the records of a CSV can be located without decoding it.

    Args:
        load_args: Argument `load_args` of the dataset.
        options: Arguments of `pandas.read_csv`, from `find_options`.

    """
    encoding = codecs.lookup(options["encoding"]).name
    ascii_bytes = bytes(range(128))
    return (
        load_args.keys() <= KNOWN
        and options.keys().isdisjoint(("escapechar", "skipinitialspace"))
        and (encoding in ("utf-8", "utf-8-sig") or is_one_byte(encoding))
        and ascii_bytes.decode(encoding, "replace") == ascii_bytes.decode("ascii")
    )


def divide_csv(
    path: str, options: dict[str, Any], prefix: str | None
) -> Iterator[CsvPart | pd.DataFrame]:
    """Divide the records of a CSV into parts of `chunksize` each.

    Only the ends of records are searched for, which takes a fraction of the time of parsing them.
    If they are ambiguous, because of stray quotation marks, the remaining records are parsed here,
    quoted as these marks tell; if they don't tell, a warning says where they are.

    Args:
        path: Path of the file; `can_divide` must be true for it.
        options: Arguments of `pandas.read_csv`, from `find_options`.
        prefix: Prefix of parameter names in messages; see `FileToRead`.

    """
    rows = options["chunksize"]
    head = 1 + options.get("skiprows", 0)
    path = str(Path(path).absolute())
    state = find_state(Path(path).stat())

    def make(start: int, size: int | None, before: int, rows: int) -> CsvPart:
        return CsvPart(
            path=path,
            state=state,
            before=before,
            rows=rows,
            options=options,
            header=header,
            start=start,
            size=size,
            prefix=prefix,
        )

    header = start = before = 0
    ends: Places = np.zeros(0, np.intp)
    is_certain = False
    for found, is_known in _find_ends(path, ord(options["sep"]), "quoting" not in options):
        ends, is_certain = np.concatenate([ends, found]), is_known
        if not header and len(ends) >= head:
            header = start = int(ends[head - 1])
            ends = ends[head:]
        while header and len(ends) > rows:
            end = int(ends[rows - 1])
            yield make(start, end - start, before, rows)
            start, before, ends = end, before + rows, ends[rows:]
    if header and is_certain:
        size = state[0] - start
        if size or not before:
            has_open_end = start + size > (ends[-1] if len(ends) else start)
            yield make(start, size, before, len(ends) + has_open_end)
        return
    if header and len(ends):  # these records are known
        yield make(start, int(ends[-1]) - start, before, len(ends))
        start, before = int(ends[-1]), before + len(ends)
    rest = make(start, None, before, 0)
    yield from (rest if is_certain else _with_own_quoting(rest)).read_all()


def _with_own_quoting(rest: CsvPart) -> CsvPart:
    """Return records with the quoting that they show themselves; warn if a mark joins records."""
    size = 2 * BLOCK  # so that records follow the ambiguous one, which is in the first block
    with rest.open_records() as source:
        sample = source.read(size)
    text = sample.decode(rest.options["encoding"], errors="replace")
    dialect = recognise_dialect(text, rest.options["sep"], is_complete=len(sample) < size)
    options = dialect.quoting | rest.options
    if options == rest.options:
        row = _find_stray_mark(io.StringIO(text, newline=""), options)
        if row is not None:
            _warn_of_marks(rest.path, rest.before + row)
    return replace(rest, options=options)


def check_marks(path: str, file: FileToRead, options: dict[str, Any]) -> None:
    """Warn if a quotation mark joins records of a CSV that `divide_csv` can't divide.

    A file is read for this once in a process. Files with their own dialect are left out.

    Args:
        path: Path of the file.
        file: The same file.
        options: Arguments of `pandas.read_csv`, from `find_options`.

    """
    state = path, find_state(Path(path).stat())
    own = {"quoting", "quotechar", "escapechar", "skipinitialspace"}
    if state in _CHECKED or not own.isdisjoint(options):
        return
    _CHECKED.add(state)
    with (
        file.open() as source,
        io.TextIOWrapper(
            source, options["encoding"], options["encoding_errors"], newline=""
        ) as text,
        contextlib.suppress(UnicodeError),  # which is reported where the rows are read
    ):
        row = _find_stray_mark(text, options)
        if row is not None:
            _warn_of_marks(file.name, row)


def _find_stray_mark(text: IO[str], options: dict[str, Any]) -> int | None:
    """Return the first row with a quotation mark that neither encloses a field nor is doubled.

    Rows are counted from 1 after the header; None if there is none, or a field is too long.
    """
    n_headers: int = 1 + options.get("skiprows", 0)
    n_read = 0
    try:
        for n_read, _ in enumerate(csv.reader(text, delimiter=options["sep"], strict=True), 1):  # noqa: B007
            pass
    except csv.Error as error:
        if "expected after" in str(error):  # not if a field is longer than the sample
            return n_read - n_headers + 1
    return None


@cache  # a table is read several times
def _warn_of_marks(path: str, row: int) -> None:
    logger.warning(
        "%s has quotation marks from row %d on that neither enclose a whole field nor are doubled "
        "in one. Where a text begins with such a mark, the rows up to the next mark become one: "
        "double the marks and enclose these texts, or, if no field is quoted, add quoting: 3 to "
        "its load_args, in a copy of its whole entry in conf/local/catalog.yml",
        *(make_printable(path), row),
    )


def _find_ends(path: str, delimiter: int, has_quotes: bool) -> Iterator[tuple[Places, bool]]:
    """Yield the ends of records block by block, and whether they hold if the file ends there.

    Each quotation mark must open a field, close one, or be one of a pair in a quoted field. So all
    that is needed is to count them.
    """
    # Whether a byte can stand before an opening mark, or after a closing one.
    can_precede, can_follow = np.zeros((2, 256), bool)
    can_precede[[delimiter, _LINE_FEED, _QUOTE]] = True
    can_follow[[delimiter, _LINE_FEED, _RETURN, _QUOTE]] = True
    place, is_inside, last = 0, 0, _LINE_FEED
    with Path(path).open("rb") as file:
        while block := file.read(BLOCK):
            further = bytearray()
            while (further or block)[-1] in (_QUOTE, _RETURN) and (following := file.read(1)):
                further += following
            if further:  # else this would copy the block
                block += further
            if not place and block.startswith(_BOM):
                block = bytes([delimiter]) * len(_BOM) + block[len(_BOM) :]
            around = np.frombuffer(bytes([last]) + block + b"\n", np.uint8)  # shifted by one place
            data = around[1:-1]
            is_break = data == _LINE_FEED
            # One search for marks and breaks, since searching takes most of the time.
            places = np.flatnonzero(is_break | (data == _QUOTE) if has_quotes else is_break)
            is_mark = ~is_break[places]
            marks, breaks = places[is_mark], places[~is_mark]
            opening, closing = marks[is_inside::2], marks[1 - is_inside :: 2]
            returns = np.flatnonzero(data == _RETURN) if b"\r" in block else places[:0]
            lone = returns[around[returns + 2] != _LINE_FEED]
            if (
                not can_precede[around[opening]].all()
                or not can_follow[around[closing + 2]].all()
                or not _are_inside(lone, marks, is_inside).all()
            ):
                yield np.zeros(0, np.intp), False
                return
            outside = breaks[_are_inside(breaks, marks, is_inside) == 0]
            is_inside = (is_inside + len(marks)) % 2
            yield place + outside + 1, not is_inside
            place += len(block)
            last = block[-1]


def _are_inside(places: Places, marks: Places, is_inside: int) -> Places:
    """Return 1 for places within quotation marks, and 0 for others."""
    return (np.searchsorted(marks, places) + is_inside) % 2
