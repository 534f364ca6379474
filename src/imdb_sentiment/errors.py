"""What can go wrong through the user's data or settings, and can be mended there."""

from collections.abc import Iterable


class InputError(ValueError):
    """Input or settings that can't be used; the message says what to change, in one line."""


def require_column(column: str, found: Iterable[str], file: str, parameter: str) -> None:
    """Raise `InputError` if a file lacks a column.

    Args:
        column: The column.
        found: The columns that the file has.
        file: Its name, for the message.
        parameter: What names the column in conf/.

    """
    names = list(map(str, found))
    if column not in names:
        raise InputError(
            f"{file} has no column {column!r}; it has: {', '.join(names)}. Name the right one with "
            f"--params {parameter}=NAME"
        )


def find_input_error(error: BaseException) -> InputError | None:
    """Return the `InputError` behind `error`, if there is one: Kedro wraps what datasets raise."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, InputError):
        cause = cause.__cause__
    return cause
