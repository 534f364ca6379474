"""The scripts that texts are written in."""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterable

_LETTERS = string.ascii_letters.encode()
_NOT_LETTERS = bytes(set(range(128)) - set(_LETTERS))
_ASCII = re.compile(r"[\x00-\x7f]+")
_NAMES = {"Cjk": "Han"}  # scripts whose letters have names that begin with another word
MIN_SHARE = 0.001


def count_letters(texts: Iterable[str]) -> Counter[str]:
    """Count the letters of texts, all of those in ASCII as `a`."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts["a"] += len(text.encode("ascii", "ignore").translate(None, _NOT_LETTERS))
        if not text.isascii():
            counts.update(filter(str.isalpha, _ASCII.sub("", text)))
    return counts


def measure_scripts(letters: Counter[str]) -> dict[str, float]:
    """Return the share of letters of each script, most frequent first.

    Args:
        letters: Number of occurrences of each letter.

    Returns:
        Shares by the script's name in Unicode, such as `Latin` or `Han`; without those below 0.1%.

    """
    scripts: Counter[str] = Counter()
    for letter, count in letters.items():
        # Instead of a full-width letter; some other forms begin with a space.
        usual = unicodedata.normalize("NFKC", letter).strip()[0]
        is_shared = "Lm" in map(unicodedata.category, (letter, usual))  # a sign of several scripts
        if not is_shared:
            name = unicodedata.name(usual, "unknown").split()[0].title()
            scripts[_NAMES.get(name, name)] += count
    total = scripts.total()
    shares = {name: round(count / total, 4) for name, count in scripts.most_common() if count}
    return {name: share for name, share in shares.items() if share >= MIN_SHARE}
