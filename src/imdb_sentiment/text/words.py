"""Where words begin and end, in any script; `tokenizer.py` and `ngrams.py` build on it."""

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

Script = Literal["auto", "spaces", "ascii"]
Mask = npt.NDArray[np.bool_]

# The ASCII punctuation that Keras's Tokenizer filters, which is all except the apostrophe.
_ASCII_MARKS = """!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~"""
_TO_SPACE = str.maketrans(dict.fromkeys(_ASCII_MARKS, " "))
_ASCII_WORDS = rf"[^\s{re.escape(_ASCII_MARKS)}]+"
_ASCII_TOKEN = re.compile(r"\w+(?:'\w+)*|[^\w\s\x1c-\x1f]", re.ASCII)
# Everything except letters, digits and underscores: these characters separate scikit-learn's terms.
_TO_TERMS = str.maketrans(dict.fromkeys(_ASCII_MARKS.replace("_", "'"), " "))
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_APOSTROPHE, _QUOTE = "'", "\u2019"  # the second is both an apostrophe and a quotation mark

# The following constants are ranges of characters outside ASCII: first and last code points.

# Scripts in which a line may break between any two letters (UAX 14, classes ID, CJ, H2, H3, SA and
# AK). Most have no spaces between words; in Hangul, a letter is a syllable.
_CHARACTER_SCRIPTS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1100, 0x11FF),  # Hangul
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x1B00, 0x1B7F),  # Balinese
    (0x3005, 0x3007),  # Han
    (0x3021, 0x31FF),  # Han, Hiragana, Katakana, Bopomofo, Hangul
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),  # Han
    (0xA000, 0xA4CF),  # Yi
    (0xA960, 0xA9FF),  # Hangul, Javanese, Myanmar
    (0xAA60, 0xAADF),  # Myanmar, Tai Viet
    (0xAC00, 0xD7FF),  # Hangul
    (0xF900, 0xFAFF),  # Han
    (0xFF66, 0xFFDC),  # half-width Katakana and Hangul
    (0x1AFF0, 0x1B16F),  # Hiragana, Katakana
    (0x20000, 0x3FFFF),  # Han
)
# Letters that belong to the one before, like marks (UAX 29): Thai, Lao, half-width Katakana.
_DEPENDENT_LETTERS = ((0x0E33, 0x0E33), (0x0EB3, 0x0EB3), (0xFF9E, 0xFF9F))
_EMOJI = ((0x2300, 0x23FF), (0x2600, 0x27BF), (0x2B00, 0x2BFF), (0x1F000, 0x1FBFF))
_FLAG_LETTERS = ((0x1F1E6, 0x1F1FF),)  # two make up a flag
# Characters that may be left out of a word: Hebrew, Arabic and Syriac vowels, invisible characters,
# and characters that only change the appearance.
_OPTIONAL_VOWELS = ((0x0591, 0x06ED), (0x0730, 0x074A), (0x08CA, 0x08FF))
_OPTIONAL = (
    (0x034F, 0x034F),  # grapheme joiner
    (0x0640, 0x0640),  # tatweel
    (0x180B, 0x180F),  # variation selectors
    (0x20E3, 0x20E3),  # the box of a keycap
    (0xFE00, 0xFE0F),  # variation selectors
    (0xFE70, 0xFE7F),  # Arabic vowels without a letter
    (0x1F3FB, 0x1F3FF),  # colours of skin
)
# After conversion to compatible forms and lower case: the Turkish dotted i, the final sigma,
# apostrophes, and the Thai and Lao vowel am, which has two parts then.
SAME_LETTERS = (
    ("i\u0307", "i"),
    ("\u03c2", "\u03c3"),
    (_QUOTE, _APOSTROPHE),
    ("\u02bc", _APOSTROPHE),
    ("\u0e4d\u0e32", "\u0e33"),
    ("\u0ecd\u0eb2", "\u0eb3"),
)
_N_PLANES_0_AND_1 = 0x20000  # the rest of Unicode has only Han, and tags, which are ignored
_REST_HAN, _REST_IGNORED = "\U00020000-\U0003ffff", "\U000e0000-\U000e0fff"


@cache
def character_classes() -> dict[str, str]:
    """Return each class of characters, as written between [ and ] in a regular expression."""
    characters = list(map(chr, range(_N_PLANES_0_AND_1)))
    categories = np.array(list(map(unicodedata.category, characters)))
    major = categories.astype("U1")

    def within(ranges: tuple[tuple[int, int], ...]) -> Mask:
        found = np.zeros(len(characters), np.bool_)
        for first, last in ranges:
            found[first : last + 1] = True
        return found

    is_ignored = (categories == "Cf") | within(_OPTIONAL)
    is_ignored |= within(_OPTIONAL_VOWELS) & (categories == "Mn")
    is_flag = within(_FLAG_LETTERS)
    is_emoji = within(_EMOJI) & ((major == "S") | (categories == "Cn")) & ~is_ignored & ~is_flag
    is_space = np.array([character.isspace() for character in characters]) | (categories == "Cs")
    is_space |= (major == "Z") | (categories == "Cc")
    is_symbol = ((major == "P") | (major == "S")) & ~(is_ignored | is_emoji | is_flag)
    is_mark = ((major == "M") | within(_DEPENDENT_LETTERS)) & ~is_ignored
    is_word = ~(is_space | is_symbol | is_ignored | is_emoji | is_flag)
    is_character = within(_CHARACTER_SCRIPTS) & is_word & ~is_mark & (major != "N")
    is_character[0x3007] = True  # the Chinese zero
    masks = {
        "symbol": is_symbol,
        "ignored": is_ignored,
        "emoji": is_emoji,
        "flag": is_flag,
        "mark": is_mark,
        "character": is_character,
        "letter": is_word & ~is_character,
    }
    found = {name: _to_class(mask) for name, mask in masks.items()}
    found["character"] += _REST_HAN
    found["ignored"] += _REST_IGNORED
    return found


def _to_class(mask: Mask) -> str:
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False)).tolist()
    return "".join(
        re.escape(chr(first)) + (f"-{re.escape(chr(end - 1))}" if end - first > 1 else "")
        for first, end in zip(edges[::2], edges[1::2], strict=True)
    )


class Rule:
    """How texts are cut into words.

    Words stand between white space, punctuation marks and symbols. Apostrophes inside words belong
    to them; emoji and flags are words of their own. The methods take cleaned texts.

    Args:
        script: `auto` to make each letter a word of its own in scripts whose letters are syllables
            or words, or that have no spaces between words; `spaces` to treat all scripts alike;
            `ascii` for models that were exported before there was a choice: there, only ASCII's
            punctuation separates words.

    Attributes:
        script: Name of the rule: `auto`, `spaces` or `ascii`.
        words: Pattern of the words that `split` finds, before they are folded.
        tokens: Pattern of words without apostrophes at their ends, and of single marks and symbols.
        terms: Pattern of the words of scikit-learn's vectorizers, which have two or more letters or
            digits; and of single letters, emoji and flags that may be words.
        letters: Characters that `words` consist of, except those that are words of their own; as
            written between [ and ] in a regular expression.
        single: Pattern of characters that are words of their own.

    Raises:
        ValueError: There is no such rule.

    """

    def __init__(self, script: Script) -> None:
        if script not in get_args(Script):
            raise ValueError(f"no rule {script!r} for cutting texts into words")
        self.script = script
        if script == "ascii":
            words, tokens, terms = _ASCII_WORDS, r"\w+(?:['\u2019]\w+)*|[^\w\s]", r"\w\w+"
            self.letters = ""
            single = short = "(?!)"  # matches nothing
        else:
            classes = character_classes()
            mark, ignored = classes["mark"], classes["ignored"]
            letters, flag = classes["letter"], f"[{classes['flag']}]"
            single = f"[{classes['emoji']}][{ignored}]*|{flag}(?:[{ignored}]*{flag})?"
            short = f"[{classes['character']}][{mark}{ignored}]*|{single}"
            if script == "spaces":
                letters += classes["character"]
            else:
                single = short
            self.letters = _APOSTROPHE + letters
            words = f"{_join_words(self.letters, ignored, _QUOTE)}|{single}"
            joined = _join_words(f"_{letters}", ignored, _APOSTROPHE + _QUOTE)
            tokens = rf"{joined}|{single}|[^\s{ignored}]"
            terms = f"[_{letters}][_{letters}{ignored}]+|{short}"
        self.words, self.tokens, self.terms = map(re.compile, (words, tokens, terms))
        self.single, self._short = re.compile(single), re.compile(short)

    def split(self, text: str) -> list[str]:
        """Return the words of a text, folded, in their order and with repetitions."""
        if text.isascii():
            return _split_ascii(text.lower())
        return [word for word in self._cut(text, self.words, _split_ascii) if word]

    def split_tokens(self, text: str) -> list[str]:
        """Return the words, marks and symbols of a text that `tokens` finds, folded."""
        if self.script == "ascii":  # as in those models: a sigma at the end is the final one
            return [token.lower() for token in self.tokens.findall(text)]
        return self._cut(text, self.tokens, _ASCII_TOKEN.findall)

    def split_terms(self, text: str) -> list[str]:
        """Return what `terms` finds in a text, folded."""
        if text.isascii():
            return _split_ascii_terms(text.lower())
        found = self._cut(text, self.terms, _split_ascii_terms)
        return [term for term in found if len(term) > 1 or self._short.match(term)]

    def has_word(self, token: str) -> bool:
        """Return whether a match of `tokens` is a word or an emoji, and no other mark."""
        return any(map(str.isalnum, token)) or self.single.match(token) is not None

    def __reduce__(self) -> tuple[Callable[[Script], "Rule"], tuple[Script]]:
        return get_rule, (self.script,)

    def _cut(
        self, text: str, pattern: re.Pattern[str], cut_ascii: Callable[[str], list[str]]
    ) -> list[str]:
        """Return the matches of a pattern, folded.

        Patterns and folding are slow, so they are avoided where possible.

        Args:
            text: Cleaned text.
            pattern: Pattern that does not match white space.
            cut_ascii: Function that returns the matches in a text of ASCII in lower case.

        """
        if self.script == "ascii":
            return list(map(self.fold, pattern.findall(text)))
        found: list[str] = []
        for piece in _divide(text):
            if piece.isascii():
                found += cut_ascii(piece.lower())
                continue
            lowered = _lower(piece)
            if unicodedata.is_normalized("NFKC", lowered) and not _unusual().search(lowered):
                found += [lowered] if lowered.isalnum() else pattern.findall(lowered)
            else:
                found += map(self.fold, pattern.findall(piece))
        return found

    def fold(self, word: str) -> str:
        """Return a word in the form in which it is compared with others, such as lower case."""
        if word.isascii():
            return word.lower()
        if self.script == "ascii":
            return _lower(word)
        return _fold_again(word) if len(word) <= _LONGEST_KEPT else _fold(word)


@cache
def get_rule(script: Script) -> Rule:
    """Return the rule of that name, whose patterns are compiled once."""
    return Rule(script)


def _join_words(letters: str, ignored: str, joints: str) -> str:
    """Return the pattern of words of some letters, whose parts are joined by one of `joints`."""
    part = f"[{letters}][{letters}{ignored}]*"
    return f"{part}(?:[{joints}][{ignored}]*{part})*"


def _divide(text: str) -> Iterator[str]:
    """Yield the pieces between spaces that are not ASCII, and the text between these pieces."""
    end = 0
    for run in _NOT_ASCII.finditer(text):
        if run.start() < end:
            continue
        start = text.rfind(" ", end, run.start()) + 1 or end
        yield text[end:start]
        end = text.find(" ", run.end())
        end = len(text) if end < 0 else end
        yield text[start:end]
    yield text[end:]


def _split_ascii(lowered: str) -> list[str]:
    """Return the words of a text of ASCII in lower case, exactly as Keras's Tokenizer does."""
    return lowered.translate(_TO_SPACE).split()


def _split_ascii_terms(lowered: str) -> list[str]:
    """Return the terms of a text of ASCII in lower case, exactly as scikit-learn's vectorizers."""
    return [term for term in lowered.translate(_TO_TERMS).split() if len(term) > 1]


def _lower(text: str) -> str:
    """Return a text in lower case, letter by letter: no sigma is final."""
    return text.replace("\u03a3", "\u03c3").lower()


@cache
def _unusual() -> re.Pattern[str]:
    """Return the pattern of a letter that is a word of its own, or that folding changes."""
    classes = character_classes()
    folded = "".join(found[-1] for found, _ in SAME_LETTERS)
    return re.compile(f"[{folded}{classes['ignored']}{classes['character']}]")


def unify_letters(text: str) -> str:
    """Return a text with one letter for those that look the same."""
    for found, same in SAME_LETTERS:
        text = text.replace(found, same)
    return text


def _fold(word: str) -> str:
    # NFKC sorts consecutive marks in quadratic time. So it comes before ignored characters are
    # dropped, between which `clean_text` has left at most 30 marks.
    word = _ignored().sub("", _lower(unicodedata.normalize("NFKC", word)))
    return unify_letters(word).strip()  # some compatible forms begin with a space


_LONGEST_KEPT = 64  # letters; longer words, which anybody may send, are not kept in memory
_fold_again = lru_cache(maxsize=2**14)(_fold)


@cache
def _ignored() -> re.Pattern[str]:
    return re.compile(f"[{character_classes()['ignored']}]+")
