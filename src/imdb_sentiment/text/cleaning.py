"""Cleaning of texts, the same for training and for use."""

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

# Characters in a row that are not ASCII: among them may be marks that combine.
_FOREIGN = re.compile(r"[^\x00-\x7f]{31,}")
_MAX_MARKS = 30  # in a row; Unicode's Stream-Safe Text Format (UAX 15) has no more


def clean_text(text: str) -> str:
    """Return plain text: entities decoded, markup and control characters out, NFC, single spaces.

    Of more than 30 combining marks in a row, which no language has, the rest is left out: Unicode's
    normalisation would take the square of their number.

    Args:
        text: A review as found, perhaps with `<br />` and `&amp;` in it.

    Returns:
        The text, without white space at its ends; empty if nothing is left.

    """
    decoded = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    plain = _INVISIBLE.sub(" ", _MARKUP.sub(" ", decoded))
    plain = _FOREIGN.sub(_limit_marks, plain)
    return " ".join(unicodedata.normalize("NFC", plain).split())


def _limit_marks(run: re.Match[str]) -> str:
    kept = []
    marks = 0
    for character in run[0]:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= _MAX_MARKS:
            kept.append(character)
    return "".join(kept)
