"""Cleaning of texts, shared by training and prediction."""

import html
import re
import unicodedata

_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]*);", re.I)
_MARKUP = re.compile(
    r"</?(?:a|b|br|div|em|font|h[1-6]|hr|i|img|li|ol|p|script|span|strong|style|u|ul)"
    r"(?:\s+[\w-]+\s*=[^<>]*|\s*/?)>",
    re.I,
)
_INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b\ufeff\ud800-\udfff]")
_ASCII_INVISIBLE = str.maketrans(dict.fromkeys([*range(0x20), 0x7F], " "))

# Runs of characters outside ASCII, long enough to have more combining marks than allowed.
_FOREIGN = re.compile(r"[^\x00-\x7f]{31,}")
_MAX_MARKS = 30  # in a row, the limit of Unicode's Stream-Safe Text Format (UAX 15)


def clean_text(text: str) -> str:
    """Convert a text to plain text.

    HTML entities are decoded, HTML tags and control characters are removed, Unicode is normalised
    to NFC, and runs of white space become single spaces. Of more than 30 consecutive combining
    marks, which occur in no language, only the first 30 are kept: the time of Unicode's
    normalisation grows with the square of their number.

    Args:
        text: Review as found, which may contain HTML such as `<br />` and `&amp;`.

    Returns:
        Text without leading or trailing white space; empty if nothing is left.

    """
    # Regular expressions are slow, so each is used only where it may find something.
    if "&" in text:
        text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    if "<" in text:
        text = _MARKUP.sub(" ", text)
    if text.isascii():
        plain = text.translate(_ASCII_INVISIBLE)
        while "  " in plain:
            plain = plain.replace("  ", " ")
        return plain.strip()
    plain = _FOREIGN.sub(_limit_marks, _INVISIBLE.sub(" ", text))
    return " ".join(unicodedata.normalize("NFC", plain).split())


def _limit_marks(run: re.Match[str]) -> str:
    kept = []
    marks = 0
    for character in run[0]:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= _MAX_MARKS:
            kept.append(character)
    return "".join(kept)
