"""Words, punctuation marks and the n-grams of a whole text, as hashes."""

import re
import string
from zlib import crc32

import numpy as np
import numpy.typing as npt

from imdb_sentiment.text.words import Script, get_rule

# The tokens of ASCII, in bytes: words, whose apostrophes are part of them, and single marks.
_TOKEN = re.compile(rb"\w++(?:'\w++)*+|[^\w\s]")
_APOSTROPHE_AT_AN_END = re.compile(rb"'(?:(?<!\w')|(?!\w))")
_MARKS = {mark.encode(): f" {mark} ".encode() for mark in string.punctuation if mark not in "'_"}

_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ divided by the golden ratio (Knuth, TAOCP 6.4)
_ONE, _HALF = np.uint64(1), np.uint64(32)  # the second is half of the bits

Hashes = npt.NDArray[np.int64]


def locate_tokens(text: str, script: Script = "auto") -> list[tuple[int, int]]:
    """Return the start and the end of each word and punctuation mark, as in a slice.

    Args:
        text: Cleaned text.
        script: How it is cut into words; see `imdb_sentiment.text.words.Rule`.

    """
    return [token.span() for token in get_rule(script).tokens.finditer(text)]


def hash_tokens(text: str, script: Script = "auto") -> npt.NDArray[np.uint64]:
    """Return the hash of each word and punctuation mark of a cleaned text, in their order.

    The tokens are those of `locate_tokens`. Words are compared in lower case. The hash is a CRC-32,
    so it is the same everywhere.

    Args:
        text: Cleaned text.
        script: How it is cut into words; see `imdb_sentiment.text.words.Rule`.

    Returns:
        Hashes, shape (tokens,), dtype uint64.

    """
    if text.isascii():
        found = _split_ascii(text.lower().encode())
    else:
        found = [token.encode() for token in get_rule(script).split_tokens(text)]
    return np.fromiter(map(crc32, found), np.uint64, len(found))


def _split_ascii(text: bytes) -> list[bytes]:
    """Return the tokens of a cleaned text of ASCII; this takes half the time of the pattern."""
    apart = text
    for mark, mark_apart in _MARKS.items():
        if mark in apart:
            apart = apart.replace(mark, mark_apart)
    if _APOSTROPHE_AT_AN_END.search(apart):
        return _TOKEN.findall(text)
    return apart.split()


def combine_hashes(tokens: npt.NDArray[np.uint64], max_ngram: int) -> Hashes:
    """Return the hashes of all n-grams of a text, each once.

    Args:
        tokens: Hashes of the tokens of a text, in their order, shape (tokens,).
        max_ngram: Length of the longest n-grams, in tokens.

    Returns:
        Hashes, sorted, none of them 0, shape (n-grams,), dtype int64.

    """
    numbers = tokens + _ONE
    found = [numbers * _FACTOR]
    for n in range(1, min(max_ngram, len(tokens))):
        shorter = found[-1][:-1]
        hashes = shorter >> _HALF  # a product mixes the upper bits best
        hashes ^= shorter
        hashes += numbers[n:]
        hashes *= _FACTOR
        found.append(hashes)
    every = np.concatenate(found).view(np.int64)
    every.sort()
    is_kept = every != 0
    is_kept[1:] &= every[1:] != every[:-1]  # as np.unique, which takes three times as long
    kept: Hashes = every[is_kept]
    return kept


def hash_ngrams(text: str, max_ngram: int, script: Script = "auto") -> Hashes:
    """Return the hashes of all n-grams of a cleaned text, each once.

    An n-gram is a sequence of up to `max_ngram` words and punctuation marks.

    Args:
        text: Cleaned text.
        max_ngram: Length of the longest n-grams, in tokens.
        script: How the text is cut into words; see `imdb_sentiment.text.words.Rule`.

    Returns:
        Hashes, sorted, none of them 0, shape (n-grams,), dtype int64.

    """
    return combine_hashes(hash_tokens(text, script), max_ngram)
