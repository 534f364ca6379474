"""Files that appear under their name only when they are complete.

A run can be killed at any moment. Whatever is written here goes to a temporary file in the same
folder, which takes the final name at the end, so no later run loads half a pickle or half a model.
What a killed run leaves is a hidden file with `partial` in its name. Nothing reads it, and the next
save a day later removes it.
"""

import glob
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath

from imdb_sentiment.errors import InputError, is_disk_error

MAX_AGE = 24 * 60 * 60  # seconds after which a temporary file is a leftover
IS_WINDOWS = os.name == "nt"
PAUSES = (0.1, 0.3, 1.0)  # seconds to wait for a program that has a file open for a moment


@contextmanager
def atomic_write(path: PurePath) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; rename it to `path` if the block succeeds.

    A file that is replaced passes its permissions on, at the end.

    Args:
        path: The final path. Its folder is made if it is missing. If it is a link to a file that
            may be written, this file is replaced; any other link itself.

    Yields:
        The path to write to, removed if the block raises. No other process has the same one. It
        keeps the suffix, since some libraries choose a format by it. An error about a full disk, or
        one that forbids writing, names the final path.

    """
    final, suffix = _follow(Path(str(path))), path.suffix
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = final.with_name(f".{final.stem}.{uuid.uuid4().hex}.partial{suffix}")
    try:
        yield partial
        _write_to_disk(partial)  # else a power failure could leave an empty file under its name
        with suppress(OSError):  # there is no earlier file, or the file system has no permissions
            shutil.copymode(final, partial)
        _replace(partial, final)
        _remove_leftovers(final, suffix)
    except OSError as error:
        if is_disk_error(error) and error.filename in (None, str(partial)):  # None if it is full
            error.filename = str(final)
        raise
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
