"""Cleaning of texts, shared by training and prediction."""

import html
import re
import unicodedata

_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]*);", re.I)
# Tags are known by name, so that `<3`, `a < b` and `<b plus>` stay.
_TAGS = (
    "br|p|a|b|i|u|s|em|strong|span|div|font|h[1-6]|hr|img|ul|ol|li|dl|dt|dd|blockquote|pre|code|"
    "sup|sub|small|big|del|ins|strike|center|table|caption|thead|tbody|tfoot|tr|td|th|html|head|"
    "meta|body|form|input|button|o:p"
)
_BARE = "hidden|disabled|checked|selected|required|readonly|multiple|nowrap|noshade|async|defer"
# Most tags end by the first alternative; without it, cleaning takes 5% longer.
_END = rf"(?:\s*(?:/\s*)?>|(?:\s+(?:{_BARE}))*(?:\s+[\w:-]+\s*=[^<>]*|\s*(?:/\s*)?)>)"
# Long matches stop where another one could begin, so that the time is linear in the length.
_MARKUP = re.compile(
    rf"</?(?:{_TAGS}){_END}"
    rf"|<(script|style){_END}(?:(?!<\1).)*?</\1\s*>"
    rf"|</?(?:script|style){_END}"
    r"|<!--(?:(?!<!--).)*?-->|<!doctype\s[^<>]*>",
    re.I | re.S,
)
_INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b\ufeff\ud800-\udfff]")
_ASCII_INVISIBLE = str.maketrans(dict.fromkeys([*range(0x20), 0x7F], " "))

# Marks of direction and the like, which change nothing at the ends of a text.
DIRECTION_MARKS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069"
# The usual characters that are not seen, also soft hyphens, joiners and variation selectors; as
# written between [ and ] in a regular expression.
UNSEEN = (
    f"{DIRECTION_MARKS}\u00ad\u034f\u180b-\u180f\u200c\u200d\u2061-\u2064\u206a-\u206f\ufe00-\ufe0f"
)
_FILLERS = "\u115f\u1160\u2800\u3164\uffa0"  # letters and signs that look like a space
_SEEN = re.compile(rf"[^\s{UNSEEN}{_FILLERS}]")

# Runs of characters outside ASCII, long enough to have more combining marks than allowed.
_FOREIGN = re.compile(r"[^\x00-\x7f]{31,}")
_MAX_MARKS = 30  # in a row, the limit of Unicode's Stream-Safe Text Format (UAX 15)
# Characters of class 0 that become combining marks in the normalisation to NFC or NFKC.
_LIKE_MARKS = frozenset("\u0f73\u0f75\u0f81\uff9e\uff9f")


def clean_text(text: str) -> str:
    """Convert a text to plain text.

    HTML entities are decoded. HTML tags, comments, and scripts and styles with their content are
    removed, and so are control characters. Unicode is normalised to NFC, and runs of white space
    become single spaces. Only the first 30 of consecutive combining marks are kept: no language has
    more, and the time of Unicode's normalisation grows with the square of their number.

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
    return clean_characters(text)


def clean_characters(text: str) -> str:
    """Return a text as `clean_text` does, but leave HTML in it."""
    plain = _FOREIGN.sub(_limit_marks, _INVISIBLE.sub(" ", text))
    return " ".join(unicodedata.normalize("NFC", plain).split())


def is_visible(text: str) -> bool:
    """Return whether a cleaned text has a character that is seen, such as a letter or an emoji."""
    return bool(text) if text.isascii() else _SEEN.search(text) is not None


def is_mark(character: str) -> bool:
    """Return whether a character is a combining mark, or becomes some by normalisation."""
    return unicodedata.combining(character) > 0 or character in _LIKE_MARKS


def _limit_marks(run: re.Match[str]) -> str:
    kept = []
    marks = 0
    for character in run[0]:
        marks = marks + 1 if is_mark(character) else 0
        if marks <= _MAX_MARKS:
            kept.append(character)
    return "".join(kept)
