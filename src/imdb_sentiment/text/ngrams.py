"""The word and character n-grams of a whole text, as hashes.

Hashes of character n-grams lie between 1 and 2³², so they are adjacent among sorted hashes. (One in
2³² word n-grams has a hash in that range, too, and is taken for a character n-gram.)
"""

import re
import string
from collections.abc import Iterable, Iterator
from zlib import crc32

import numpy as np
import numpy.typing as npt

from imdb_sentiment.text.words import Script, get_rule

# In texts of ASCII, as bytes: apostrophes inside words belong to these, others are marks.
_APOSTROPHE_AT_AN_END = re.compile(rb"'(?:(?<!\w')|(?!\w))")
_MARKS = {mark.encode(): f" {mark} ".encode() for mark in string.punctuation if mark not in "'_"}

_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ divided by the golden ratio (Knuth, TAOCP 6.4)
_ONE, _HALF = np.uint64(1), np.uint64(32)  # 32 is half of the bits
_SPACE = ord(" ")

Numbers = npt.NDArray[np.uint64]
Hashes = npt.NDArray[np.int64]

CHARACTER_RANGE = (1, 2**32 + 1)  # range of the hashes of character n-grams, as in a slice


def locate_tokens(text: str, script: Script = "auto") -> list[tuple[int, int]]:
    """Return the start and the end of each word and punctuation mark, as in a slice.

    Args:
        text: Cleaned text.
        script: Rule for cutting it into words; see `imdb_sentiment.text.words.Rule`.

    """
    return [token.span() for token in get_rule(script).tokens.finditer(text)]


def split_tokens(text: str, script: Script = "auto") -> list[bytes]:
    """Return the words and punctuation marks of a cleaned text in their order, as UTF-8.

    They are those of `locate_tokens`, in lower case.

    Args:
        text: Cleaned text.
        script: Rule for cutting it into words; see `imdb_sentiment.text.words.Rule`.

    """
    if text.isascii():
        return _split_ascii(text.lower().encode())
    return [token.encode() for token in get_rule(script).split_tokens(text)]


def _split_ascii(text: bytes) -> list[bytes]:
    """Return the tokens of a cleaned text of ASCII; this takes half the time of a pattern."""
    for mark, apart in _MARKS.items():
        if mark in text:
            text = text.replace(mark, apart)
    return _APOSTROPHE_AT_AN_END.sub(b" ' ", text).split()


def hash_ngrams(
    text: str, max_ngram: int, script: Script = "auto", character_ngram: int = 0
) -> Hashes:
    """Return the hashes of all word and character n-grams of a cleaned text, each once.

    Word n-grams are sequences of words and punctuation marks. Character n-grams are within words;
    as with `analyzer="char_wb"` of scikit-learn's vectorizers, a word has a space on both sides.
    Unlike there, a word of n - 2 characters or fewer has none, since it is a word n-gram already.

    Args:
        text: Cleaned text.
        max_ngram: Length of the longest word n-grams.
        script: Rule for cutting the text into words; see `imdb_sentiment.text.words.Rule`.
        character_ngram: Length of the character n-grams, n; 0 for none.

    Returns:
        Hashes, sorted, none of them 0, shape (n-grams,), dtype int64. They are the same on every
        machine.

    """
    tokens = split_tokens(text, script)
    found = _combine_words(_hash_tokens(tokens), max_ngram)
    if character_ngram:
        found.append(_combine_characters(tokens, character_ngram)[0])
    return sort_hashes(np.concatenate(found))


def hash_parts(
    tokens: list[bytes],
    parts: Iterable[npt.NDArray[np.bool_]],
    max_ngram: int,
    character_ngram: int,
) -> Iterator[Hashes]:
    """Yield the hashes of the n-grams of parts of a text, each as `hash_ngrams` returns them.

    Args:
        tokens: The tokens of the text, from `split_tokens`.
        parts: For each part, whether each token belongs to it, shape (tokens,).
        max_ngram: Length of the longest word n-grams.
        character_ngram: Length of the character n-grams; 0 for none.

    """
    numbers = _hash_tokens(tokens)
    characters, starts = _combine_characters(tokens, character_ngram)
    sizes = [len(token.decode()) + 1 for token in tokens]  # with the space before it
    owners = np.repeat(np.arange(len(tokens)), sizes)[starts]
    for part in parts:
        found = [*_combine_words(numbers[part], max_ngram), characters[part[owners]]]
        yield sort_hashes(np.concatenate(found))


def _hash_tokens(tokens: list[bytes]) -> Numbers:
    """Return the CRC-32 of each token, which is the same on every machine."""
    return np.fromiter(map(crc32, tokens), np.uint64, len(tokens))


def _combine_words(tokens: Numbers, max_ngram: int) -> list[Numbers]:
    """Return the hashes of all word n-grams of each length, from those of the tokens."""
    numbers = tokens + _ONE
    found = [numbers * _FACTOR]
    for n in range(1, min(max_ngram, len(tokens))):
        shorter = found[-1][:-1]
        hashes = shorter >> _HALF  # a product mixes the upper bits best
        hashes ^= shorter
        hashes += numbers[n:]
        hashes *= _FACTOR
        found.append(hashes)
    return found


def _combine_characters(tokens: list[bytes], length: int) -> tuple[Numbers, npt.NDArray[np.intp]]:
    """Return the hashes of all character n-grams, and where each starts in ` word word … `."""
    text = b" %b " % b" ".join(tokens)
    if text.isascii():
        codes = np.frombuffer(text, np.uint8)
    else:
        codes = np.frombuffer(text.decode().encode("utf-32-le"), "<u4")
    n = len(codes) - length + 1
    if not length or n <= 0:
        return np.zeros(0, np.uint64), np.zeros(0, np.intp)
    hashes = np.zeros(n, np.uint64)
    for place in range(length):
        hashes += codes[place : place + n]
        hashes *= _FACTOR
    hashes >>= _HALF
    hashes += _ONE
    is_space = codes == _SPACE
    is_left_out = is_space[:n] & is_space[length - 1 :]  # whole words
    for place in range(1, length - 1):
        is_left_out |= is_space[place : place + n]
    starts = np.flatnonzero(~is_left_out)
    return hashes[starts], starts


def sort_hashes(hashes: Numbers) -> Hashes:
    """Return hashes sorted, each once and without 0, as np.unique would in three times the time."""
    every = hashes.view(np.int64)
    every.sort()
    is_kept = every != 0
    is_kept[1:] &= every[1:] != every[:-1]
    kept: Hashes = every[is_kept]
    return kept


def locate_characters(hashes: Hashes) -> slice:
    """Return the slice of sorted hashes that are of character n-grams."""
    start, stop = np.searchsorted(hashes, CHARACTER_RANGE)
    return slice(int(start), int(stop))
