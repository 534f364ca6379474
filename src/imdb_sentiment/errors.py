"""Errors in the user's data or settings, which the user can fix."""

import errno
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from imdb_sentiment import __version__

# Reasons outside this project why a file can't be written or read.
_DISK_ERRORS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your disk quota is exceeded",
    errno.EFBIG: "the file exceeds the size limit",
    errno.EROFS: "the file system is read-only",
    errno.ENAMETOOLONG: "the file name is too long",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
}


MAX_NAMES = 20  # maximum number of names in a message
MAX_NAME = 50  # maximum number of characters of each name


# Control characters, which can steer a terminal; separators of lines; and marks that change the
# direction of a text, so that it seems to say something else.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class InputError(ValueError):
    """Input or settings that can't be used. The message says in one line what to change.

    Args:
        message: The message. It may contain names and labels from a file.
        block: Lines to paste into a file of conf/, which follow the message.
        parameters: Values of parameters, by dotted name, that solve the problem; the session then
            shows the command.

    """

    def __init__(
        self, message: str, block: str = "", parameters: Mapping[str, Any] | None = None
    ) -> None:
        self.parameters = dict(parameters or {})
        lines = [message, *(block.split("\n") if block else ())]
        super().__init__("\n".join(map(make_printable, lines)))


def install_extra(extra: str) -> str:
    """Return the command that installs an extra: from the source tree, or from the wheel."""
    if (Path(__file__).parents[2] / "pyproject.toml").is_file():
        return f'pip install -e ".[{extra}]"'
    return f'pip install "imdb_sentiment-{__version__}-py3-none-any.whl[{extra}]"'


def make_printable(text: str) -> str:
    r"""Return a text in one line, with escapes such as `\x1b` for control characters."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def format_count(n: int, noun: str) -> str:
    """Return a number with its noun, such as `1 epoch` or `2 epochs`."""
    return f"{n:,} {noun}{'s' * (n != 1)}"


def require_column(column: str, found: Iterable[str], file: str, parameter: str) -> None:
    """Raise `InputError` if a file lacks a column.

    Args:
        column: Name of the column.
        found: Names of the columns in the file.
        file: Name of the file, for the message.
        parameter: Parameter in conf/ that names the column.

    Raises:
        InputError: If `column` is not among `found`.

    """
    names = list(map(str, found))
    if column not in names:
        raise InputError(
            f"{file} has no column {column!r}. Its columns are: {list_names(names)}. Choose "
            f"one with --params {parameter}=NAME",
            parameters={parameter: close[0]}
            if (close := get_close_matches(column, names, 1))
            else {},
        )


def suggest_name(name: str, known: Collection[str]) -> str:
    """Return the hint after an unknown name: the closest valid name, or all of them."""
    close = get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"choose from {', '.join(sorted(known))}"


def join_alternatives(ways: Sequence[str]) -> str:
    """Return alternative ways to solve a problem as a part of a sentence."""
    return ", or ".join(filter(None, [", ".join(ways[:-1]), ways[-1]]))


def list_names(names: Sequence[str]) -> str:
    """Return names for a message, shortened so that long or many names do not fill it."""
    listed = ", ".join(name[:MAX_NAME] for name in names[:MAX_NAMES])
    return listed + (f" and {len(names) - MAX_NAMES:,} more" if len(names) > MAX_NAMES else "")


def get_first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its type if it has none."""
    return (str(error) or type(error).__name__).splitlines()[0]


def is_disk_error(error: BaseException) -> bool:
    """Return whether a file can't be written or read for a reason outside this project."""
    return isinstance(error, OSError) and error.errno in _DISK_ERRORS


def find_input_error(error: BaseException) -> InputError | None:
    """Return the cause of `error` that the user can fix; Kedro wraps the errors of datasets."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, InputError):
        is_missing = isinstance(cause, ModuleNotFoundError) and cause is not error  # in a pickle
        if is_missing and str(getattr(cause, "name", "")).startswith("imdb_sentiment."):
            return InputError(
                f"a file in data/ was created by another version of this project ({cause}): "
                "recreate the files with kedro run"
            )
        if isinstance(cause, OSError) and cause.errno in _DISK_ERRORS:
            place = cause.filename or "a file in data/"
            return InputError(
                f"{place} can't be used: {_DISK_ERRORS[cause.errno]}. Fix this, then run the "
                "same command again; with --only-missing-outputs, it skips finished nodes"
            )
        cause = cause.__cause__
    return cause
