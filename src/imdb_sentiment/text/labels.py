"""Labels: cleaned, and in the form in which they are compared; and which texts are numbers."""

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal

from imdb_sentiment.text.cleaning import DIRECTION_MARKS, UNSEEN, clean_characters
from imdb_sentiment.text.words import unify_letters

# For messages about labels that are given in conf/.
YAML_HINT = " (YAML reads yes and no as true and false unless they are in quotes)"

# Characters that are not seen may change how the letters beside them look, so they are ignored only
# in comparisons.
_UNSEEN = re.compile(f"[{UNSEEN}]")
_ZERO_WIDTH_SPACES = re.compile("[\u200b\ufeff]")  # which separate words in texts
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)")
# Other characters of numbers, as forms in Japanese and spreadsheets in Swedish have them.
_USUAL = {0xFF10 + digit: str(digit) for digit in range(10)}
_USUAL |= {0xFF0E: ".", 0xFF0D: "-", 0xFF0B: "+", 0x2212: "-"}


def parse_number(text: str) -> Decimal | None:
    """Return the exact value of a text that is a number, or None; `inf` and `1e3` are none."""
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def clean_label(label: str) -> str:
    """Return a label without control characters, cleaned like a text, but with its markup."""
    return clean_characters(_ZERO_WIDTH_SPACES.sub("", label)).strip(f"{DIRECTION_MARKS} ")


def normalise_label(label: str) -> str:
    """Return a label or the name of a split in the form in which it is compared with others.

    It is cleaned and case-folded, without characters that are not seen, and with one letter for
    those that look the same. Numbers are normalised: 5.0 is the label 5.
    """
    folded = unify_letters(clean_label(_UNSEEN.sub("", label)).casefold())
    number = parse_number(folded.translate(_USUAL))
    if number is None:
        return folded
    digits = f"{number.copy_abs():f}"
    digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
    return f"-{digits}" if number < 0 else digits


def normalise_labels(labels: Sequence[str]) -> list[str]:
    """Return labels as `normalise_label` does, each distinct one only once."""
    normalised = {label: normalise_label(label) for label in set(labels)}
    return [normalised[label] for label in labels]


def find_codes(names: Iterable[str], labels: Sequence[str]) -> dict[str, int]:
    """Return the code of each name that is a label in some spelling.

    Args:
        names: Names as people write them.
        labels: The labels in the order of their codes. If two of them are spellings of one number,
            such as 1.1 and 1.10, a name that is exactly one of them has its code.

    """
    exact = {label: code for code, label in enumerate(labels)}
    spelt = {normalise_label(label): code for label, code in exact.items()}
    found = {name: exact.get(clean_label(name), spelt.get(normalise_label(name))) for name in names}
    return {name: code for name, code in found.items() if code is not None}


def distinguish_label(label: str) -> str:
    """Return a label as `normalise_label` does, except that 1.1 and 1.10 differ.

    They are one number, but may be two sections.
    """
    normalised = normalise_label(label)
    if "." not in normalised or parse_number(normalised) is None:
        return normalised
    digits = clean_label(label).translate(_USUAL)
    return normalised + "0" * (len(digits) - len(digits.rstrip("0")))
