"""What can go wrong through the user's data or settings, and can be mended there."""


class InputError(ValueError):
    """Input or settings that can't be used; the message says what to change, in one line."""


def find_input_error(error: BaseException) -> InputError | None:
    """Return the `InputError` behind `error`, if there is one: Kedro wraps what datasets raise."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, InputError):
        cause = cause.__cause__
    return cause
