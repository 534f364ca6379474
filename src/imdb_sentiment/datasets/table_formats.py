"""The formats of tables: CSV, JSON Lines, JSON and Parquet, read and written in chunks.

Each reader yields data frames whose index counts the rows of the file from 1, with a column
`_malformed`. It says what is wrong with a row that can't be read, which is otherwise empty.
"""

import bz2
import codecs
import csv
import datetime
import gzip
import io
import itertools
import json
import logging
import lzma
import math
import re
import shutil
import tempfile
import threading
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import IO, Any

import fsspec
import numpy as np
import pandas as pd
from fsspec.compression import compr
from fsspec.core import OpenFile
from fsspec.implementations.local import LocalFileSystem
from pandas.errors import EmptyDataError, ParserError, ParserWarning

from imdb_sentiment.errors import InputError, get_first_line, list_names, make_printable
from imdb_sentiment.text.delimiters import (
    AUTO,
    DELIMITERS,
    UnclearDelimiterError,
    describe_surplus,
    find_delimiter,
    has_lines_above,
    name_columns,
    recognise_dialect,
)
from imdb_sentiment.text.encodings import SAMPLE, can_decode, find_encodings
from imdb_sentiment.text.tables import (
    CHUNK,
    MALFORMED,
    SURROGATE,
    list_cells,
    require_distinct,
    to_strings,
)

logger = logging.getLogger(__name__)

CSV, JSON_LINES, PARQUET = "CSV", "JSON Lines", "Parquet"
FORMATS = {
    ".json": JSON_LINES,
    ".jsonl": JSON_LINES,
    ".ndjson": JSON_LINES,
    ".parquet": PARQUET,
    ".pq": PARQUET,
}
# Formats that can't be read in chunks.
OTHERS = {".xls": "Excel", ".xlsx": "Excel", ".ods": "OpenDocument", ".feather": "Feather"}
ZIP, ZSTD = "zip", "zstd"
COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zip": ZIP, ".zst": ZSTD}
# Decompressors of a stream, and the number of zero bytes that may follow it, any number of times.
DECOMPRESSORS: dict[str, tuple[Callable[[], Any], int]] = {
    "bz2": (bz2.BZ2Decompressor, 1),
    "xz": (lzma.LZMADecompressor, 4),
}
COMPRESSED_BLOCK = 1 << 16  # number of bytes that are decompressed at once
TABS = (".tsv", ".tab")
# Errors of damaged files; the RuntimeError is that of a ZIP that is encrypted or of a newer kind.
DAMAGE = (
    EOFError,
    RuntimeError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zipfile.BadZipFile,
    zlib.error,
)
# Byte order marks; those of UTF-32 come first, since one of them begins like a mark of UTF-16.
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# Encodings of ISO 8859, and those of Windows that have punctuation in place of control characters.
WITH_PUNCTUATION = {"iso8859-1": "cp1252", "iso8859-9": "cp1254"}
# First bytes of files in other formats, and the suffixes of their names.
MAGIC = {
    b"PAR1": ".parquet",
    b"PK\x03\x04": ".zip or .xlsx",
    b"\x1f\x8b": ".gz",
    b"\x28\xb5\x2f\xfd": ".zst",
}

TAR_PLACE = 257  # of the mark of a tar archive

# A text has at most this share of null bytes, which may be strays. A short one may have more of
# them, but not among its first characters, where UTF-16 has them.
MAX_WORD = 30  # maximum number of characters of a word in a message
MAX_NULLS, MIN_BYTES, BEGINNING = 0.002, 10_000, 4
PARQUET_BUFFER = 1 << 20  # number of bytes of a column that are read at once
_CATCHING = threading.Lock()
_ARRAY_OF_OBJECTS = re.compile(r"\[\s*\{")
_SKIPPED = re.compile(r"Skipping line (\d+): expected (\d+) fields, saw (\d+)")

# What `load_args` may set of these and of further arguments of `pandas.read_csv`. With others, rows
# would be lost or counted differently.
LOAD_ARGS: dict[str, Any] = {
    "chunksize": CHUNK,
    "encoding": "utf-8",
    "encoding_errors": "strict",
    "sep": AUTO,
}
CSV_ARGS = {"escapechar", "quotechar", "quoting", "skipinitialspace"}
# The header is read as a record: pandas then compares the number of fields of every other record
# with the header's, the first record's too, and never takes a surplus field for an index.
_FIXED_ARGS: dict[str, Any] = {
    "dtype": str,
    "header": None,
    "index_col": False,
    "na_filter": False,
    "on_bad_lines": "warn",
    "skip_blank_lines": False,
}
# All text is quoted: the csv module leaves a lone carriage return unquoted, and readers end a row
# at it.
SAVE_ARGS: dict[str, Any] = {
    "encoding": "utf-8",
    "errors": "strict",
    "index": False,
    "quoting": csv.QUOTE_NONNUMERIC,
}
# Further arguments of `pandas.DataFrame.to_csv` that fit a file that is written in chunks.
CSV_SAVE_ARGS = {
    "columns",
    "date_format",
    "decimal",
    "doublequote",
    "escapechar",
    "float_format",
    "index_label",
    "lineterminator",
    "na_rep",
    "quotechar",
    "sep",
}


@dataclass(frozen=True)
class FileToRead:
    """A file on any machine.

    Attributes:
        name: Its path or URL, for messages; its suffixes tell the format.
        open: Function that opens the file as a context manager of a binary file, decompressed.
        prefix: Start of the names of the parameters that give its encoding and delimiter; None if
            there are none.
        open_whole: Function that opens all of the file, if `open` opens a part.

    """

    name: str
    open: Callable[[], Any]
    prefix: str | None = None
    open_whole: Callable[[], Any] | None = None

    def describe_setting(self, name: str, *values: str) -> str:
        """Return the setting of the encoding or the delimiter to any of these values, as text."""
        if self.prefix is None:
            key = "sep" if name == "delimiter" else name
            given = f"load_args: {{{key}: {' or '.join(values)}}}"
            return f"{given} in a copy of its whole entry in conf/local/catalog.yml"
        return "--params " + " or ".join(f"{self.prefix}_{name}={value}" for value in values)

    def make_parameter(self, name: str, value: str) -> dict[str, str]:
        """Return the parameter that gives the encoding or the delimiter, if there is one."""
        return {} if self.prefix is None else {f"{self.prefix}_{name}": value}


def find_compression(name: str) -> str | None:
    """Return fsspec's name of the compression that a file's name tells, or None."""
    return COMPRESSIONS.get(_parse(name).suffix.lower())


@contextmanager
def open_decompressed(
    filesystem: fsspec.AbstractFileSystem,
    path: str,
    name: str,
    on_open: Callable[[IO[bytes]], None] = lambda _: None,
) -> Iterator[IO[bytes]]:
    """Open a file to read it, decompressed.

    Args:
        filesystem: The file system that it lies in.
        path: Its path there, whose last suffix tells the compression.
        name: Its path or URL, for messages.
        on_open: Function that is called with the raw file, whose position tells the progress.

    Raises:
        InputError: It is a ZIP of no file, or of several.

    """
    compression = find_compression(path)
    if compression == ZIP:
        with (
            OpenFile(filesystem, path, "rb") as file,
            zipfile.ZipFile(file) as archive,
            archive.open(_find_member(archive, name)) as member,
        ):
            on_open(file)
            yield member
    elif compression == ZSTD:  # fsspec's reader takes the end of a cut file for that of the data
        pyarrow, _ = _import_pyarrow(name)
        with OpenFile(filesystem, path, "rb") as file:
            on_open(file)
            with io.BufferedReader(pyarrow.CompressedInputStream(file, ZSTD)) as whole:
                yield whole
    elif compression in DECOMPRESSORS:
        with OpenFile(filesystem, path, "rb") as file:
            on_open(file)
            with io.BufferedReader(_StreamReader(file, *DECOMPRESSORS[compression])) as whole:
                yield whole
    else:
        opened = OpenFile(filesystem, path, "rb", compression=compression)
        with opened as file:
            on_open(opened.fobjects[0])
            yield file


class _StreamReader(io.RawIOBase):
    """Reads the streams of a bz2 or xz file, one after the other, up to the end of the file.

    Python's own readers take padding, or damage at the beginning of a stream, for the end.

    Args:
        file: The compressed file.
        make_decompressor: Class of the decompressor.
        padding: Number of zero bytes by which a stream may be padded, any number of times.

    """

    def __init__(self, file: IO[bytes], make_decompressor: Callable[[], Any], padding: int) -> None:
        self._file = file
        self._padding = padding
        self._make_decompressor = make_decompressor
        self._decompressor = make_decompressor()
        self._block = file.read(COMPRESSED_BLOCK)  # what has not been decompressed yet

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, or a part of it, and return the number of bytes; 0 at the end."""
        found = b""
        while not found and (self._block or not self._decompressor.eof):
            if self._decompressor.eof:
                self._decompressor = self._make_decompressor()
            elif self._decompressor.needs_input and not self._block:
                raise EOFError("the file ends within compressed data")
            found = self._decompressor.decompress(self._block, len(buffer))
            self._block = b""
            if self._decompressor.eof:
                self._block = self._skip_padding(self._decompressor.unused_data)
            elif self._decompressor.needs_input:
                self._block = self._file.read(COMPRESSED_BLOCK)
        buffer[: len(found)] = found
        return len(found)

    def _skip_padding(self, rest: bytes) -> bytes:
        """Return the beginning of the next stream, or nothing if there is none."""
        n_zeros, kept = 0, b""
        further = iter(lambda: self._file.read(COMPRESSED_BLOCK), b"")
        for block in itertools.chain([rest], further):
            kept = block.lstrip(b"\0")
            n_zeros += len(block) - len(kept)
            if kept:
                break
        if n_zeros % self._padding:
            raise OSError("zero bytes after compressed data")
        return kept


def _find_member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """Return the one file in a ZIP, apart from what macOS puts beside it."""
    members = [
        member
        for member in archive.infolist()
        if not member.is_dir()
        and not any(part.startswith((".", "__MACOSX")) for part in Path(member.filename).parts)
    ]
    if len(members) == 1:
        return members[0]
    listed = list_names([member.filename for member in members])
    raise InputError(
        f"{name} must contain one file, and has {listed or 'none'}: unpack it, and use the path "
        "of the folder or of one of the files"
    )


@contextmanager
def _open_compressed(path: Path, name: str) -> Iterator[IO[bytes]]:
    """Open a file on this machine to write it, compressed as `name` tells."""
    compression = find_compression(name)
    if compression == ZIP:
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open(_parse(name).stem, "w", force_zip64=True) as member,
        ):
            yield member
        return
    with OpenFile(LocalFileSystem(), str(path), "wb", compression=compression) as file:
        yield file


def has_table_suffix(name: str) -> bool:
    """Return whether the end of a file's name says that it is a table, or a compressed one."""
    return _find_suffix(name) in {".csv", ".txt", *TABS, *FORMATS}


def find_format(name: str) -> str:
    """Return the format that a file's name tells.

    Raises:
        InputError: It can't be read or written in chunks.

    """
    suffix = _find_suffix(name)
    if suffix in OTHERS:
        raise InputError(
            f"{name}: {OTHERS[suffix]} files are not supported: save the table as CSV UTF-8, or "
            "name a dataset of kedro-datasets in conf/local/catalog.yml (docs/data.md)"
        )
    return FORMATS.get(suffix, CSV)


def _find_suffix(name: str) -> str:
    path = _parse(name)
    return (path.with_suffix("") if find_compression(name) else path).suffix.lower()


def _parse(name: str) -> PurePosixPath:
    """Return a path, or that of a URL without its query."""
    return PurePosixPath(name.partition("?")[0] if "://" in name else name)


def read_table(file: FileToRead, load_args: dict[str, Any]) -> Iterator[pd.DataFrame]:
    """Yield the rows of a file, in the format that its name tells.

    Args:
        file: The file.
        load_args: Argument `load_args` of `imdb_sentiment.datasets.TableDataset`.

    """
    options = complete_options(load_args, file.prefix)
    _require_compression(file.name)
    readers = {CSV: _read_csv, JSON_LINES: _read_json, PARQUET: _read_parquet}
    chunks = readers[find_format(file.name)](file, options)
    try:
        yield from chunks
    except Exception as error:
        if not find_compression(file.name) or not _is_damage(error):
            raise
        raise InputError(
            f"{file.name} is damaged or not complete ({error}): download or export it again"
        ) from error


def _is_damage(error: Exception) -> bool:
    """Return whether an error tells of a file's content, not that it can't be read."""
    # The operating system's errors have a number; those of decompressors have none.
    is_plain = type(error) is OSError and error.errno is None
    return is_plain or isinstance(error, DAMAGE)


def find_options(file: FileToRead, load_args: dict[str, Any]) -> dict[str, Any]:
    """Return the options for reading a CSV: those given, and those detected from its beginning."""
    return _recognise(file, complete_options(load_args, file.prefix))


def complete_options(load_args: dict[str, Any], prefix: str | None) -> dict[str, Any]:
    """Return the options of a table with the defaults of those that are not given.

    Args:
        load_args: Argument `load_args` of `imdb_sentiment.datasets.TableDataset`.
        prefix: Its argument `prefix`, for messages.

    Raises:
        InputError: An option is not known, or its value is no encoding or no delimiter.

    """
    known = {*LOAD_ARGS, *CSV_ARGS}
    if unknown := sorted(load_args.keys() - known):
        raise InputError(
            f"load_args of a TableDataset can't have {', '.join(unknown)}, with which rows could "
            f"be lost or counted differently: choose from {', '.join(sorted(known))}"
        )
    options = LOAD_ARGS | load_args
    if type(options["chunksize"]) is not int or options["chunksize"] < 1:
        raise InputError(
            f"chunksize in load_args is {options['chunksize']!r}: it must be a whole number of at "
            "least 1"
        )
    try:
        options["sep"] = find_delimiter(str(options["sep"]))
    except ValueError as error:
        name = f"{prefix}_delimiter" if prefix else "sep in load_args"
        raise InputError(f"{name}: {error}") from None
    name = f"{prefix}_encoding" if prefix else "encoding in load_args"
    options["encoding"] = _find_codec(options["encoding"], name)
    _require_handler(options["encoding_errors"], "encoding_errors in load_args")
    return options


def _find_codec(name: Any, parameter: str) -> str:
    """Return the name of an encoding, which YAML may have read as a number, such as 1252."""
    try:
        "".encode(str(name))  # not all of Python's codecs can encode text
    except LookupError as error:
        raise InputError(f"{parameter}: {error}: use an encoding that Python knows") from None
    return str(name)


def _require_handler(name: Any, parameter: str) -> None:
    """Raise `InputError` if Python has no such way to handle what can't be decoded or encoded."""
    try:
        codecs.lookup_error(str(name))
    except LookupError:
        raise InputError(
            f"{parameter} is {name!r}: set it to strict, replace or another of Python's error "
            "handlers"
        ) from None


def _require_compression(name: str) -> None:
    compression = find_compression(name)
    if compression and compression not in compr:
        raise InputError(
            f"{name}: the compression {compression} needs another package: "
            'pip install -e ".[tables]"'
        )


def _read_csv(file: FileToRead, options: dict[str, Any]) -> Iterator[pd.DataFrame]:
    yield from read_records(file, _recognise(file, options))


def read_records(
    file: FileToRead, options: dict[str, Any], before: int = 0
) -> Iterator[pd.DataFrame]:
    """Yield the rows of a CSV.

    Args:
        file: The file, or its header with some of its records.
        options: Options, from `find_options`.
        before: Number of rows of the file before these, as `read_table` counts them.

    """
    header: list[str] | None = None
    next_row = 0  # the header is record 0
    skipped = options.get("skiprows", 0)
    try:
        with file.open() as source, pd.read_csv(source, **_FIXED_ARGS, **options) as reader:
            while True:
                records, problems = _next_records(reader, skipped)
                if records.empty and not problems:
                    return
                if header is None:
                    header = _check_header(records.iloc[0], file.name)
                chunk = _number_records(records, problems, header, next_row)
                rows = chunk if next_row else chunk.iloc[1:]
                next_row += len(chunk)
                yield rows.set_axis(rows.index + before)
    except EmptyDataError:
        raise InputError(f"{file.name} is empty: it must begin with a header") from None
    except UnicodeError as error:
        raise _explain_encoding(file, options["encoding"], error) from None
    except ParserError as error:
        opened = re.search(r"EOF inside string starting at row (\d+)", str(error))
        why = str(error)
        if opened:
            why = (
                f"a quotation mark opened in row {before + int(opened[1]) - skipped} is never "
                "closed; close it, or, if such marks are part of the texts, set quoting: 3 in "
                "load_args of its catalog entry"
            )
        raise InputError(f"{file.name} is not a valid CSV: {why}") from None


def _recognise(file: FileToRead, options: dict[str, Any]) -> dict[str, Any]:
    with file.open() as source:
        sample = source.read(SAMPLE)
    _require_text(sample, options["encoding"], file)
    encoding = _find_encoding(sample, options["encoding"], file)
    text, given = sample.decode(encoding, errors="replace"), options["sep"]
    if given == AUTO and text.startswith('{"') and not _parse_line(1, text.partition("\n")[0])[2]:
        compressed = _parse(file.name).suffix if find_compression(file.name) else ""
        raise InputError(
            f"{file.name} is not a CSV but JSON Lines: rename it to end with .jsonl{compressed}"
        )
    is_complete, is_tsv = len(sample) < SAMPLE, _find_suffix(file.name) in TABS
    try:
        dialect = recognise_dialect(text, given, is_tsv=is_tsv, is_complete=is_complete)
    except UnclearDelimiterError as doubt:
        how = file.describe_setting("delimiter", *doubt.names)
        raise InputError(f"{file.name}: {doubt}: set it with {how}") from None
    is_found = given == AUTO and not dialect.has_delimiter_line
    if is_found and has_lines_above(text, dialect.delimiter, is_complete=is_complete):
        how = file.describe_setting("delimiter", *DELIMITERS)
        raise InputError(
            f"{file.name} does not begin with its header: remove the lines above it. If its first "
            f"line is the header, set the delimiter with {how}"
        )
    lines = list(io.StringIO(text, newline=None))[int(dialect.has_delimiter_line) :]
    if text.strip() and lines and not lines[0].strip(f'{dialect.delimiter}" \t\n'):
        raise InputError(f"{file.name} begins with an empty line: remove it")
    told: dict[str, Any] = {"skiprows": 1} if dialect.has_delimiter_line else {}
    return told | dialect.quoting | options | {"encoding": encoding, "sep": dialect.delimiter}


def _require_text(sample: bytes, encoding: str, file: FileToRead) -> None:
    for magic, suffix in MAGIC.items():
        if sample.startswith(magic):
            own, compression = _find_suffix(file.name), suffix.partition(" ")[0]
            is_known = own in FORMATS and compression in COMPRESSIONS
            named = f", such as {own}{compression}" if is_known else ""
            raise InputError(
                f"{file.name} is not text: it begins like a {suffix} file, so rename it to end "
                f"with {suffix}{named}"
            )
    if sample[TAR_PLACE:].startswith(b"ustar"):
        raise InputError(f"{file.name} is a tar archive: unpack it, and use the table in it")
    wide = ("utf-16", "utf-32")
    is_wide = (_find_mark(sample) or codecs.lookup(encoding).name).startswith(wide)
    is_short = len(sample) <= MIN_BYTES and b"\0" not in sample[:BEGINNING]
    if sample.count(b"\0") > MAX_NULLS * len(sample) and not is_short and not is_wide:
        likely = "utf-16-be" if sample.startswith(b"\0") else "utf-16-le"
        raise InputError(
            f"{file.name} is not text: it has null bytes. If it is text in UTF-16 without a byte "
            f"order mark, set the encoding with {file.describe_setting('encoding', likely)}"
        )


def _find_mark(sample: bytes) -> str | None:
    return next((name for mark, name in MARKS.items() if sample.startswith(mark)), None)


def _find_encoding(sample: bytes, encoding: str, file: FileToRead) -> str:
    """Return the encoding of a file's byte order mark, or without a mark, the given encoding.

    Raises:
        InputError: The given encoding has one byte per character, so that it decodes anything, but
            the file is UTF-8.

    """
    if marked := _find_mark(sample):
        return marked
    if not sample.isascii() and is_one_byte(encoding) and can_decode(sample, "utf-8"):
        raise InputError(
            f"{file.name} is UTF-8 text, not {encoding}: set the encoding with "
            f"{file.describe_setting('encoding', 'utf-8')}",
            parameters=file.make_parameter("encoding", "utf-8"),
        )
    windows = WITH_PUNCTUATION.get(codecs.lookup(encoding).name)
    if windows and re.search(rb"[\x80-\x9f]", sample) and can_decode(sample, windows):
        _warn_of_controls(file.name, encoding, file.describe_setting("encoding", windows))
    return encoding


@cache  # a table is read several times
def _warn_of_controls(file: str, encoding: str, setting: str) -> None:
    logger.warning(
        "%s contains bytes that are control characters in %s and are therefore removed. They are "
        "probably quotation marks or apostrophes: to keep them, use %s",
        *(make_printable(file), encoding, setting),
    )


def is_one_byte(encoding: str) -> bool:
    """Return whether an encoding has one byte per character, and so none for most of them."""
    return len("中".encode(encoding, errors="ignore")) == 0


def _explain_encoding(file: FileToRead, encoding: str, error: UnicodeError) -> InputError:
    """Return the error of a file in another encoding, with the likely one, or of damaged text."""
    open_whole = file.open_whole or file.open
    with open_whole() as source:
        sample = source.read(SAMPLE)
    with open_whole() as source:
        line, found = _find_undecodable(source, encoding)
    place = str(error)
    if found:
        place = f"byte 0x{found.object[found.start]:02x} in line {line}"
        start = found.object[: found.start].rpartition(b"\n")[2]
        further = sample + found.object[found.start - len(start) :]
        is_marked = _find_mark(sample) is not None  # surer than any setting
        if is_marked or _is_utf8_with_damage(further if sample.isascii() else sample, encoding):
            before = found.object[: found.start].decode(found.encoding, errors="ignore")
            before = before.rpartition("\n")[2][-20:]
            behind = f", after {before!r}" if before else ""
            name = codecs.lookup(encoding).name.removesuffix("-sig").upper()
            return InputError(
                f"{file.name} is {name} text with a damaged character in line {line}{behind}: "
                "repair it, or add encoding_errors: replace to its load_args, in a copy of its "
                "whole entry in conf/local/catalog.yml"
            )
        sample = further  # the right encoding must decode this, too
    names, is_sure = find_encodings(sample, encoding)
    likely = names[: 1 if is_sure else 3]
    how = file.describe_setting("encoding", *likely)
    doubt = f" (or {names[1]})" if is_sure and len(names) > 1 else ""
    if not is_sure:
        doubt = ", whichever shows the letters as they should be"
        if words := _find_difference(sample, likely):
            doubt += f": {' or '.join(map(repr, words))}"
    return InputError(
        f"{file.name} is not {encoding} text ({place}): save it as UTF-8, or set its encoding "
        f"with {how}{doubt}",
        parameters=file.make_parameter("encoding", names[0]) if is_sure else {},
    )


def _find_difference(sample: bytes, encodings: Iterable[str]) -> tuple[str, ...]:
    """Return how the first word that differs between encodings is read in each; none if none."""
    texts = [sample.decode(name, errors="replace").split() for name in encodings]
    pairs = (words for words in zip(*texts, strict=False) if len(set(words)) > 1)
    return tuple(word[:MAX_WORD] for word in next(pairs, ()))


def _find_undecodable(source: IO[bytes], encoding: str) -> tuple[int, UnicodeDecodeError | None]:
    """Return the line of the first byte that can't be decoded, and the error, if there is one."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)
    line, block = 1, b"-"
    try:
        while block:
            block = source.read(SAMPLE)
            line += decoder.decode(block, final=not block).count("\n")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode(error.encoding, errors="ignore")
        return line + len(re.findall("\r\n?|\n", before)), error
    except UnicodeError:  # such as that of UTF-16 without a mark
        pass
    return line, None


def _is_utf8_with_damage(sample: bytes, encoding: str) -> bool:
    """Return whether most characters outside ASCII of a file that is read as UTF-8 are valid."""
    if codecs.lookup(encoding).name not in ("utf-8", "utf-8-sig"):
        return False
    text = sample.decode(errors="replace")
    others = sum(not character.isascii() for character in text)
    return others > 2 * text.count("\ufffd")


def _check_header(record: pd.Series, name: str) -> list[str]:
    header = name_columns(record)
    require_distinct(header, name)
    _require_free(header, name)
    return header


def _require_free(names: Iterable[str], file: str) -> None:
    if MALFORMED in names:
        raise InputError(
            f"{file}: rename the column {MALFORMED!r}: malformed lines are marked in a column of "
            "that name"
        )


def _next_records(reader: Any, skipped: int) -> tuple[pd.DataFrame, dict[int, str]]:
    """Return the next well-formed records, and the problem of each malformed one by its number.

    Args:
        reader: Reader of pandas, which counts records from 1.
        skipped: Number of records before the header.

    """
    # Warnings are caught in the whole process, while another thread may read as well.
    with _CATCHING, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ParserWarning)
        records = next(reader, pd.DataFrame())
    problems = {
        int(line) - 1 - skipped: describe_surplus(int(saw), int(expected))
        for warning in caught
        for line, expected, saw in _SKIPPED.findall(str(warning.message))
    }
    return records, problems


def _number_records(
    records: pd.DataFrame, problems: dict[int, str], header: list[str], first: int
) -> pd.DataFrame:
    """Return records and malformed ones in the order of the file, indexed by their number."""
    numbers = pd.RangeIndex(first, first + len(records) + len(problems))
    rows = records.set_axis(numbers.drop(list(problems)))
    rows = rows.reindex(index=numbers, columns=range(len(header)), fill_value="").astype(str)
    rows.columns = [*header]
    return rows.assign(**{MALFORMED: [problems.get(number, "") for number in numbers]})


Row = tuple[int, dict[str, Any], str]  # number and cells of a row, and its problem, if any


def _read_json(file: FileToRead, options: dict[str, Any]) -> Iterator[pd.DataFrame]:
    """Yield the objects of JSON Lines, or of one array; fields that a row lacks are missing.

    Each frame has the fields of the first one and its own.
    """
    with file.open() as source:
        sample = source.read(SAMPLE)
    _require_text(sample, options["encoding"], file)
    encoding, errors = _find_encoding(sample, options["encoding"], file), options["encoding_errors"]
    beginning = sample.decode(encoding, errors="replace").lstrip()
    is_json = _find_suffix(file.name) == ".json"  # not JSON Lines, at least by its name
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
                _require_free(columns, file.name)
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
        raise _explain_encoding(file, encoding, error) from None
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
            yield _parse_line(number, line)


def _parse_line(number: int, line: str) -> Row:
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


def _read_parquet(file: FileToRead, options: dict[str, Any]) -> Iterator[pd.DataFrame]:
    with (
        file.open() as opened,
        _seekable(opened, file.name) as source,
        open_parquet(source, file.name) as table,
    ):
        batches: Iterable[Any] = table.iter_batches(batch_size=options["chunksize"])
        if not table.metadata.num_rows:
            batches = [table.schema_arrow.empty_table()]
        before = 0
        for batch in batches:
            yield make_frame(batch, before)
            before += batch.num_rows


@contextmanager
def _seekable(source: IO[bytes], name: str) -> Iterator[IO[bytes]]:
    """Yield a file, or a copy of one that is decompressed: to go back, it would begin anew."""
    if source.seekable() and not find_compression(name):
        yield source
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(source, copy)
        yield copy


@contextmanager
def open_parquet(source: IO[bytes], name: str, metadata: Any = None) -> Iterator[Any]:
    """Open a Parquet file as pyarrow's `ParquetFile`.

    Args:
        source: The file.
        name: Its name, for messages.
        metadata: Metadata from its footer, if that has been read before.

    Raises:
        InputError: It is not a complete Parquet file, even if this is noticed only in the `with`
            block.

    """
    pyarrow, parquet = _import_pyarrow(name)
    # A row group may be as large as the file, so it is read bit by bit. On another machine, each
    # bit would be a request of its own.
    is_local = "://" not in name
    reading = {"buffer_size": PARQUET_BUFFER, "pre_buffer": False} if is_local else {}
    try:
        with parquet.ParquetFile(source, metadata=metadata, **reading) as table:
            require_distinct(table.schema_arrow.names, name)
            _require_free(table.schema_arrow.names, name)
            yield table
    except (pyarrow.ArrowInvalid, OSError) as error:
        if isinstance(error, OSError) and not _is_damage(error):
            raise
        raise InputError(
            f"{name} is not a valid Parquet file ({get_first_line(error)}): download or export it "
            "again"
        ) from None


def make_frame(found: Any, before: int = 0) -> pd.DataFrame:
    """Return rows of a Parquet file as a data frame.

    Args:
        found: The rows, in a record batch or a table of pyarrow.
        before: Number of rows of the file before these.

    """
    plain = _replace_views(found)
    frame: pd.DataFrame = plain.to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True)
    frame = frame.set_axis(pd.RangeIndex(before + 1, before + len(frame) + 1))
    return frame.assign(**{MALFORMED: ""})


def _replace_views(found: Any) -> Any:
    """Return rows with usual types in place of views, with which pandas and pyarrow do little."""
    import pyarrow
    from pyarrow import types

    schema = found.schema
    for place, field in enumerate(schema):
        kind = field.type
        if types.is_string_view(kind):
            usual = pyarrow.large_string()
        elif types.is_binary_view(kind):
            usual = pyarrow.large_binary()
        elif types.is_list_view(kind) or types.is_large_list_view(kind):
            usual = pyarrow.large_list(kind.value_field)
        else:
            continue
        schema = schema.set(place, field.with_type(usual))
    return found if schema is found.schema else found.cast(schema)


def _import_pyarrow(name: str) -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(f'{name} needs pip install -e ".[tables]"') from error
    return pyarrow, pyarrow.parquet


def write_table(
    chunks: Iterable[pd.DataFrame], path: Path, name: str, save_args: dict[str, Any]
) -> None:
    """Write data frames to one file; the first one names the columns.

    Args:
        chunks: The data frames.
        path: Path on this machine to write to.
        name: Path or URL that the file will have; its suffixes tell format and compression.
        save_args: Arguments of `pandas.DataFrame.to_csv`, for a CSV.

    Raises:
        InputError: The format can't be written, or has no place for the columns of a later chunk;
            or an argument is not known, or the encoding lacks a character.

    """
    form = find_format(name)
    _require_compression(name)
    if save_args and form in (JSON_LINES, PARQUET):
        raise InputError(f"{name}: save_args apply only to CSV files: remove them")
    delimiter = {"sep": "\t"} if _find_suffix(name) in TABS else {}
    options = _complete_save_args(delimiter | save_args)
    with _open_compressed(path, name) as file:
        if form == JSON_LINES:
            _write_json_lines(chunks, file)
        elif form == PARQUET:
            _write_parquet(_simplify(chunks, name, _is_mixed), file, name)
        else:
            _write_csv(_simplify(chunks, name, _is_object), file, name, options)


def _complete_save_args(save_args: dict[str, Any]) -> dict[str, Any]:
    known = {*SAVE_ARGS, *CSV_SAVE_ARGS}
    if unknown := sorted(save_args.keys() - known):
        raise InputError(
            f"save_args of a TableDataset can't have {', '.join(unknown)}: choose from "
            f"{', '.join(sorted(known))}"
        )
    options = SAVE_ARGS | save_args
    options["encoding"] = _find_codec(options["encoding"], "encoding in save_args")
    _require_handler(options["errors"], "errors in save_args")
    return options


def _simplify(
    chunks: Iterable[pd.DataFrame], name: str, needs_strings: Callable[[Any], bool]
) -> Iterator[pd.DataFrame]:
    """Yield chunks that all have the columns of the first, with strings in place of some types."""
    columns: list[str] | None = None
    for chunk in chunks:
        columns = columns or list(chunk.columns)
        if surplus := sorted(set(chunk.columns) - set(columns)):
            raise InputError(
                f"{name} has no column for {surplus[0]!r}, which first occurs in row "
                f"{chunk.index[0]} or later: choose an output file that ends with .jsonl"
            )
        found = [name for name in columns if name in chunk and needs_strings(chunk[name].dtype)]
        plain = chunk.copy(deep=False)
        for column in found:
            plain[column] = _untype(chunk[column])
        yield plain.reindex(columns=columns)


def _is_mixed(dtype: Any) -> bool:
    """Return whether the cells of a column may have different types."""
    return pd.api.types.is_object_dtype(dtype)


def _is_object(dtype: Any) -> bool:
    """Return whether the cells of a column are any objects, also those of Arrow, such as lists."""
    return _is_mixed(dtype) or (isinstance(dtype, pd.ArrowDtype) and dtype.kind == "O")


def _untype(cells: pd.Series) -> pd.Series:
    """Return cells of any types as strings, or None where they are missing."""
    pairs = zip(to_strings(cells), cells.isna(), strict=True)
    strings = [None if is_missing else text for text, is_missing in pairs]
    if _is_mixed(cells.dtype):  # its floats were floats in the file, too
        strings = [
            repr(cell) if text and type(cell) is float else text
            for cell, text in zip(cells.tolist(), strings, strict=True)
        ]
    return pd.Series(strings, index=cells.index, dtype="str")


def _write_csv(
    chunks: Iterable[pd.DataFrame], file: IO[bytes], name: str, options: dict[str, Any]
) -> None:
    encoding = options["encoding"]
    with _as_text(file, encoding, options["errors"]) as text:
        for number, chunk in enumerate(chunks):
            try:
                chunk.to_csv(text, header=number == 0, **options)
            except UnicodeEncodeError as error:
                raise InputError(
                    f"{name} can't contain {error.object[error.start]!r} in {encoding}: set "
                    "another encoding in its save_args, such as utf-8-sig"
                ) from error


def _write_json_lines(chunks: Iterable[pd.DataFrame], file: IO[bytes]) -> None:
    with _as_text(file) as text:
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


@contextmanager
def _as_text(file: IO[bytes], encoding: str = "utf-8", errors: str = "strict") -> Iterator[IO[str]]:
    text = io.TextIOWrapper(file, encoding, errors, newline="")
    try:
        yield text
    finally:
        text.detach()  # flushes, and leaves the file open


def _write_parquet(chunks: Iterable[pd.DataFrame], file: IO[bytes], name: str) -> None:
    """Write chunks whose columns have the types of the first; columns without a type are text."""
    pyarrow, parquet = _import_pyarrow(name)
    chunks = iter(chunks)
    first = pyarrow.Table.from_pandas(next(chunks, pd.DataFrame()), preserve_index=False)
    schema = first.schema.remove_metadata()
    for place, field in enumerate(schema):
        if pyarrow.types.is_null(field.type):
            schema = schema.set(place, field.with_type(pyarrow.string()))
    with parquet.ParquetWriter(file, schema) as writer:
        writer.write_table(first.cast(schema))
        for chunk in chunks:
            if chunk.empty:
                continue  # the types of its columns say nothing
            try:
                table = pyarrow.Table.from_pandas(chunk, schema, preserve_index=False)
            except pyarrow.ArrowException as error:
                reason = "; ".join(map(str, error.args))
                raise InputError(
                    f"{name} can't have the rows from {chunk.index[0]} on, where a column has "
                    f"values of another type than before ({reason}): choose an output file "
                    "that ends with .jsonl or .csv"
                ) from error
            writer.write_table(table)
