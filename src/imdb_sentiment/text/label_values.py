"""The labels of a column of labels: which values they are, and in which order."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches

from imdb_sentiment.text.labels import clean_label, distinguish_label, normalise_label, parse_number

# Cells that say that there is no label.
PLACEHOLDERS = {"-", "?", "n/a", "na", "nan", "none", "null", "unlabeled", "unlabelled"}
PLACEHOLDERS |= {"--", "---", ".", "n.a.", "n.a", "nat", "undefined", "missing", "k.a."}
PLACEHOLDERS |= {"<na>", "\\n", "(null)", "[null]", "(blank)", "#n/a", "#na", "#nv", "#value!"}

_DECIMAL_COMMA = re.compile("[+-]?[0-9]+,[0-9]{1,2}")  # with more digits, of thousands
_RATING = re.compile(r"([-+]?[0-9]+(?:[.,][0-9]+)?)\s*(.*)")  # a number and its unit
_THOUSANDS = re.compile(r"[-+]?[1-9][0-9]{0,2}[.,][0-9]{3}")  # or a number with three decimals
_COMBINED = re.compile(r"[|;]|^\[")  # hardly in a single label
_SYMBOLS = re.compile(r"([★⭐\ufe0f\s]*)[☆\s]*")  # stars that are given, and those that are not
MIN_STEM, MAX_ENDING = 3, 2  # letters of a unit that singular and plural share; of their endings

# In a word; before one, any letters may negate it.
NEGATIONS = {"un", "in", "im", "dis", "non", "not", "no", "nicht", "ne", "nie", "pas", "не"}
NEGATIONS |= set("不沒没無无未非불안못미")  # Chinese, Japanese, Korean

# A value may be a misspelling of a label that has at least 20 times as many rows and is similar to
# it (ratio of difflib).
MAX_MISSPELT, MIN_LIKENESS = 0.05, 0.8
LIKELY_LABEL = 10  # minimum number of rows of a label that might be a misspelling of another one
MAX_COMPARED = 1000  # maximum number of values of a column that are compared with each other
MIN_ROWS = 3  # per label: one for each of training, validation and test

# Labels that have an order, from negative to positive, in the spelling of `SPELLINGS`.
ORDERS = (
    ("very negative", "negative", "neutral", "positive", "very positive"),
    ("negative", "mixed", "positive"),
    ("bad", "neutral", "good"),
    ("bad", "ok", "good"),
    ("poor", "average", "good"),
    ("strongly disagree", "disagree", "neutral", "agree", "strongly agree"),
    ("dislike", "like"),
    ("unhappy", "happy"),
    ("rotten", "fresh"),
    ("👎", "👍"),
    ("low", "medium", "high", "urgent"),
    ("low", "normal", "high", "urgent"),
    ("low", "medium", "high", "critical"),
    ("trivial", "minor", "major", "critical", "blocker"),
    ("no", "maybe", "yes"),
    ("false", "true"),
    ("ham", "spam"),
)
# Scales with the same meaning: a table hardly has two of them, nor one label in two spellings.
SCALES = (
    ("negative", "positive"),
    ("neg", "pos"),
    ("bad", "good"),
    ("no", "yes"),
    ("false", "true"),
)  # two numbers are another such scale
SPELLINGS = {
    "neg": "negative",
    "neu": "neutral",
    "pos": "positive",
    "n": "no",
    "y": "yes",
    "f": "false",
    "t": "true",
    "okay": "ok",
}


@dataclass(frozen=True)
class Labels:
    """The values of a column of labels.

    Attributes:
        counts: Number of rows of each label, in the order of their codes; None if not counted.
        others: Number of rows of each other value, most frequent first.
        is_order_known: Whether the order is meaningful; otherwise the labels are sorted
            alphabetically.
        misspellings: Values that may be a misspelling of a far more frequent label, with that
            label. Those with ten rows or more are labels nevertheless, like Gambia beside Zambia.
        unlabelled: Number of rows without a value.

    """

    counts: dict[str, int | None]
    others: dict[str, int] = field(default_factory=dict)
    is_order_known: bool = True
    misspellings: dict[str, str] = field(default_factory=dict)
    unlabelled: int = 0

    @property
    def placeholders(self) -> list[str]:
        """Labels that may stand for a missing label."""
        return [label for label in self.counts if normalise_label(label) in PLACEHOLDERS]

    @property
    def scales(self) -> list[list[str]]:
        """Two labels of each well-known scale, if there are several, which may mean the same."""
        found = {_simplify_label(label): label for label in self.counts}
        numbers = tuple(name for name in found if parse_number(name) is not None)
        scales: list[tuple[str, ...]] = [scale for scale in SCALES if {*scale} <= found.keys()]
        if len(numbers) > 1:
            scales.insert(0, numbers[:2])
        return [[found[name] for name in scale] for scale in scales] if len(scales) > 1 else []

    @property
    def alike(self) -> list[list[str]]:
        """Groups of values that may be spellings of one label, such as Y and Yes."""
        groups: dict[str, list[str]] = {}
        for value in (*self.counts, *self.others):
            name = _simplify_label(value)
            is_number = parse_number(normalise_label(value)) is not None
            if value in self.counts or is_number:  # such as 1.1 and 1.10
                groups.setdefault(SPELLINGS.get(name, name), []).append(value)
        return [group for group in groups.values() if len(group) > 1]


def find_labels(values: Mapping[str, int]) -> Labels:
    """Find the labels among the values of a column.

    Values that look the same, or differ only in case, are one label, in the most frequent
    spelling (numbers are normalised). A value with fewer than three rows is not a label, since
    it can't be learnt. Neither is a value with fewer than ten rows that resembles a far more
    frequent one: it may be a misspelling.

    Args:
        values: Number of rows of each value.

    """
    spellings: dict[str, Counter[str]] = {}
    for value, n in values.items():
        spellings.setdefault(distinguish_label(value), Counter())[clean_label(value)] += n
    unlabelled = spellings.pop("", Counter[str]()).total()
    n_alike = Counter(map(normalise_label, spellings))  # of a number, there may be several
    counts: dict[str, int] = {}
    for label, found in spellings.items():
        normalised = normalise_label(label)
        name = normalised if n_alike[normalised] == 1 else label
        counts[_choose_spelling(name, found)] = found.total()
    misspellings = _find_misspellings(counts)
    labels = {
        label: n
        for label, n in counts.items()
        if n >= (LIKELY_LABEL if label in misspellings else MIN_ROWS)
    }
    others = {label: n for label, n in counts.items() if label not in labels}
    ordered, is_known = order_labels(labels)
    return Labels(
        {label: labels[label] for label in ordered},
        dict(sorted(others.items(), key=lambda item: -item[1])),
        is_known,
        misspellings,
        unlabelled,
    )


def _simplify_label(label: str) -> str:
    """Return a label without a full stop at its end, and a number with a decimal point."""
    name = normalise_label(label).rstrip(".")
    is_comma = _DECIMAL_COMMA.fullmatch(name)
    return normalise_label(name.replace(",", ".")) if is_comma else name


def find_combination(labels: Iterable[str]) -> str | None:
    """Return a label that consists of others, such as `anger|love`, if a third or more do so.

    Their parts must recur, and one of them must be a label by itself, unless `|` or `;` is between
    them or they are in brackets.
    """
    parts = {label: re.findall(r"[^\[\]'\"|;,/]*[^\[\]'\"|;,/\s]", label) for label in labels}
    parts = {label: [part.strip() for part in found] for label, found in parts.items()}
    alone = {found[0] for found in parts.values() if len(found) == 1}
    counts = Counter(part for found in parts.values() for part in set(found))
    combined = [
        label
        for label, found in parts.items()
        if len(found) > 1
        and _parse_rating(label) is None
        and not _THOUSANDS.fullmatch(label.strip())
        and (_COMBINED.search(label) or not alone.isdisjoint(found))
        and all(counts[part] > 1 for part in found)
    ]
    return combined[0] if combined and 3 * len(combined) >= len(parts) else None


def _find_misspellings(counts: Mapping[str, int]) -> dict[str, str]:
    """Return the values that may be misspellings of a far more frequent value, with that value.

    Only words are compared: the difference between `level 1` and `level 2` is no misspelling.
    Neither are letters that may negate a word; see `_may_negate`.
    """
    words = {value.casefold(): value for value in counts if value.isalpha()}
    misspellings: dict[str, str] = {}
    if len(counts) > MAX_COMPARED:  # these are no labels, and there are too many pairs
        return misspellings
    for word, value in words.items():
        frequent = [
            other for other, label in words.items() if counts[value] <= MAX_MISSPELT * counts[label]
        ]
        close = get_close_matches(word, frequent, cutoff=MIN_LIKENESS)
        likely = (other for other in close if not _may_negate(*sorted((word, other), key=len)))
        if (other := next(likely, None)) is not None:
            misspellings[value] = words[other]
    return misspellings


def _may_negate(word: str, longer: str) -> bool:
    """Return whether a word with letters before or in it may mean the opposite of the word.

    As in `unhappy`, `verydissatisfied` and 很不满意. Other letters in a word rather are a
    misspelling.
    """
    n = len(longer) - len(word)
    return longer.endswith(word) or any(
        longer[start : start + n] in NEGATIONS
        and (longer[:start], longer[start + n :]) == (word[:start], word[start:])
        for start in range(1, len(word))
    )


def _choose_spelling(label: str, spellings: Counter[str]) -> str:
    usual: str = spellings.most_common(1)[0][0]
    is_code = usual.startswith("0") and usual[1:].isdigit()  # such as 007
    return usual if is_code or parse_number(label) is None else label


def order_labels(labels: Iterable[str]) -> tuple[list[str], bool]:
    """Return labels in the order of their codes, and whether that order is known.

    Numbers (with decimal commas, and with one unit, as in `5 stars`, `4 von 10` and 7/10) and
    symbols such as ★★★ are sorted by value, and well-known scales from negative to positive. All
    other labels are sorted alphabetically, an order that need not be meaningful.

    Example:
        >>> order_labels(["5 stars", "1 star"])
        (['1 star', '5 stars'], True)
        >>> order_labels(["gut", "schlecht"])
        (['gut', 'schlecht'], False)

    """
    found = sorted(labels, key=str.casefold)
    ratings = {label: rating for label in found if (rating := _parse_rating(label))}
    if len(ratings) == len(found) and _is_one_unit({unit for _, unit in ratings.values()}):
        return sorted(found, key=lambda label: ratings[label][0]), True
    names = {label: _unify_spelling(label) for label in found}
    if len(set(names.values())) == len(found):  # not with two labels for the same place
        for order in ORDERS:
            if set(names.values()) <= set(order):
                return sorted(found, key=lambda label: order.index(names[label])), True
    return found, False


def _unify_spelling(label: str) -> str:
    """Return a label as `ORDERS` has it, such as `very negative` for `very_neg`."""
    words = re.split(r"[\s_-]+", normalise_label(label))
    return " ".join(SPELLINGS.get(word, word) for word in words)


def _parse_rating(label: str) -> tuple[Decimal, str] | None:
    """Return the number of a label and its unit; None if it does not begin with a number."""
    text = normalise_label(label)
    if match := _RATING.fullmatch(text):
        if _THOUSANDS.fullmatch(match[1]) and parse_number(text) is None:
            return None  # which of the two it is decides about the order
        number = parse_number(match[1].replace(",", "."))
        return None if number is None else (number, re.sub(r"\s", "", match[2]))
    if match := _SYMBOLS.fullmatch(text):
        return Decimal(len(re.findall("[★⭐]", match[1]))), ""
    return None


def _is_one_unit(units: Collection[str]) -> bool:
    """Return whether units are the same, or the singular and the plural of the same word.

    A scale may have the word at some of its numbers only, as in `1 star`, `2`, `3`, `4`, `5 stars`.
    """
    if len(units) <= 1:
        return True
    words = [unit for unit in units if unit]
    shortest = min(words, key=len)
    stem = shortest[:-1] if len(shortest) > MIN_STEM else shortest
    return (
        all(map(str.isalpha, words))
        and len(stem) >= MIN_STEM
        and all(word.startswith(stem) and len(word) - len(stem) <= MAX_ENDING for word in words)
    )
