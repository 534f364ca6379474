"""What can go wrong through the user's data or settings, and can be mended there."""


class InputError(ValueError):
    """Input or settings that can't be used; the message says what to change, in one line."""
