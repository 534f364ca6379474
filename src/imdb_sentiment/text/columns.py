"""Finding the columns of texts and labels of a table, where there is no doubt which they are."""

import re
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from imdb_sentiment.text.label_values import MIN_ROWS, PLACEHOLDERS, order_labels
from imdb_sentiment.text.labels import normalise_label, normalise_labels, parse_number
from imdb_sentiment.text.tables import (
    FIRST_SYLLABLE,
    count_words,
    find_nested,
    list_columns,
    to_strings,
)

# Usual names of these columns, the likeliest first, in English and then in other languages: only
# those that hardly mean anything else, unlike "Bewertung" (a text or a rating) and "Kategorie" (of
# a text or of a product). The first name in each list is the project's own: it is chosen even if
# others fit too. A name that begins with `_` matches the end of others.
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
    "rezension",
    "recensione",
    "recenzja",
    "reseña",
    "texte",
    "texto",
    "testo",
    "metin",
    "yorum",
    "ulasan",
    "отзыв",
    "текст",
    "评论",
    "評論",
    "内容",
    "文本",
    "レビュー",
    "口コミ",
    "本文",
    "리뷰",
    "내용",
    "النص",
)
LABEL_NAMES = (
    "sentiment",
    "label",
    "labels",
    "rating",
    "stars",
    "star_rating",
    "review_rating",
    "score",
    "overall",
    "grade",
    "rate",
    "opinion",
    "emotion",
    "_sentiment",
    "_label",
    "_rating",
    "class",
    "category",
    "target",
    "polarity",
    "topic",
    "intent",
    "stimmung",
    "sterne",
    "étiquette",
    "étoiles",
    "sentimiento",
    "estrellas",
    "etiqueta",
    "sentimento",
    "estrelas",
    "stelle",
    "etichetta",
    "etykieta",
    "etiket",
    "duygu",
    "метка",
    "тональность",
    "标签",
    "標籤",
    "情感",
    "ラベル",
    "感情",
    "라벨",
    "감정",
)
# Of these, those of columns that may also have a measurement, such as a rating between 1 and 100.
MEASURE_NAMES = ("rating", "review_rating", "score", "overall", "grade", "rate", "_rating")
# The usual names of splits, with those of this project.
SPLIT_NAMES = {"train": "train", "training": "train", "test": "test", "testing": "test"}
SPLIT_NAMES |= dict.fromkeys(("validation", "valid", "val", "dev"), "validation")
# The values of columns that say yes or no.
FLAGS = ({"false", "true"}, {"f", "t"}, {"n", "y"}, {"0", "1"})
MAX_LABELS = 200
MAX_STEPS = 41  # maximum number of labels that are steps of a scale
MAX_USUAL_STEPS = 11  # the same for usual scales, such as 0 to 10
MAX_UNNAMED = 20  # maximum number of labels in a column whose name does not indicate labels
MOST = 0.9  # minimum share of rows with a label, or of distinct texts
FEW = 0.05  # minimum share of rows with a label, if the others may be unlabelled
ENOUGH = 0.5  # minimum share of distinct texts, if no other column has more of them
MIN_CHARACTERS = 12  # minimum median length of a text, in letters of an alphabet
SYLLABLE_WIDTH = 2.5  # such letters that one of Chinese, Japanese or Korean stands for
MAX_NAME_WORDS = 3  # maximum mean number of words of names, beside which further texts are longer
MIN_WORDS = 4  # minimum mean number of words; texts with fewer may be names
N_DATES, MAX_DATE = 100, 40  # number of cells that may show dates; characters of a date
_YEAR = r"(?<!\d)(?:19|20)\d\d(?!\d)"
# A year and another number, or three parts with the same mark between them.
_DAY = re.compile(rf"{_YEAR}.*?\d|\d.*{_YEAR}|\d([-/.])(?:\d\d?|[^\W\d]{{3,}})\1\d\d(?!\d)")
_DATE = re.compile(r"\d[-/.:年月]\s?\d|\b(19|20)\d\d\b")
TIMES_LONGER = 3  # minimum ratio of the mean lengths of the text column and any other column
TIMES_REPEATED = 2  # the same, if the texts of that column are repeated


@dataclass(frozen=True)
class ColumnMatch:
    """The result of the search for a column.

    Attributes:
        column: Name of the column; None if no column fits, or if several do.
        candidates: Names of all columns that may be the right one, the likeliest first.
        nested: Names of columns of JSON objects or lists, which never fit.

    """

    column: str | None
    candidates: tuple[str, ...]
    nested: tuple[str, ...] = ()


def are_names(cells: Iterable[str]) -> bool:
    """Return whether the cells of a row are names of columns, one of texts and one of labels."""
    found = {cell.strip().casefold() for cell in cells}
    return not found.isdisjoint(TEXT_NAMES) and not found.isdisjoint(LABEL_NAMES)


def find_text_column(rows: pd.DataFrame, apart_from: Iterable[str] = ()) -> ColumnMatch:
    """Find the column of texts: by its name, or else as the one with long and different texts.

    Args:
        rows: The first rows of a table.
        apart_from: Columns that are known to be something else.

    """
    columns, nested = _list_candidates(rows, apart_from)
    cells = {name: to_strings(rows[name]) for name in columns}
    measured = {name: _measure_texts(found) for name, found in cells.items()}
    if not any(measured.values()):  # short texts, perhaps in letters that are syllables or words
        measured = {name: _measure_texts(found, SYLLABLE_WIDTH) for name, found in cells.items()}
    found = {name: texts for name, texts in measured.items() if texts}
    fitting = [name for name in found if found[name].share_distinct >= MOST]
    fitting.sort(key=lambda name: -found[name].length)
    repeated = [name for name in found if name not in fitting]
    repeated.sort(key=lambda name: -found[name].length * found[name].share_distinct)
    named = _list_named(columns, TEXT_NAMES)
    likely = [name for name in named if name in fitting]
    if not fitting:  # a name is all there is, unless only another column has words
        likely = [
            name for name in named if not found or name in found or not _are_numbers(rows[name])
        ]
    if likely and (len(likely) == 1 or _rank(likely[0], TEXT_NAMES) == 0):
        return ColumnMatch(likely[0], (likely[0],), nested)
    if not fitting:
        others = repeated
        is_clear = len(repeated) == 1 and found[repeated[0]].share_distinct >= ENOUGH
    elif repeated and found[fitting[0]].n_words < MIN_WORDS:  # maybe names of people beside texts
        others = sorted(found, key=lambda name: -found[name].n_words)
        is_clear = False
    else:
        # Texts of which some are the same, such as "Thank you", may be longer than addresses.
        length = found[fitting[0]].length
        rivals = [name for name in fitting[1:] if length < TIMES_LONGER * found[name].length]
        rivals += [
            name
            for name in repeated
            if found[name].share_distinct > ENOUGH and length < TIMES_REPEATED * found[name].length
        ]
        others = sorted(dict.fromkeys([*fitting, *rivals]), key=lambda name: -found[name].length)
        is_clear = not rivals
    if is_clear and not named and not _list_named(nested, TEXT_NAMES):
        return ColumnMatch(others[0], (others[0],), nested)
    candidates = [*likely, *(name for name in named if name in found), *others, *named]
    return ColumnMatch(None, tuple(dict.fromkeys(candidates)), nested)


def find_label_column(
    rows: pd.DataFrame, apart_from: Iterable[str] = (), *, is_whole: bool = False
) -> ColumnMatch:
    """Find the column of labels: by its name, or else as the one with few values.

    A table may be sorted by its labels, so that the first rows have only one. A column with one
    value is therefore in doubt, unless other signs decide or there are no further rows. So is a
    flag, such as whether a purchase is verified, which only its name can tell from a label. A
    column is in doubt, too, beside one that may have the labels but is unlike usual ones: with
    more values, or with many unlabelled rows.

    Args:
        rows: The first rows of a table.
        apart_from: Columns that are known to be something else, such as that of the texts.
        is_whole: Whether the table has no further rows.

    """
    columns, nested = _list_candidates(rows, apart_from)
    values = {name: _count_values(to_strings(rows[name])) for name in columns}
    limits = {
        name: MAX_UNNAMED if _rank(name, LABEL_NAMES) is None else MAX_LABELS for name in columns
    }
    fitting = [
        name
        for name in columns
        if _has_labels(values[name], len(rows), limits[name])
        and (limits[name] == MAX_LABELS or not _are_days(values[name]))
    ]
    unusual = [
        name
        for name in columns
        if name not in fitting and _may_have_labels(values[name], len(rows), limits[name])
    ]
    constant = [
        name
        for name in columns
        if _is_constant(values[name], len(rows)) and not _are_days(values[name])
    ]
    if is_whole:
        constant = []
    filled = _list_named(filter(values.get, columns), LABEL_NAMES)
    named = filled or _list_named(columns, LABEL_NAMES)
    likely = [name for name in named if name in (*fitting, *constant)]
    if named and not fitting and (len(named) == 1 or _rank(named[0], LABEL_NAMES) == 0):
        return ColumnMatch(named[0], (named[0],), nested)
    if likely and likely[0] == named[0]:
        is_alone = len(likely) == 1 and likely[0] in fitting
        is_measure = _rank(likely[0], MEASURE_NAMES) is not None
        if is_measure and _are_many_numbers(values[likely[0]], MAX_USUAL_STEPS):
            rivals = [name for name in fitting if values[name].keys() not in FLAGS]
            is_alone = is_alone and rivals == likely and not unusual
        if is_alone or _rank(likely[0], LABEL_NAMES) == 0:
            return ColumnMatch(likely[0], (likely[0],), nested)
    others = [*constant, *unusual]
    is_clear = len(fitting) == 1 and not others and values[fitting[0]].keys() not in FLAGS
    is_clear = is_clear and not named and not _list_named(nested, LABEL_NAMES)
    if is_clear and not any(_has_nested_labels(rows[name]) for name in nested):
        return ColumnMatch(fitting[0], (fitting[0],), nested)
    fitting.sort(
        key=lambda name: (
            not _has_word(name, LABEL_NAMES),
            not _are_steps(values[name]),
            len(values[name]) > MAX_UNNAMED,
        )
    )
    return ColumnMatch(None, tuple(dict.fromkeys([*likely, *named, *fitting, *others])), nested)


def list_other_texts(rows: pd.DataFrame, apart_from: Iterable[str]) -> list[str]:
    """Return further columns with texts of several words, such as titles.

    Args:
        rows: The first rows of a table.
        apart_from: Columns that are known to be something else, such as the texts that are used.

    """
    columns, _ = _list_candidates(rows, apart_from)
    found = {name: _measure_texts(to_strings(rows[name])) for name in columns}
    return [name for name, texts in found.items() if texts and texts.n_words > MAX_NAME_WORDS]


def find_names_of_labels(
    rows: pd.DataFrame, column: str, apart_from: Iterable[str] = ()
) -> str | None:
    """Return the column with a name for each label, such as `label_text`, if labels are numbers.

    Args:
        rows: The first rows of a table.
        column: Column of the labels.
        apart_from: Columns that are known to be something else, such as that of the texts.

    """
    codes = normalise_labels(to_strings(rows[column]))
    distinct = {*codes} - {""}
    if not all(parse_number(code) is not None for code in distinct):
        return None
    columns, _ = _list_candidates(rows, [column, *apart_from])
    for other in columns:
        if not len(distinct) <= rows[other].nunique() <= MAX_LABELS:  # quickly
            continue
        cells = normalise_labels(to_strings(rows[other]))
        pairs = {pair for pair in zip(codes, cells, strict=True) if pair[0]}
        names = {name for _, name in pairs}
        is_one_each = len(pairs) == len(names) == len(distinct) > 1
        are_names = all(name and parse_number(name) is None for name in names)
        if is_one_each and are_names and names not in FLAGS and not names <= SPLIT_NAMES.keys():
            return other
    return None


def _are_numbers(cells: pd.Series) -> bool:
    """Return whether all cells of a column that are not empty are numbers."""
    return all(parse_number(cell) is not None for cell in set(to_strings(cells)) - {""})


def _list_candidates(
    rows: pd.DataFrame, apart_from: Iterable[str]
) -> tuple[list[str], tuple[str, ...]]:
    """Return the columns that may fit, and those that are nested."""
    columns = [name for name in list_columns(rows) if name not in set(apart_from)]
    nested = tuple(name for name in columns if find_nested(rows[name]).any())
    return [name for name in columns if name not in nested], nested


def _list_named(columns: Iterable[str], names: tuple[str, ...]) -> list[str]:
    """Return the columns whose names say what they are, the likeliest and exact ones first."""
    ranks = {column: rank for column in columns if (rank := _rank(column, names)) is not None}
    return sorted(ranks, key=lambda column: (ranks[column], column not in names))


def _rank(column: str, names: tuple[str, ...]) -> int | None:
    """Return the place of a column's name, or of its end after `_`, among names; or None."""
    simple = _simplify(column)
    if simple in names:
        return names.index(simple)
    ending = "_" + simple.rpartition("_")[2]
    return names.index(ending) if ending in names else None


def _has_word(column: str, names: tuple[str, ...]) -> bool:
    return not set(_simplify(column).split("_")).isdisjoint(names)


def _simplify(column: str) -> str:
    return re.sub(r"[\s.-]+", "_", column.strip().casefold())


class _Texts(NamedTuple):
    """What the cells of a column of texts are like.

    Attributes:
        length: Mean length in characters; empty cells count as 0.
        n_words: Mean number of words, roughly.
        share_distinct: Number of distinct texts, divided by that of all.

    """

    length: float
    n_words: float
    share_distinct: float


def _measure_texts(cells: list[str], syllable_width: float = 1) -> _Texts | None:
    """Return what a column of texts is like; None if it has something else, such as labels.

    Args:
        cells: The cells of the column.
        syllable_width: Number of letters of an alphabet for which a letter of Chinese, Japanese or
            Korean counts in the minimum length of a text.

    """
    texts = [text for cell in cells if (text := cell.strip())]
    n_distinct = len(set(texts))
    if n_distinct < min(MOST * len(texts), MAX_UNNAMED + 1) or not texts:
        return None
    # Words with spaces, or a script without spaces: no addresses, numbers or identifiers.
    prose = [text for text in texts if " " in text or not text.isascii()]
    median = sorted(_measure_width(text, syllable_width) for text in texts)[len(texts) // 2]
    if len(prose) < len(texts) / 2 or median < MIN_CHARACTERS or _are_dates(texts):
        return None
    length = sum(map(len, texts)) / len(cells)
    n_words = sum(map(count_words, texts)) / len(texts)
    return _Texts(length, n_words, n_distinct / len(texts))


def _measure_width(text: str, syllable_width: float) -> float:
    if syllable_width == 1 or text.isascii() or len(text) >= MIN_CHARACTERS:
        return len(text)
    n_syllables = sum(letter >= FIRST_SYLLABLE and letter.isalpha() for letter in text)
    return len(text) + (syllable_width - 1) * n_syllables


def _are_dates(texts: list[str]) -> bool:
    """Return whether most texts are dates or times, by the first of them."""
    sample = texts[:N_DATES]
    short = [text for text in sample if len(text) <= MAX_DATE]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of time zones that dateutil does not know
        dates = pd.Series(short, dtype="str")
        english = pd.to_datetime(dates, errors="coerce", format="mixed", utc=True)
    n_dates = sum(map(_is_date, short))
    return max(n_dates, int(english.notna().sum())) > len(sample) / 2


def _is_date(text: str) -> bool:
    """Return whether a text in any language is mostly digits, and like a date or a time."""
    n_digits, n_letters = (sum(map(test, text)) for test in (str.isdigit, str.isalpha))
    return n_digits >= n_letters and bool(_DATE.search(text))


def _count_values(cells: list[str]) -> Counter[str]:
    values: Counter[str] = Counter()
    for cell, n in Counter(cells).items():
        if value := normalise_label(cell):
            values[value] += n
    return values


def _has_labels(values: Counter[str], n_rows: int, limit: int) -> bool:
    labels = {value: n for value, n in values.items() if n >= MIN_ROWS}
    is_split = values.keys() <= SPLIT_NAMES.keys()
    return (
        not is_split
        and 2 <= len(labels) <= limit  # noqa: PLR2004
        and sum(labels.values()) >= MOST * n_rows
    )


def _are_steps(values: Counter[str]) -> bool:
    """Return whether values are those of a usual scale, such as `4 stars`.

    Numbers alone may be years, and flags say little.
    """
    are_numbers = all(parse_number(value) is not None for value in values)
    is_usual = values.keys() not in FLAGS and len(values) <= MAX_USUAL_STEPS
    return is_usual and not are_numbers and order_labels(values)[1]


def _has_nested_labels(cells: pd.Series) -> bool:
    """Return whether a column of objects or lists may have the labels, as in `["billing"]`."""
    return _has_labels(_count_values(to_strings(cells)), len(cells), MAX_LABELS)


def _may_have_labels(values: Counter[str], n_rows: int, limit: int) -> bool:
    """Return whether values are more labels than usual, or those of only some of the rows.

    Many numbers, such as ages, rather are a measurement.
    """
    n_labelled = values.total()
    are_partial = n_labelled >= FEW * n_rows and _has_labels(values, n_labelled, limit)
    are_labels = are_partial or _has_labels(values, n_rows, MAX_LABELS)
    are_others = _are_many_numbers(values) or _are_days(values) or _are_dates(list(values))
    return are_labels and not are_others


def _are_days(values: Iterable[str]) -> bool:
    """Return whether most values are like days: with a day, a month and a year."""
    found = [bool(_DAY.search(value)) and parse_number(value) is None for value in values]
    return sum(found) > len(found) / 2


def _are_many_numbers(values: Counter[str], limit: int = MAX_UNNAMED) -> bool:
    return len(values) > limit and all(parse_number(value) is not None for value in values)


def are_measurements(column: str, labels: Iterable[str]) -> bool:
    """Return whether labels seem to be measurements, such as scores between 0 and 100.

    They are more than 20 numbers. In a column that is named like a measurement, they are not all
    whole or half ones, or more than 41, such as half stars up to 20; in any other, they have two
    decimals or more, unlike the numbers of sections.
    """
    found = [parse_number(label.replace(",", ".")) for label in labels]
    numbers = [number for number in found if number is not None]
    if len(numbers) < len(found) or len(numbers) <= MAX_UNNAMED:
        return False
    is_named = _rank(column, MEASURE_NAMES) is not None
    steps = [number * (2 if is_named else 10) for number in numbers]
    are_irregular = any(step != step.to_integral_value() for step in steps)
    return are_irregular or (is_named and len(numbers) > MAX_STEPS)


def _is_constant(values: Counter[str], n_rows: int) -> bool:
    labels = [value for value, n in values.items() if n >= MIN_ROWS]
    return (
        len(labels) == 1
        and labels[0] not in SPLIT_NAMES.keys() | PLACEHOLDERS
        and values[labels[0]] >= MOST * n_rows
    )
