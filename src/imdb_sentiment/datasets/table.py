"""Tables provided by users, in the format that their suffix tells, as streams of data frames."""

import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

import pandas as pd
from fsspec.implementations.local import LocalFileSystem
from kedro.io.core import Version
from kedro_datasets._typing import TablePreview

from imdb_sentiment.datasets.base import MEGABYTE, FileDataset, Stream, list_files
from imdb_sentiment.datasets.csv_format import complete_options, find_options
from imdb_sentiment.datasets.csv_parts import can_divide, check_marks, divide_csv, join_small_parts
from imdb_sentiment.datasets.parquet_parts import divide_parquet
from imdb_sentiment.datasets.parts import Part
from imdb_sentiment.datasets.table_files import (
    CSV,
    JSON_LINES,
    PARQUET,
    FileToRead,
    find_compression,
    find_format,
    open_decompressed,
)
from imdb_sentiment.datasets.table_formats import read_table, write_table
from imdb_sentiment.errors import InputError, list_names, make_printable
from imdb_sentiment.progress import Task
from imdb_sentiment.text.tables import MALFORMED

logger = logging.getLogger(__name__)

WEB = ("http", "https")
NOTHING = 1000  # bytes that suffice to compress zero bytes, with the file's name
SILENCE = 60  # seconds for which a server may send nothing


@cache  # a table is read several times
def _tell_of_empty(paths: tuple[str, ...]) -> None:
    names = make_printable(list_names([PurePosixPath(path).name for path in paths]))
    logger.info("Empty files are left out (%d): %s", len(paths), names)


class TableStream(Stream[pd.DataFrame]):
    """A stream of data frames, some of which other processes can read.

    Args:
        open_parts: Function that returns a new iterator of data frames and of functions that read
            one.

    Attributes:
        parts: The function `open_parts`.

    """

    def __init__(
        self, open_parts: Callable[[], Iterator[pd.DataFrame | Callable[[], pd.DataFrame]]]
    ) -> None:
        super().__init__(lambda: (part() if callable(part) else part for part in open_parts()))
        self.parts = open_parts


class TableDataset(FileDataset):
    """A table of any length, provided by a user, as a stream of data frames.

    The file suffix determines the format: `.jsonl` or `.ndjson` for JSON Lines, `.json` for an
    array of objects or JSON Lines, `.parquet`, `.tsv`; anything else is a CSV. After it, `.gz`,
    `.bz2`, `.xz`, `.zip` (of one file) or `.zst` tells a compression. A folder, or a pattern such
    as `reviews/*.csv`, stands for all its files in the order of their names, except those whose
    name, or that of a folder below the given one, begins with `.` or `_`.

    The stream can be iterated more than once. Each frame is indexed by the number of the row,
    counted from 1 after the header (in JSON Lines, by the number of the line; over several files,
    rows are counted on). A row that can't be read stays in its place and is empty except for the
    column `_malformed`, which says what is wrong with it; in all other rows that column is empty.
    Cells of a CSV are strings; those of other formats keep their types.

    An iterable of data frames is saved; the first one names the columns.

    Args:
        filepath: Path or URL of the file; None for an empty stream.
        load_args: `chunksize`, the number of rows per frame; `encoding`; `encoding_errors`, such as
            `replace` for a damaged file; for a CSV also `sep`, the delimiter or its name, or `auto`
            to recognise it, and `quotechar`, `quoting`, `escapechar` and `skipinitialspace` of
            `pandas.read_csv`.
        save_args: Arguments of `pandas.DataFrame.to_csv`, if the file is a CSV; among them not
            `header`, since it is written once.
        credentials: Options of the file system that the file lies in.
        fs_args: Further options of the file system.
        version: Version to load and to save; Kedro makes it from `versioned: true`.
        prefix: Start of the names of the parameters that give encoding and delimiter, such as
            `reviews` for `reviews_encoding` and `reviews_delimiter`, for messages; None if there
            are no such parameters.
        metadata: Metadata for plugins; ignored by Kedro.

    Attributes:
        is_named: Whether there is a file.

    Loading or iterating raises:
        InputError: The file is missing or empty, in another format or encoding than it should be,
            incomplete, or has two columns of the same name, or one named `_malformed`; or
            `load_args` has other arguments.

    """

    def __init__(
        self,
        *,
        filepath: str | None,
        load_args: dict[str, Any] | None = None,
        save_args: dict[str, Any] | None = None,
        credentials: dict[str, Any] | None = None,
        fs_args: dict[str, Any] | None = None,
        version: Version | None = None,
        prefix: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            filepath=filepath or "",
            credentials=credentials,
            fs_args=fs_args,
            version=version,
            metadata=metadata,
        )
        self.is_named = filepath is not None
        self._downloads: tempfile.TemporaryDirectory[str] | None = None
        self._load_args = load_args or {}
        self._save_args = save_args or {}
        self._prefix = prefix

    def load(self) -> Stream[pd.DataFrame]:
        """Return the stream of chunks."""
        if not self.is_named:
            return Stream(lambda: iter(()))
        files = self._list_files()
        if not files:
            raise InputError(
                f"{self._name(self._get_load_path())} does not exist: put the file there, or pass "
                "the name of a file in data/01_raw, a full path or a URL"
            )
        if len(files) == 1:
            return TableStream(lambda: self._divide(files))
        files = self._leave_out_empty(files)
        rows = complete_options(self._load_args, self._prefix)["chunksize"]
        return TableStream(lambda: join_small_parts(self._divide(files), rows))

    def preview(self, nrows: int = 5) -> TablePreview:
        """Return the first rows, for Kedro-Viz."""
        chunk = next(iter(self.load()), pd.DataFrame({MALFORMED: []}))
        return TablePreview(chunk.drop(columns=MALFORMED).head(nrows).to_dict(orient="split"))

    def _list_files(self) -> list[str]:
        """Return the paths of the files: one, or several of a folder or a pattern."""
        filesystem, path = self._filesystem, self._to_string(self._get_load_path())
        if self._protocol in WEB:
            return [self._locate(path)]
        with self._explaining(path):
            if filesystem.isfile(path):
                return [path]
            return list_files(filesystem, path)

    def _leave_out_empty(self, files: list[str]) -> list[str]:
        """Return the files that are not empty, or all files if all are."""
        found: list[str] = []
        empty: list[str] = []
        for path in files:
            with self._explaining(path):
                (empty if self._is_empty(path) else found).append(path)
        if not (found and empty):
            return files
        _tell_of_empty(tuple(empty))
        return found

    def _is_empty(self, path: str) -> bool:
        """Return whether a file has not a single byte, after decompression."""
        size = self._filesystem.size(path)
        if not size or size > NOTHING or not find_compression(path):
            return bool(size == 0)
        try:
            with self._opener(path, lambda _: None)() as file:
                return not file.read(1)
        except Exception:  # reading the table will say what is wrong with it
            return False

    def _divide(self, files: list[str]) -> Iterator[pd.DataFrame | Part]:
        """Yield the rows: read, or as parts that can be read anywhere."""
        rows_before = 0
        columns: list[str] = []
        moved: pd.DataFrame | Part
        for path in files:
            name, last_row = self._name(path), 0
            opened: list[IO[bytes]] = []  # it is opened first to look at its beginning
            file = FileToRead(name, self._opener(path, opened.append), self._prefix)
            task = f"Reading {PurePosixPath(path).name}"
            with self._explaining(path), Task(task, self._measure(path), "MB") as progress:
                for chunk in self._open(path, file):
                    if isinstance(chunk, Part):
                        progress.update(chunk.position / MEGABYTE)
                        found = columns if last_row else chunk.read_columns()
                        last_row = chunk.before + chunk.rows
                        moved = replace(chunk, before=chunk.before + rows_before)
                    else:
                        if not opened[-1].closed:  # else this is the rest of a CSV in parts
                            progress.update(opened[-1].tell() / MEGABYTE)
                        found = list(chunk.columns)
                        last_row = max([last_row, *chunk.index[-1:]])
                        moved = chunk.set_axis(chunk.index + rows_before)
                    columns = columns or found
                    if find_format(name) != JSON_LINES:
                        _require_columns(found, columns, name, self._name(files[0]))
                    yield moved
            if len(files) > 1:
                logger.debug("Rows %d to %d: %s", rows_before + 1, rows_before + last_row, name)
            rows_before += last_row

    def _read_and_check(self, path: str, file: FileToRead) -> Iterator[pd.DataFrame]:
        """Yield the rows of a compressed CSV; warn if a quotation mark has joined some of them."""
        n_rows = 0
        for chunk in read_table(file, self._load_args):
            n_rows += len(chunk)
            yield chunk
        if n_rows:
            check_marks(path, file, find_options(file, self._load_args))

    def _open(self, path: str, file: FileToRead) -> Iterator[pd.DataFrame | Part]:
        """Return the rows of one file."""
        is_plain = self._is_local and not find_compression(path)
        if is_plain and find_format(path) == CSV:
            options = find_options(file, self._load_args)
            if can_divide(self._load_args, options):
                return divide_csv(path, options, self._prefix)
            check_marks(path, file, options)
        elif self._is_local and find_format(path) == CSV:
            return self._read_and_check(path, file)
        if is_plain and find_format(path) == PARQUET:
            parts = divide_parquet(
                path, complete_options(self._load_args, self._prefix)["chunksize"]
            )
            if parts is not None:
                return parts
        return read_table(file, self._load_args)

    def _opener(self, path: str, on_open: Callable[[IO[bytes]], None]) -> Callable[[], Any]:
        if self._protocol in WEB:
            return partial(self._open_download, path, on_open)
        return partial(open_decompressed, self._filesystem, path, self._name(path), on_open)

    @contextmanager
    def _open_download(self, url: str, on_open: Callable[[IO[bytes]], None]) -> Iterator[IO[bytes]]:
        """Open a copy of a file at a URL; it is downloaded once, since a table is read repeatedly.

        Besides, not every server can send a part of a file, or tell its size.
        """
        if self._downloads is None:
            self._downloads = tempfile.TemporaryDirectory(prefix="imdb_sentiment-downloads-")
        suffix = PurePosixPath(url.partition("?")[0]).suffix  # which tells the compression
        copy = Path(self._downloads.name) / f"table{suffix}"
        if not copy.exists():
            usual = self._filesystem  # or an error if a package is missing
            import aiohttp

            patient = aiohttp.ClientTimeout(total=None, sock_connect=SILENCE, sock_read=SILENCE)
            options = {"client_kwargs": {"timeout": patient}, **self._fs_options}
            partial_copy = copy.with_name("partial")
            type(usual)(**options).get_file(url, str(partial_copy))
            partial_copy.rename(copy)
        with open_decompressed(LocalFileSystem(), str(copy), self._name(url), on_open) as file:
            yield file

    def _measure(self, path: str) -> float:
        """Return the size of a file in MB; 0 if it is unknown or does not indicate progress.

        Parquet files are not read from beginning to end.
        """
        if self._protocol in WEB or find_format(path) == PARQUET:
            return 0
        return (self._filesystem.size(path) or 0) / MEGABYTE

    def _write(self, path: Path, data: Iterable[pd.DataFrame]) -> None:
        write_table(data, path, self._name(self._filepath), self._save_args)

    def _exists(self) -> bool:
        return not self.is_named or bool(self._list_files())

    def _describe(self) -> dict[str, Any]:
        return super()._describe() if self.is_named else {"filepath": ""}


def _require_columns(found: list[str], columns: list[str], name: str, first: str) -> None:
    """Raise `InputError` if a file has other columns than the first one."""
    missing, further = sorted(set(columns) - set(found)), sorted(set(found) - set(columns))
    if missing or further:
        raise InputError(
            f"{name} does not have the same columns as {first}"
            + (f"; missing: {', '.join(missing)}" if missing else "")
            + (f"; additional: {', '.join(further)}" if further else "")
            + ": give all files the same header, or take this one out of the folder"
            + (
                "; if each file is one text, put them into one table"
                if name.endswith(".txt")
                else ""
            )
        )
