"""Finding the columns of texts and labels of a table, where there is no doubt which they are."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from imdb_sentiment.parameters import normalise_label
from imdb_sentiment.text.tables import list_columns, to_strings

# Names that say what a column is. The first of each is the project's own, and needs no other sign.
TEXT_NAMES = (
    "review",
    "text",
    "review_text",
    "content",
    "comment",
    "comments",
    "body",
    "review_body",
    "tweet",
    "sentence",
    "message",
    "feedback",
)
LABEL_NAMES = (
    "sentiment",
    "label",
    "labels",
    "rating",
    "stars",
    "star_rating",
    "class",
    "category",
    "target",
    "polarity",
)
SPLIT_NAMES = {"train", "training", "validation", "valid", "val", "dev", "test"}
# Cells that say that there is no label.
PLACEHOLDERS = {"-", "?", "n/a", "na", "nan", "none", "null", "unlabeled", "unlabelled"}

MIN_ROWS = 3  # per label: one for each of training, validation and test
MAX_LABELS = 20
MOST = 0.9  # share of rows that have a label, or of texts that differ
MIN_CHARACTERS = 12  # median length of a text
TIMES_LONGER = 3  # than those of any other column are the texts of the one that is meant

# Labels that have an order, from negative to positive.
ORDERS = (
    ("very negative", "negative", "neutral", "positive", "very positive"),
    ("neg", "neu", "pos"),
    ("negative", "mixed", "positive"),
    ("bad", "neutral", "good"),
    ("poor", "average", "good"),
    ("low", "medium", "high"),
    ("no", "maybe", "yes"),
    ("false", "true"),
    ("ham", "spam"),
)


@dataclass(frozen=True)
class Finding:
    """A column that was looked for.

    Attributes:
        column: Its name; None if no column can be it, or if several could be.
        candidates: Names of all columns that could be it, the likeliest first.

    """

    column: str | None
    candidates: tuple[str, ...]


def find_text_column(rows: pd.DataFrame, apart_from: Iterable[str] = ()) -> Finding:
    """Find the column of texts: by its name, or else as the one with long and different texts.

    Args:
        rows: The first rows of a table.
        apart_from: Columns that are known to be something else.

    """
    columns = [name for name in list_columns(rows) if name not in set(apart_from)]
    lengths = {name: _measure_texts(to_strings(rows[name])) for name in columns}
    fitting = sorted(filter(lengths.get, columns), key=lambda name: -lengths[name])
    if len(fitting) > 1 and lengths[fitting[0]] < TIMES_LONGER * lengths[fitting[1]]:
        return _choose(columns, TEXT_NAMES, fitting)
    return _choose(columns, TEXT_NAMES, fitting, fitting[:1])


def find_label_column(rows: pd.DataFrame, apart_from: Iterable[str] = ()) -> Finding:
    """Find the column of labels: by its name, or else as the one with few values.

    Args:
        rows: The first rows of a table.
        apart_from: Columns that are known to be something else, such as that of the texts.

    """
    columns = [name for name in list_columns(rows) if name not in set(apart_from)]
    fitting = [name for name in columns if _has_labels(to_strings(rows[name]))]
    return _choose(columns, LABEL_NAMES, fitting, fitting if len(fitting) == 1 else ())


def _choose(
    columns: Iterable[str],
    names: tuple[str, ...],
    fitting: Sequence[str],
    best: Sequence[str] = (),
) -> Finding:
    """Choose a column by its name and its content.

    Args:
        columns: All columns that may be it.
        names: Names that say so.
        fitting: The columns whose content says so, the likeliest first.
        best: The one whose content alone would decide, if there is one.

    """
    named = [column for column in columns if _simplify(column) in names]
    named.sort(key=lambda column: names.index(_simplify(column)))
    likely = [column for column in named if column in fitting]
    if named and _simplify(named[0]) == names[0]:
        return Finding(named[0], tuple(named))
    if len(likely) == 1:
        return Finding(likely[0], tuple(likely))
    if len(named) == 1 and not fitting:
        return Finding(named[0], tuple(named))
    if not named and best:
        return Finding(best[0], tuple(best))
    return Finding(None, tuple(dict.fromkeys([*likely, *named, *fitting])))


def _simplify(column: str) -> str:
    return re.sub(r"[\s-]+", "_", column.strip().casefold())


def _measure_texts(cells: list[str]) -> float:
    """Return the mean length of a column of texts in characters; 0 if it is no such column."""
    texts = [text for cell in cells if (text := cell.strip())]
    if not texts or len(set(texts)) < MOST * len(texts):
        return 0
    # Words with spaces, or a script without spaces: no addresses, numbers or identifiers.
    prose = [text for text in texts if " " in text or not text.isascii()]
    median = sorted(map(len, texts))[len(texts) // 2]
    if len(prose) < len(texts) / 2 or median < MIN_CHARACTERS:
        return 0
    return sum(map(len, texts)) / len(cells)


def _has_labels(cells: list[str]) -> bool:
    values = Counter(value for cell in cells if (value := normalise_label(cell)))
    labels = {value: n for value, n in values.items() if n >= MIN_ROWS}
    is_split = values.keys() <= SPLIT_NAMES
    return (
        not is_split
        and 2 <= len(labels) <= MAX_LABELS  # noqa: PLR2004
        and sum(labels.values()) >= MOST * len(cells)
    )


@dataclass(frozen=True)
class Labels:
    """The values of a column of labels.

    Attributes:
        counts: Number of rows of each label, in the order of their codes; None if not counted.
        rare: Number of rows of each other value, most frequent first.

    """

    counts: dict[str, int | None]
    rare: dict[str, int]

    @property
    def placeholders(self) -> list[str]:
        """Those that may stand for a missing label."""
        return [label for label in self.counts if normalise_label(label) in PLACEHOLDERS]


def find_labels(values: Mapping[str, int]) -> Labels:
    """Find the labels among the values of a column.

    Values that differ in case or white space only are one label, in the most frequent spelling. A
    value with fewer than three rows can't be learnt, and may be a slip.

    Args:
        values: Number of rows of each value; empty values are left out.

    """
    spellings: dict[str, Counter[str]] = {}
    for value, n in values.items():
        if value.strip():
            spellings.setdefault(normalise_label(value), Counter())[value.strip()] += n
    counts = {_choose_spelling(label, found): found.total() for label, found in spellings.items()}
    labels = {label: n for label, n in counts.items() if n >= MIN_ROWS}
    rare = {label: n for label, n in counts.items() if n < MIN_ROWS}
    return Labels(
        {label: labels[label] for label in order_labels(labels)},
        dict(sorted(rare.items(), key=lambda item: -item[1])),
    )


def _choose_spelling(label: str, spellings: Counter[str]) -> str:
    is_number = label.lstrip("+-").isdigit()
    return label if is_number else spellings.most_common(1)[0][0]


def order_labels(labels: Iterable[str]) -> list[str]:
    """Return labels in the order of their codes.

    Numbers are in their order, well-known scales from negative to positive, and all else is in the
    order of the alphabet.

    Example:
        >>> order_labels(["Positive", "Negative", "Neutral"]), order_labels(["10", "9"])
        (['Negative', 'Neutral', 'Positive'], ['9', '10'])

    """
    found = sorted(labels, key=str.casefold)
    try:
        return sorted(found, key=float)
    except ValueError:
        pass
    for order in ORDERS:
        places = {label: normalise_label(label) for label in found}
        if set(places.values()) <= set(order):
            return sorted(found, key=lambda label: order.index(places[label]))
    return found
