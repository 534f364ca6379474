"""Files that appear under their name only when they are complete.

A run can be killed at any moment. Whatever is written here goes to a temporary file in the same
folder, which takes the final name at the end, so no later run loads half a pickle or half a model.
What a killed run leaves is a hidden file with `partial` in its name. Nothing reads it, and the next
save a day later removes it.
"""

import glob
import os
import shutil
import stat
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from kedro.io import DatasetError
from kedro.io.core import (
    VERSION_KEY,
    AbstractVersionedDataset,
    Version,
    get_protocol_and_path,
    parse_dataset_definition,
)

from imdb_sentiment.errors import InputError

MAX_AGE = 24 * 60 * 60  # seconds after which a temporary file is a leftover
IS_WINDOWS = os.name == "nt"
PAUSES = (0.1, 0.3, 1.0)  # seconds to wait for a program that has a file open for a moment


@contextmanager
def atomic_write(path: PurePath) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; rename it to `path` if the block succeeds.

    A file that is replaced passes its permissions on, so what is private is never public.

    Args:
        path: The final path. Its folder is made if it is missing. If it is a link to a file that
            may be written, this file is replaced; any other link itself.

    Yields:
        The path to write to, removed if the block raises. No other process has the same one. It
        keeps the suffix, since some libraries choose a format by it.

    """
    final, suffix = _follow(Path(str(path))), path.suffix
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = final.with_name(f".{final.stem}.{uuid.uuid4().hex}.partial{suffix}")
    try:
        with suppress(OSError):  # there is no earlier file
            partial.touch(0o200 | stat.S_IMODE(final.stat().st_mode))
        yield partial
        _write_to_disk(partial)  # else a power failure could leave an empty file under its name
        with suppress(OSError):  # as before, or the file system has no permissions
            shutil.copymode(final, partial)
        _replace(partial, final)
        _remove_leftovers(final, suffix)
    finally:
        partial.unlink(missing_ok=True)


def _follow(path: Path) -> Path:
    """Return the file that a link leads to, or the path itself.

    Links into a store of versions, whose files must not change, lead to files that are read-only.
    """
    target = Path(os.path.realpath(path))  # unlike `resolve`, without errors about loops
    is_open = target.is_file() and os.access(target, os.W_OK) and os.access(target.parent, os.W_OK)
    return target if is_open else path


def _replace(partial: Path, final: Path) -> None:
    """Give a file its final name.

    Raises:
        InputError: Another program has the earlier file open, so Windows does not replace it.

    """
    for pause in PAUSES if IS_WINDOWS else ():
        with suppress(PermissionError):
            partial.replace(final)
            return
        time.sleep(pause)
    try:
        partial.replace(final)
    except PermissionError as error:
        if not IS_WINDOWS:
            raise
        raise InputError(
            f"{final} can't be replaced, since another program or notebook has it open: close it "
            "there, and repeat the command"
        ) from error


def _write_to_disk(path: Path) -> None:
    """Wait until the content of a file is on the disk, not only in the system's memory."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _remove_leftovers(final: Path, suffix: str) -> None:
    """Remove temporary files of killed runs; younger ones may belong to a run that goes on."""
    for left in final.parent.glob(f".{glob.escape(final.stem)}.*.partial{suffix}"):
        with suppress(OSError):  # gone already, or another user's: the save itself has succeeded
            if time.time() - left.stat().st_mtime > MAX_AGE:
                left.unlink()


class AtomicDataset(AbstractVersionedDataset[Any, Any]):
    """Saves through another dataset, under the final name only when the file is complete.

    The nested dataset always writes to this machine. For another file system, the complete file is
    then uploaded.

    Args:
        filepath: Path or URL of the file.
        dataset: Type of the nested dataset, or its catalog entry without `filepath`.
        version: Version to load and to save; Kedro makes it from `versioned: true`.
        metadata: Metadata for plugins; ignored by Kedro.

    Raises:
        ValueError: If the nested dataset is versioned, instead of this one.

    """

    def __init__(
        self,
        *,
        filepath: str,
        dataset: str | dict[str, Any],
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        entry = {"type": dataset} if isinstance(dataset, str) else dataset
        self._type, self._options = parse_dataset_definition(entry)
        if VERSION_KEY in self._options:
            raise ValueError("set `versioned` next to `dataset`, not inside it")
        protocol, path = get_protocol_and_path(filepath, version)
        self._prefix = "" if protocol in LocalFileSystem.protocol else f"{protocol}://"
        given = {**(self._options.get("credentials") or {}), **(self._options.get("fs_args") or {})}
        options = {name: value for name, value in given.items() if not name.startswith("open_args")}
        self._filesystem = fsspec.filesystem(protocol, **options)
        super().__init__(
            PurePosixPath(path), version, self._filesystem.exists, self._filesystem.glob
        )
        self.metadata = metadata
        self._nested(self._filepath)  # wrong options are reported now, not after the node has run

    def load(self) -> Any:
        """Return what the nested dataset loads."""
        return self._nested(self._get_load_path()).load()

    def save(self, data: Any) -> None:
        """Save `data` with the nested dataset."""
        path = self._get_save_path()
        if not self._prefix:
            with atomic_write(path) as partial:
                self._save_nested(partial, data)
            return
        with tempfile.TemporaryDirectory() as folder:
            whole = Path(folder) / path.name
            self._save_nested(whole, data)
            self._filesystem.put_file(str(whole), str(path))

    @property
    def preview(self) -> Any:
        """The nested dataset's `preview`; Kedro-Viz chooses how to draw it by its signature.

        Raises:
            AttributeError: If the nested dataset has none.

        """
        path = self._get_load_path() if self.exists() else self._filepath
        return self._nested(path).preview

    def _nested(self, path: PurePath) -> Any:
        return self._type(**{"filepath": f"{self._prefix}{path}", **self._options})

    def _save_nested(self, path: Path, data: Any) -> None:
        """Save `data` to a temporary file on this machine."""
        try:
            self._type(**{"filepath": str(path), **self._options}).save(data)
        except DatasetError as error:  # it names the temporary file; Kedro will name this one
            raise error.__cause__ or error from None

    def _exists(self) -> bool:
        return bool(self._nested(self._get_load_path()).exists())

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "dataset": self._type.__name__}
