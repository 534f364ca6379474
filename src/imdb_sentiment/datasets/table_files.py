"""The files of tables: what their names tell, and how they are opened and compressed."""

import bz2
import gzip
import io
import itertools
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import fsspec
import pyarrow as pa
from fsspec.core import OpenFile
from fsspec.implementations.local import LocalFileSystem

from imdb_sentiment.errors import InputError, list_names

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
TABS = (".tsv", ".tab")
ZIP, ZSTD = "zip", "zstd"
COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zip": ZIP, ".zst": ZSTD}
# Decompressors of a stream, and the number of zero bytes that may follow it, any number of times.
DECOMPRESSORS: dict[str, tuple[Callable[[], Any], int]] = {
    "bz2": (bz2.BZ2Decompressor, 1),
    "xz": (lzma.LZMADecompressor, 4),
}
COMPRESSED_BLOCK = 1 << 16  # number of bytes that are decompressed at once
# Errors of damaged files; the RuntimeError is that of a ZIP that is encrypted or of a newer kind.
DAMAGE = (
    EOFError,
    RuntimeError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zipfile.BadZipFile,
    zlib.error,
)


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


def has_table_suffix(name: str) -> bool:
    """Return whether the end of a file's name says that it is a table, or a compressed one."""
    return find_suffix(name) in {".csv", ".txt", *TABS, *FORMATS}


def find_format(name: str) -> str:
    """Return the format that a file's name tells.

    Raises:
        InputError: It can't be read or written in chunks.

    """
    suffix = find_suffix(name)
    if suffix in OTHERS:
        raise InputError(
            f"{name}: {OTHERS[suffix]} files are not supported: save the table as CSV UTF-8, or "
            "name a dataset of kedro-datasets in conf/local/catalog.yml (docs/data.md)"
        )
    return FORMATS.get(suffix, CSV)


def find_suffix(name: str) -> str:
    """Return the suffix of a file's name, in lower case, without that of a compression."""
    path = parse_path(name)
    return (path.with_suffix("") if find_compression(name) else path).suffix.lower()


def find_compression(name: str) -> str | None:
    """Return fsspec's name of the compression that a file's name tells, or None."""
    return COMPRESSIONS.get(parse_path(name).suffix.lower())


def parse_path(name: str) -> PurePosixPath:
    """Return a path, or that of a URL without its query."""
    return PurePosixPath(name.partition("?")[0] if "://" in name else name)


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
        with OpenFile(filesystem, path, "rb") as file:
            on_open(file)
            with io.BufferedReader(pa.CompressedInputStream(file, ZSTD)) as whole:
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
def open_compressed(path: Path, name: str) -> Iterator[IO[bytes]]:
    """Open a file on this machine to write it, compressed as `name` tells."""
    compression = find_compression(name)
    if compression == ZIP:
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open(parse_path(name).stem, "w", force_zip64=True) as member,
        ):
            yield member
        return
    with OpenFile(LocalFileSystem(), str(path), "wb", compression=compression) as file:
        yield file


def is_damage(error: Exception) -> bool:
    """Return whether an error tells of a file's content, not that it can't be read."""
    # The operating system's errors have a number; those of decompressors have none.
    is_plain = type(error) is OSError and error.errno is None
    return is_plain or isinstance(error, DAMAGE)
