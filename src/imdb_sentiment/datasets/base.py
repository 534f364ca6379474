"""What the datasets have in common."""

import errno
import itertools
import re
import tempfile
import uuid
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, TypeVar

import fsspec
from fsspec.core import has_magic, split_protocol
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import glob_translate
from kedro.io import AbstractDataset, DatasetError
from kedro.io.core import AbstractVersionedDataset, Version, get_protocol_and_path

from imdb_sentiment.datasets.atomic import atomic_write
from imdb_sentiment.errors import InputError, get_first_line, install_extra, is_disk_error
from imdb_sentiment.urls import hide_secrets

MEGABYTE = 1e6  # unit of progress, in bytes

# Protocols of servers on which an upload that breaks off leaves a part of the file. In clouds, an
# object appears when it is complete.
SERVERS = {"ftp", "sftp", "ssh"}

T = TypeVar("T")


class Stream(Iterable[T]):
    """An iterable that can be iterated more than once, with one item in memory at a time.

    Args:
        open_stream: Function that returns a new iterator; called at the start of each iteration.

    """

    def __init__(self, open_stream: Callable[[], Iterator[T]]) -> None:
        self._open_stream = open_stream

    def __iter__(self) -> Iterator[T]:
        return self._open_stream()


def require_local(filepath: str) -> Path:
    """Return the path of a file on this machine.

    Args:
        filepath: Path from the catalog.

    Raises:
        InputError: If it is a URL of another file system, such as `s3://bucket/name`.

    """
    protocol, path = get_protocol_and_path(filepath)
    if protocol not in LocalFileSystem.protocol:
        raise InputError(f"{filepath} is not a local path: use a path on this machine")
    return Path(path)


class FileDataset(AbstractVersionedDataset[Any, Any]):
    """Base class of datasets that are one file, on this machine or elsewhere.

    The file appears under its name only when it is complete: here and on FTP and SFTP servers by
    renaming it, in clouds by uploading it. A URL is never mistaken for a path on this machine.

    Args:
        filepath: Path or URL of the file.
        credentials: Options of the file system that the file lies in.
        fs_args: Further options of the file system.
        version: Version to load and to save; Kedro makes it from `versioned: true`.
        metadata: Metadata for plugins; ignored by Kedro.

    """

    def __init__(
        self,
        *,
        filepath: str,
        credentials: dict[str, Any] | None = None,
        fs_args: dict[str, Any] | None = None,
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        protocol, self._address = split_protocol(filepath)
        self._is_local = protocol in (None, *LocalFileSystem.protocol)
        self._protocol: str = "file" if self._is_local else protocol
        self._fs_options = {**(credentials or {}), **(fs_args or {})}
        super().__init__(
            PurePosixPath(self._address),
            version,
            exists_function=lambda path: bool(self._filesystem.exists(path)),
            glob_function=lambda pattern: list(self._filesystem.glob(pattern)),
        )
        self.metadata = metadata

    def save(self, data: Any) -> None:
        """Write `data` to the file.

        Raises:
            InputError: The place can't be reached, or no file can be there.

        """
        target = self._get_save_path()
        if self._is_local:
            _require_place(Path(str(target)))  # Python 3.11 misreads C:/ of a POSIX path
            with atomic_write(target) as partial:
                self._write(partial, data)
            return
        with tempfile.TemporaryDirectory() as folder:
            partial = Path(folder) / target.name
            self._write(partial, data)
            with self._explaining(target):
                self._upload(partial, self._to_string(target))

    def _upload(self, file: Path, target: str) -> None:
        if self._protocol not in SERVERS:
            self._filesystem.put_file(str(file), target)
            return
        folder, slash, name = target.rpartition("/")
        partial = f"{folder}{slash}.{name}.{uuid.uuid4().hex}.partial"
        try:
            self._filesystem.put_file(str(file), partial)
        except BaseException:
            with suppress(Exception):
                self._filesystem.rm_file(partial)
            raise
        try:
            self._filesystem.mv(partial, target)
        except Exception:  # some servers replace no file by renaming another
            if not self._filesystem.exists(target):
                raise
            self._filesystem.rm_file(target)
            self._filesystem.mv(partial, target)

    @abstractmethod
    def _write(self, path: Path, data: Any) -> None:
        """Write `data` to a file on this machine, whose name ends as the final one."""

    @contextmanager
    def _reading(self) -> Iterator[Path]:
        """Yield the path of the file, or that of a copy on this machine."""
        path = self._get_load_path()
        if self._is_local:
            yield Path(str(path))
            return
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / path.name
            with self._explaining(path):
                self._filesystem.get_file(self._to_string(path), str(copy))
            yield copy

    @property
    def _filesystem(self) -> Any:
        with self._explaining(self._filepath):  # some file systems connect at once
            try:
                return fsspec.filesystem(self._protocol, **self._fs_options)
            except ImportError as error:
                raise InputError(
                    f"{self._name(self._filepath)} can't be reached ({error}): install that "
                    f"package, for S3 with {install_extra('s3')}"
                ) from error

    def _name(self, path: PurePath | str) -> str:
        """Return a path of the file system as users write it, without secrets of a URL."""
        return str(hide_secrets(self._locate(path)))

    def _locate(self, path: PurePath | str) -> str:
        """Return a path of the file system as users write it."""
        start = "" if self._is_local else f"{self._protocol}://"
        given = self._to_string(path)
        return given if given.startswith(start) else f"{start}{given}"

    def _to_string(self, path: PurePath | str) -> str:
        """Return a path for the file system; that of a URL as it was given.

        A path on this machine stays the same with one slash instead of two, and without the last
        one; that of a URL does not.
        """
        return str(path) if self._is_local or path != self._filepath else self._address

    @contextmanager
    def _explaining(self, path: PurePath | str) -> Iterator[None]:
        """Convert the errors of remote file systems to an `InputError` of one line.

        Each file system has errors of its own, so every exception counts as one of them (also a
        TypeError, by a misspelt credential), except a few that can only come from this program, and
        those of the disk that a copy is written to.
        """
        try:
            yield
        except (InputError, MemoryError, LookupError, AttributeError):
            raise
        except Exception as error:
            is_denied = isinstance(error, PermissionError)  # by the other file system
            if self._is_local or (is_disk_error(error) and not is_denied):
                raise
            if isinstance(error, FileNotFoundError):
                message = f"{self._name(path)} does not exist: check the address and the folder"
                raise InputError(message) from error
            reason = hide_secrets(get_first_line(error))
            raise InputError(
                f"{self._name(path)} can't be reached ({reason}): check the address and the "
                "credentials, which belong in conf/local/credentials.yml"
            ) from error

    def _exists(self) -> bool:
        path = self._get_load_path()
        with self._explaining(path):
            return bool(self._filesystem.isfile(self._to_string(path)))

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._name(self._filepath)}


def _require_place(target: Path) -> None:
    """Raise `InputError` if no file can be written to a path."""
    if target.is_dir():
        raise InputError(f"{target} is a folder: add the name of a file")
    for folder in target.parents:
        if folder.is_dir():
            return
        if folder.exists():
            raise InputError(f"{folder} is a file, so {target} can't be in it: use another path")


def list_files(filesystem: Any, given: str) -> list[str]:
    """Return the sorted paths of the files of a folder or a pattern, except hidden ones.

    The names of hidden files and folders begin with `.` or `_`, as do those of files that other
    programs add, such as `_SUCCESS` and `_temporary`. Links are followed. fsspec's own `find` and
    `glob` would leave out linked folders and whatever can't be listed.

    Args:
        filesystem: The file system, of fsspec.
        given: The folder or pattern; its own names may begin with any character.

    Raises:
        InputError: A link leads nowhere or back to itself or a folder above it, or a path is no
            file.

    """
    filesystem.invalidate_cache()  # a notebook may read again what has been added meanwhile
    path = filesystem._strip_protocol(given)
    if filesystem.isdir(path):
        return sorted(_walk(filesystem, path, [], lambda _: True, is_deep=True))
    parts = path.split("/")
    n_known = len(list(itertools.takewhile(lambda part: not has_magic(part), parts)))
    folder = "/".join(parts[:n_known]) or filesystem.root_marker
    if not filesystem.isdir(folder):
        return []
    is_deep = "**" in parts
    n_levels = parts.index("**") if is_deep else len(parts)
    levels = ["/".join(parts[: n + 1]) for n in range(n_known, n_levels)]
    matchers = list(map(_compile, levels))
    return sorted(_walk(filesystem, folder, matchers, _compile(path), is_deep=is_deep))


def _compile(pattern: str) -> Callable[[str], Any]:
    return re.compile(glob_translate(pattern)).match


def _walk(
    filesystem: Any,
    folder: str,
    levels: Sequence[Callable[[str], Any]],
    matches: Callable[[str], Any],
    *,
    is_deep: bool,
) -> Iterator[str]:
    """Yield the paths of the files in a folder.

    Args:
        filesystem: The file system.
        folder: The folder.
        levels: For each level below the folder, whether a path may lead to files; others are not
            looked at.
        matches: Whether the path of a file matches.
        is_deep: Whether there may be further levels.

    """
    for entry in filesystem.ls(folder, detail=True):
        path, kind = entry["name"].rstrip("/"), entry["type"]
        is_hidden = PurePosixPath(path).name.startswith((".", "_"))
        if path == folder and kind == "directory" and (is_deep or len(levels) > 1):
            _require_names(filesystem, folder)
        is_wanted = levels[0](path) if levels else is_deep
        if path == folder or is_hidden or not is_wanted:
            continue
        if kind not in ("file", "directory"):
            kind = _follow_link(filesystem, path)
        if kind == "directory":
            if is_deep or len(levels) > 1:
                yield from _walk(filesystem, path, levels[1:], matches, is_deep=is_deep)
        elif len(levels) <= 1 and matches(path):
            if kind != "file":
                raise InputError(
                    f"{path} is {kind}: remove it, or use a pattern that leaves it out"
                )
            yield path


def _require_names(filesystem: Any, folder: str) -> None:
    """Raise `InputError` if a folder of an object store has files whose names begin with `/`."""
    if any(path.startswith(f"{folder}//") for path in filesystem.find(folder)):
        raise InputError(f"{folder}// can't be listed: rename the files in it, without a second /")


def _follow_link(filesystem: Any, path: str) -> str:
    """Return what a link leads to: `file`, `directory`, or a description of anything else."""
    try:
        kind = str(filesystem.info(path)["type"])
    except FileNotFoundError:
        return "a link to a file that does not exist"
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        parts = path.split("/")
        first = "/".join(parts[: parts.index(parts[-1]) + 1])
        raise InputError(
            f"the link {first} leads back to itself or to a folder above it: remove it, or use a "
            "pattern that leaves it out"
        ) from error
    return kind if kind in ("file", "directory") else "neither a file nor a folder"


class LoadOnlyDataset(AbstractDataset[None, T]):
    """Base class of datasets that can always be loaded, and never saved."""

    def save(self, data: None) -> None:
        """Refuse to save.

        Raises:
            DatasetError: Always.

        """
        raise DatasetError(f"{self} can only be loaded")

    def _exists(self) -> bool:
        return True
