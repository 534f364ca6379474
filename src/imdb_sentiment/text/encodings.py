"""Detection of the encoding of a text from its bytes."""

import codecs
import itertools
import re
import unicodedata

from charset_normalizer import from_bytes

# The letters beyond ASCII of languages, by the encodings in which computers have written them.
_WESTERN = (
    "äöüß",  # German
    "éèêëïçñöüäáí",  # English and Dutch, with loanwords
    "àâæçèéêëîïôœùûü",  # French
    "áéíñóúü",  # Spanish
    "àáâãçéêíóôõúü",  # Portuguese
    "àèéìíîòóùú",  # Italian
    "àçèéíïòóúü",  # Catalan
    "äåöéæø",  # Nordic languages
    "áæéíðóöúýþ",  # Icelandic
    "äõöüšž",  # Estonian
)
_CENTRAL = (
    "ąćęłńóśźż",  # Polish
    "áéíóöőúüű",  # Hungarian
    "áčďéěíňóřšťúůýž",  # Czech
    "áäčďéíĺľňóôŕšťúýž",  # Slovak
    "ćčđšž",  # Croatian, Slovene
    "âîăşţ",  # Romanian
)
_LETTERS = {
    "cp1252": _WESTERN,
    "cp1250": _CENTRAL,
    "cp1254": ("âîçöüğıİş",),  # Turkish
    "mac_roman": _WESTERN,
    "cp850": _WESTERN,
    "cp437": _WESTERN,
    "cp852": _CENTRAL,
    "iso8859-2": _CENTRAL,
    "cp1257": ("ąčęėįšųūž", "āčēģīķļņšūž", "äõöüšž"),  # Lithuanian, Latvian, Estonian
}
WESTERN = "cp1252"
WINDOWS = "cp125"  # prefix of the names of the likelier encodings among these
DOS = ("cp850", "cp437", "cp852")  # the less likely ones, which loanwords alone do not show
SAMPLE = 1 << 16  # number of bytes or characters at the beginning of a file that are examined
# Maximum share of odd characters among those beyond ASCII; maximum share of letters in loanwords.
MAX_ODD, FEW = 0.2, 0.01
MIN_ALIKE = 0.9  # share of characters beyond ASCII that two readings have in common

# A symbol within a word, except those that are written there; a low quotation mark, a dagger, a
# circumflex or a per mille sign behind a letter; a letter before a digit; an accent or a control
# character anywhere.
_ODD = re.compile(
    r"(?<=[^\W\d_])(?:[ªº¹²³¼½¾]|[^\x00-\x7f\w\s\u2018\u2019\xb4·\u2013\u2014…])(?=[^\W\d_])"
    r"|(?<=[^\W\d_])[\u201a\u201e\u2020\u2021\u02c6\u2030]|[^\W\d_A-Za-zªº¹²³¼½¾](?=\d)"
    r"|[\x80-\x9f¨¯\xb8\u02c7\u02d8-\u02db]"
)

_BEFORE_WORD = re.compile(r"(?<!\w)[^\x00-\x7f\w\s](?=[^\W\d_])")
_SIGNS = {"Pf", "Po", "Sc", "Sk", "Sm", "So"}  # categories of Unicode, with closing marks


def find_encodings(sample: bytes, failed: str) -> tuple[list[str], bool]:
    """Return encodings other than `failed` that decode a text, and whether the first is sure.

    A text in Latin letters is most likely in the encoding in which the letters of each line are
    those of one language, and no word has symbols or capitals within it. It is sure if no other
    encoding does nearly as well with other letters, or if the few letters beyond ASCII are as in
    the loanwords of a text in English.

    Args:
        sample: The beginning of the text; all of it if it is shorter than `SAMPLE`.
        failed: Name of an encoding that it is not in.

    """

    def fits(name: str) -> bool:
        is_failed = codecs.lookup(name).name == codecs.lookup(failed).name
        return not is_failed and can_decode(sample, name)

    if fits("utf-8"):
        return ["utf-8"], True
    weak: list[str] = []  # names that only a few letters speak for
    texts = {name: sample.decode(name, "ignore") for name in _LETTERS if fits(name)}
    odd = {name: _count_odd(text, _LETTERS[name]) for name, text in texts.items()}
    likely = sorted(odd, key=lambda name: odd[name])
    if likely and _has_ascii_words(sample) and odd[likely[0]] <= MAX_ODD * _count_others(sample):
        first, *others = likely
        rivals = [name for name in others if odd[name] <= 2 * odd[first]]
        differing = {name for name in rivals if texts[name] != texts[first]}
        further = differing if first in DOS else set()
        rivals = [name for name in rivals if name.startswith(WINDOWS) or name in further]
        has_few = len(_list_letters(texts[first])) < FEW * len(sample)
        if not (has_few and first in DOS):
            is_english = has_few and first == WESTERN
            return [first, *rivals], is_english or differing.isdisjoint(rivals)
        weak = [first, *rivals]
    guesses = [match.encoding for match in from_bytes(sample)]
    decoded = {name: sample.decode(name, errors="replace") for name in guesses}
    guesses.sort(key=lambda name: not _has_kana(decoded[name]))
    if guesses:
        alike = [name for name in guesses if _are_alike(decoded[name], decoded[guesses[0]])]
        best = min(alike, key=lambda name: _count_signs(decoded[name]))
        guesses = list(dict.fromkeys([best, *guesses]))
    # UTF-16 and UTF-32 have marks, or null bytes; Latin-1 decodes anything.
    found = [name for name in guesses if not name.startswith(("utf_16", "utf_32")) and fits(name)]
    is_sure = bool(found) and not weak and not _is_latin(sample.decode(found[0], "ignore"))
    return list(dict.fromkeys([*weak, *found])) or ["latin-1"], is_sure


def can_decode(sample: bytes, encoding: str) -> bool:
    """Return whether bytes, the last of which may be a part of a character, are in an encoding."""
    try:
        codecs.getincrementaldecoder(encoding)().decode(sample, final=len(sample) < SAMPLE)
    except UnicodeError:
        return False
    return True


def _count_others(sample: bytes) -> int:
    return len(sample) - len(sample.decode("ascii", "ignore"))


def _has_ascii_words(sample: bytes) -> bool:
    """Return whether most letters beyond ASCII are between others, as in Latin script."""
    runs = re.findall(rb"[\x80-\xff]{3,}", sample)
    return 2 * sum(map(len, runs)) <= _count_others(sample)


def _count_odd(text: str, alphabets: tuple[str, ...]) -> int:
    """Return how many characters beyond ASCII are not as in texts of any of the languages."""
    known = [{*letters, *letters.upper()} for letters in alphabets]
    odd = len(_ODD.findall(text))
    for line in text.splitlines():
        letters = _list_letters(line)
        odd += min(sum(one not in alphabet for one in letters) for alphabet in known)
        for before, one in itertools.pairwise(line):
            odd += before.islower() and one.isupper() and not one.isascii()
    return odd


def _are_alike(text: str, other: str) -> bool:
    """Return whether two readings of the same bytes have nearly the same letters."""
    pairs = [(a, b) for a, b in zip(text, other, strict=False) if not (a.isascii() and b.isascii())]
    return len(text) == len(other) and sum(a == b for a, b in pairs) >= MIN_ALIKE * len(pairs)


def _count_signs(text: str) -> int:
    """Return how many words begin with a sign such as ¶, in place of a letter."""
    return sum(unicodedata.category(sign) in _SIGNS for sign in _BEFORE_WORD.findall(text))


def _list_letters(text: str) -> list[str]:
    return [one for one in text if not one.isascii() and one.isalpha() and one not in "ªº"]


def _is_latin(text: str) -> bool:
    """Return whether a text has no letters beyond ASCII, or most of them are Latin."""
    letters = _list_letters(text)
    return 2 * sum(letter < "\u0250" for letter in letters) >= len(letters)


def _has_kana(text: str) -> bool:
    """Return whether a text has so many Japanese syllables (kana) that it must be Japanese."""
    others = [character for character in text if not character.isascii()]
    return sum("\u3040" <= character <= "\u30ff" for character in others) > len(others) / 5
