"""Detection of the columns and labels of a table, for the node `find_columns`."""

import itertools
import json
import logging
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from typing import Any

import pandas as pd

from imdb_sentiment.command_line import join_values, quote_value, quote_word
from imdb_sentiment.errors import (
    MAX_NAME,
    MAX_NAMES,
    InputError,
    format_count,
    list_names,
    make_printable,
)
from imdb_sentiment.parameters import AUTO, ReviewsOptions, ReviewsParameters, SplitParameters
from imdb_sentiment.pipelines.data_processing.row_checks import (
    find_malformed,
    list_required_columns,
)
from imdb_sentiment.text.columns import (
    MAX_LABELS,
    SPLIT_NAMES,
    ColumnMatch,
    are_measurements,
    are_names,
    find_label_column,
    find_names_of_labels,
    find_text_column,
    list_other_texts,
)
from imdb_sentiment.text.delimiters import DELIMITERS
from imdb_sentiment.text.label_values import MIN_ROWS, Labels, find_combination, find_labels
from imdb_sentiment.text.labels import YAML_HINT, normalise_label, parse_number
from imdb_sentiment.text.tables import (
    MALFORMED,
    find_empty,
    find_nested,
    is_like_text,
    list_columns,
    read_first_rows,
    to_strings,
)
from imdb_sentiment.text.user_tables import explain_nested, require_well_formed

logger = logging.getLogger(__name__)

MAX_TO_PASTE = 200  # maximum length of the name of a column in a line to paste
MAIN_SPLITS = {"train", "test"}  # splits that a table has if it has any
MAX_LINES_ABOVE = 10  # number of rows that are searched for the header
# Columns that one can do without, and the parameter and the value that do so.
WITHOUT: dict[str, tuple[str, str | None]] = {
    "split.column": ("split.method", "random"),
    "split.group_column": ("split.group_column", None),
}
LIKENESS = 0.8  # of a name and that of a column, from which on it is proposed (`difflib`)
UNNAMED = re.compile(r"unnamed_\d+")  # the names of columns that have none
MAX_VALUES = 1000  # a column with more different values has no labels


def find_settings(
    chunks: Iterator[pd.DataFrame], reviews: ReviewsOptions, split: SplitParameters
) -> ReviewsParameters:
    """Return the columns and labels of a table; see `find_columns`."""
    rows, chunks, is_whole = _read_first_rows(chunks, reviews.file)
    names = list_columns(rows)
    required = list_required_columns(reviews, split)
    missing = {
        parameter: column for parameter, column in required.items() if column not in (*names, AUTO)
    }
    problems = [f"there is no column {column!r} ({name})" for name, column in missing.items()]
    known = set(required.values())
    text = _find_column(reviews.text_column, find_text_column, rows, known)
    find_label = partial(find_label_column, is_whole=is_whole)
    label = _find_column(reviews.label_column, find_label, rows, {*known, text.column})
    problems += _explain_doubts(reviews, text, label)
    likely = next(iter(label.candidates), None)
    are_given = reviews.labels != AUTO
    labels, are_foreign = (
        _read_labels(rows, chunks, likely, reviews.labels) if likely else (None, False)
    )
    if are_foreign:
        problems.append(_explain_foreign(likely, reviews.labels))
    further = [  # problems that naming another column does not solve
        explain_nested([column])
        for column in (reviews.text_column, reviews.label_column)
        if column in rows and find_nested(rows[column]).any()
    ]
    if likely and labels:
        further += _judge_labels(labels, likely, must_be_ordered=reviews.ordered)
    further += _judge_header(reviews, text, label, labels)
    if AUTO in (reviews.text_column, reviews.label_column):
        further += _find_header_below(rows)
        named = (reviews.text_column, reviews.label_column)
        further += _find_unnamed(match for match in (text, label) if match.column not in named)
    further += _find_other_delimiter(names)
    if problems or further:
        remedies = _find_remedies(missing, names, text, label, are_foreign=are_foreign)
        start = f"{reviews.file} can't be used yet: {'; '.join([*problems, *further])}. Its columns"
        start += f" are: {list_names(names)}."
        if missing.keys() <= WITHOUT.keys() and len(problems) == len(missing) and not further:
            ways = [
                f"set {parameter} to one of them, or{f' {name}' * (name != parameter)} to "
                f"{value or 'null'}"
                for parameter, (name, value) in WITHOUT.items()
                if parameter in missing
            ]
            raise InputError(f"{start} {'; '.join(ways).capitalize()}", parameters=remedies)
        if all(match.nested and not match.candidates for match in (text, label)):
            raise InputError(start)  # there is no column to set
        allowed = find_allowance(*_count_rejected(labels), reviews) if labels else None
        if allowed and remedies:
            remedies["reviews.max_rejected_fraction"] = allowed
        is_doubtful = missing or are_foreign
        limit = " (unless the settings there are for another table)" if is_doubtful else ""
        given = Labels(dict.fromkeys(reviews.labels)) if are_given else None
        raise InputError(
            f"{start} Put these lines, with the right values, into "
            f"conf/local/parameters.yml{limit}:",
            format_settings(text.candidates, label.candidates, labels or given, reviews)
            + _allow_others(labels, reviews),
            {} if further else remedies,
        )
    found = ReviewsParameters.model_validate(
        reviews.model_dump()
        | {"text_column": text.column, "label_column": label.column}
        | ({"labels": tuple(labels.counts)} if labels else {})
    )
    if AUTO in (reviews.text_column, reviews.label_column, reviews.labels):
        known |= {str(text.column), str(label.column)}
        names_in = find_names_of_labels(rows, found.label_column, known) if labels else None
        _report(found, labels, names_in, list_other_texts(rows.drop(columns=MALFORMED), known))
    if split.method == "random":
        _report_splits(rows.drop(columns=[text.column, label.column]), split)
    return found


def _read_first_rows(
    chunks: Iterator[pd.DataFrame], file: str
) -> tuple[pd.DataFrame, Iterator[pd.DataFrame], bool]:
    """Return the first rows of a table, its chunks, and whether it has no further rows."""
    filled = (chunk[~find_empty(chunk)] for chunk in chunks)
    filled = (chunk for chunk in filled if len(chunk))
    taken, first = read_first_rows(filled)
    second = next(filled, None)
    if not taken:
        raise InputError(f"{file} has a header but no rows: add reviews to it")
    if list_columns(first)[0].lower().startswith(("<!doctype html", "<html")):
        raise InputError(f"{file} is a web page: use the URL of the table itself")
    malformed = find_malformed(first)
    advice = "or name another delimiter with --params reviews_delimiter=NAME"
    require_well_formed(len(malformed), len(first), next(iter(malformed), ""), file, advice)
    whole = itertools.chain(taken, () if second is None else [second], filled)
    is_whole = second is None and len(first) == sum(map(len, taken))
    return first[first[MALFORMED] == ""], whole, is_whole


def _find_column(
    given: str,
    find: Callable[[pd.DataFrame, Iterable[str]], ColumnMatch],
    rows: pd.DataFrame,
    known: Iterable[str | None],
) -> ColumnMatch:
    """Return a column as it is given, or if that is `auto`, as it is found."""
    if given != AUTO and given in rows:
        return ColumnMatch(given, (given,))
    found = find(rows, {name for name in known if name})
    return found if given == AUTO else ColumnMatch(None, found.candidates)


def _read_labels(
    rows: pd.DataFrame, chunks: Iterable[pd.DataFrame], column: str, given: Sequence[str] | str
) -> tuple[Labels | None, bool]:
    """Return the labels of a table if they had to be counted, and whether those given are others.

    Args:
        rows: First rows of the table.
        chunks: The whole table, which is read if the labels are to be found, or do not occur in the
            first rows.
        column: Column of the labels.
        given: The labels, or `auto`.

    """
    if given == AUTO:
        return _count_labels(chunks, column), False
    if not _are_foreign(given, to_strings(rows[column])):
        return None, False
    labels = _count_labels(chunks, column)
    if _are_foreign(given, (*labels.counts, *labels.others)):
        return labels, True
    return None, False  # the table is sorted: they occur in later rows


def _are_foreign(labels: Iterable[str], cells: Iterable[str]) -> bool:
    """Return whether cells have labels, but none of those given."""
    found = set(map(normalise_label, cells)) - {""}
    return bool(found) and found.isdisjoint(map(normalise_label, labels))


def _explain_foreign(column: str | None, labels: Sequence[str]) -> str:
    """Return that a column has none of the given labels."""
    problem = f"the column {column!r} has none of the labels of reviews.labels"
    if {*map(normalise_label, labels)} == {"true", "false"}:
        problem += YAML_HINT
    return problem


def _find_remedies(
    missing: Mapping[str, str],
    names: Iterable[str],
    text: ColumnMatch,
    label: ColumnMatch,
    *,
    are_foreign: bool,
) -> dict[str, Any]:
    """Return values for the parameters that name missing columns or foreign labels."""
    remedies: dict[str, Any] = {}
    for name, found in (("reviews.text_column", text), ("reviews.label_column", label)):
        if not found.candidates:
            return {}
        if not found.column:
            remedies[name] = found.candidates[0]
    if are_foreign:
        remedies["reviews.labels"] = AUTO
    others = [name for name in names if name not in (text.column, label.column)]
    spellings = {name.strip().casefold(): name for name in others}
    for parameter, (name, value) in WITHOUT.items():
        if parameter in missing:
            given = missing[parameter].strip().casefold()
            similar = get_close_matches(given, spellings, n=1, cutoff=LIKENESS)
            remedies |= {parameter: spellings[similar[0]]} if similar else {name: value}
    return remedies


def _explain_doubts(reviews: ReviewsOptions, text: ColumnMatch, label: ColumnMatch) -> list[str]:
    """Return why columns that are to be found are in doubt."""
    columns = ("texts", reviews.text_column, text), ("labels", reviews.label_column, label)
    doubtful = {what: found for what, given, found in columns if given == AUTO and not found.column}
    nested = [*dict.fromkeys(name for found in doubtful.values() for name in found.nested)]
    doubts = [_explain_doubt(what, found) for what, found in doubtful.items()]
    return [*doubts, explain_nested(nested)] if nested else doubts


def _explain_doubt(what: str, found: ColumnMatch) -> str:
    doubt = f"no column looks like {what}"
    if found.candidates:
        listed = " or ".join(repr(_shorten(name)) for name in found.candidates[:MAX_NAMES])
        is_alone = len(found.candidates) == 1
        hint = ", but its name does not say so" if is_alone else ""
        doubt = f"the column with the {what} may be {listed}{hint}"
    return doubt


def _count_labels(chunks: Iterable[pd.DataFrame], column: str) -> Labels:
    """Count the values of a column; the rest is left out if it has too many for labels."""
    values: Counter[str] = Counter()
    for chunk in chunks:
        if column in chunk:  # a field of JSON may be missing in all rows
            is_value = (chunk[MALFORMED] == "") & ~find_nested(chunk[column])
            values.update(to_strings(chunk.loc[is_value, column]))
        else:
            values[""] += int((chunk[MALFORMED] == "").sum())
        if len(values) > MAX_VALUES:
            break
    return find_labels(values)


def _are_few(labels: Labels) -> bool:
    """Return whether a column has so few different values that some may be labels."""
    return len(labels.others) <= MAX_VALUES / 2


def _judge_labels(labels: Labels, column: str, *, must_be_ordered: bool) -> list[str]:
    """Return why the values of a column can't be taken as labels as they are."""
    n = len(labels.counts)
    if n > MAX_LABELS or not _are_few(labels):
        return [
            f"the column {column!r} has at least {n + len(labels.others):,} distinct values, too "
            "many for labels: choose another column"
        ]
    if n < 2:  # noqa: PLR2004
        has = f"only {_shorten(next(iter(labels.counts)))!r}" if n else "no label"
        how = " (add reviews with another label, or name another column)" if n else ""
        often = f" in {MIN_ROWS} rows or more" if labels.others else ""
        return [f"the column {column!r} has {has}{often}{how}"]
    if are_measurements(column, labels.counts):
        return [
            f"the column {column!r} has {n:,} different numbers, and regression is not supported: "
            "group them, for example with pandas.cut, or choose another column (if each number is "
            "a label, list them as below)"
        ]
    return _judge_names(labels, column, must_be_ordered=must_be_ordered)


def _judge_names(labels: Labels, column: str, *, must_be_ordered: bool) -> list[str]:
    """Return why the names of labels are in doubt."""
    if labels.placeholders:
        listed = ", ".join(map(repr, labels.placeholders))
        return [f"{listed} in the column {column!r} may stand for a missing label"]
    if labels.scales:
        listed = " as well as ".join(", ".join(map(repr, scale)) for scale in labels.scales)
        return [
            f"{listed} in the column {column!r} may be two scales for the same labels (if so, use "
            "only one of them in the table; if not, list all labels as below)"
        ]
    if labels.alike:
        groups = [" and ".join(map(repr, group)) for group in labels.alike]
        return [
            f"{', or '.join(groups)} in the column {column!r} may be spellings of one label (if "
            "so, use only one of them in the table; if not, list all labels as below)"
        ]
    if must_be_ordered and not labels.is_order_known:
        return [
            f"reviews.ordered is true, but the order of the labels in the column {column!r} is "
            "unknown: list them from lowest to highest"
        ]
    return []


def _find_unnamed(found: Iterable[ColumnMatch]) -> list[str]:
    """Return a message if a column that was found has no name: a title may be above the header."""
    names = [match.column for match in found if match.column and UNNAMED.fullmatch(match.column)]
    return [
        f"the column {name!r} has no name in the first line (if the header is below it, delete the "
        "lines above the header; else name the column there)"
        for name in names[:1]
    ]


def _judge_header(
    reviews: ReviewsOptions, text: ColumnMatch, label: ColumnMatch, labels: Labels | None
) -> list[str]:
    """Return why the names of the columns seem to be a row, unless conf/ names these columns."""
    signs = []
    if reviews.text_column == AUTO:
        name = next(iter(text.candidates), "")
        if is_like_text(name):
            signs.append(f"the column name {_shorten(name)!r} looks like a text")
    if reviews.label_column == AUTO:
        name = next(iter(label.candidates), "")
        known = labels.counts if labels else reviews.labels
        if normalise_label(name) in map(normalise_label, known):
            signs.append(f"the column name {name!r} is one of its labels")
    if not signs:
        return []
    return [
        f"it seems to have no header, as {' and '.join(signs)} (begin the file with a line that "
        "names the columns, or, if these are the names, set them below)"
    ]


def _find_header_below(rows: pd.DataFrame) -> list[str]:
    """Return a message if one of the first rows has the names of columns: a title is above it."""
    if are_names(list_columns(rows)):
        return []
    for number, *cells in rows.drop(columns=MALFORMED).head(MAX_LINES_ABOVE).itertuples():
        if are_names(map(str, cells)):
            return [f"row {number} seems to be the header: delete the lines above it"]
    return []


def _find_other_delimiter(names: Sequence[str]) -> list[str]:
    """Return a message if the only column seems to contain several, as in a `.tsv` with commas."""
    if len(names) != 1:
        return []
    marks = (name for name, mark in DELIMITERS.items() if mark in names[0])
    several = "its only column seems to contain several: set the delimiter with --params"
    return [f"{several} reviews_delimiter={mark}" for mark in itertools.islice(marks, 1)]


def format_settings(
    texts: Iterable[str],
    labels_in: Iterable[str],
    labels: Labels | None,
    reviews: ReviewsOptions,
) -> str:
    """Return lines for conf/local/parameters.yml.

    Values that may stand for a missing label, or be misspelt, are left out of the labels, unless
    conf/ names them.

    Args:
        texts: Names of columns that may contain the texts, the likeliest first.
        labels_in: Names of columns that may contain the labels, the likeliest first.
        labels: The labels in the likeliest column; None if they are not known.
        reviews: The present settings.

    """
    lines = ["reviews:"]
    for parameter, candidates in (("text_column", texts), ("label_column", labels_in)):
        first, *others = [*itertools.islice(candidates, MAX_NAMES)] or ["?"]
        first = _quote(first if len(first) <= MAX_TO_PASTE else "?")
        others = [_quote(_shorten(name)) for name in others]
        lines.append(f"  {parameter}: {first}" + (f"  # or {', '.join(others)}" if others else ""))
    if labels is None or not 0 < len(labels.counts) <= MAX_LABELS or not _are_few(labels):
        return "\n".join([*lines, '  labels: ["?", "?"]  # in the order of their codes 0, 1, …'])
    no_labels = [label for label in labels.placeholders if label not in reviews.labels]
    kept = {label: n for label, n in labels.counts.items() if label not in no_labels}
    likely = [label for label in labels.misspellings if labels.others.get(label, 0) >= MIN_ROWS]
    are_too_few = len(kept) < 2  # noqa: PLR2004
    if are_too_few and not no_labels and not likely:  # no value of the table could be the second
        listed = _quote(_shorten(next(iter(kept))))
        return "\n".join([*lines, f"  labels: {AUTO}  # now only {listed}", *format_others(labels)])
    comments = [] if labels.is_order_known else ["in alphabetical order"]
    counts = ", ".join(str(n) for n in kept.values() if n is not None)
    comments += [f"rows: {counts}"] if counts else []
    if are_too_few:
        comments.append('replace "?" with a value left out below, if it is a label')
    if any(len(label) > MAX_NAME for label in kept):
        comments.append(f"write out those that are cut to {MAX_NAME} characters")
    comment = f"  # {'; '.join(comments)}" if comments else ""
    names = [*kept, *["?"] * (2 - len(kept))]  # fewer than two can't be told apart
    listed = ", ".join(_quote(_shorten(label)) for label in names)
    lines.append(f"  labels: [{listed}]{comment}")
    if no_labels:
        listed = ", ".join(_quote(_shorten(label)) for label in no_labels)
        lines.append(f"  # left out, since they may stand for missing labels: {listed}")
    lines += [f"  # {doubt}" for doubt in _list_doubts(labels, _quote)]
    return "\n".join([*lines, *format_others(labels)])


def format_others(labels: Labels) -> list[str]:
    """Return the line, a comment, with the values that are no labels; none if there are none."""
    return [f"  # left out: {_list_others(labels, _quote)}"] if labels.others else []


def _allow_others(labels: Labels | None, reviews: ReviewsOptions) -> str:
    """Return the lines that allow rows without a label, after a line break."""
    if labels is None or not labels.counts or not _are_few(labels):
        return ""
    lines = format_allowance(*_count_rejected(labels), reviews)
    if lines and labels.unlabelled:
        lines.append(
            f"  # {format_count(labels.unlabelled, 'row')} without a label: to learn from their "
            "texts, name the same file with --params unlabelled_file=FILE"
        )
    return "".join(f"\n{line}" for line in lines)


def _count_rejected(labels: Labels) -> tuple[int, int]:
    """Return how many rows have no label or may have none, and the number of all rows."""
    without = sum(labels.others.values()) + labels.unlabelled
    rejected = without + sum(labels.counts[label] or 0 for label in labels.placeholders)
    return rejected, without + sum(n or 0 for n in labels.counts.values())


def format_allowance(rejected: int, rows: int, reviews: ReviewsOptions) -> list[str]:
    """Return the line that allows this many rejected rows, if `find_allowance` has a value."""
    allowed = find_allowance(rejected, rows, reviews)
    return [] if allowed is None else [f"  max_rejected_fraction: {allowed:g}"]


def find_allowance(rejected: int, rows: int, reviews: ReviewsOptions) -> float | None:
    """Return the fraction that allows this many rejected rows, if it is needed, and not all are."""
    if not rows:
        return None
    fraction = math.ceil(100 * rejected / rows) / 100
    is_needed = rejected / rows > reviews.max_rejected_fraction
    return fraction if is_needed and fraction < 1 else None


def _list_doubts(labels: Labels, quote: Callable[[str], str]) -> list[str]:
    """Return which labels may be misspellings of other ones."""
    return [
        f"{quote(_shorten(label))} may be a misspelling of {quote(_shorten(other))}"
        for label, other in labels.misspellings.items()
        if label in labels.counts
    ]


def _list_others(labels: Labels, quote: Callable[[str], str]) -> str:
    """Return the values that are no labels, with their numbers of rows and what they may be."""
    listed = []
    for value, n in itertools.islice(labels.others.items(), MAX_NAMES):
        words = f"{quote(_shorten(value))} ({format_count(n, 'row')}"
        if value in labels.misspellings:
            words += f"; {quote(_shorten(labels.misspellings[value]))} misspelt?"
        listed.append(f"{words})")
    return ", ".join(listed)


def _shorten(text: str) -> str:
    """Return a name or a label, shortened so that it does not fill a message."""
    return text if len(text) <= MAX_NAME else f"{text[: MAX_NAME - 1]}…"


def _quote(text: str) -> str:
    """Return a text as YAML reads it back, whatever it contains."""
    return make_printable(json.dumps(text, ensure_ascii=False))


def _report(
    found: ReviewsParameters,
    labels: Labels | None,
    names_in: str | None,
    other_texts: Sequence[str],
) -> None:
    """Say what has been found, what is not used, and how to change it."""
    counts, others = labels.counts if labels else dict.fromkeys(found.labels), ""
    named = [_shorten(label) + (f" ({n:,})" if n else "") for label, n in counts.items()]
    listed = ", ".join(named[:MAX_NAMES])
    if len(named) > MAX_NAMES:
        listed += f" and {len(named) - MAX_NAMES} more"
    if labels:
        listed += "" if labels.is_order_known else ", in alphabetical order"
        others = _list_others(labels, repr)
    is_binary = len(found.labels) == 2  # noqa: PLR2004
    if is_binary:
        listed += f"; positive class: {_shorten(found.labels[1])!r}"
    logger.info(
        "%s",
        make_printable(
            f"{found.file}: texts in {found.text_column!r}, labels in {found.label_column!r}: "
            f"{listed}."
            + "".join(f" {doubt}." for doubt in (_list_doubts(labels, repr) if labels else ()))
            + (f" Not labels, so these rows are rejected: {others}." if others else "")
        ),
    )
    is_rating = all(parse_number(label) is not None for label in found.labels)
    if names_in:
        setting = quote_value(names_in)
        way = "set reviews.label_column in conf/local/parameters.yml"
        if setting:
            way = f"pass --params {quote_word(f'reviews.label_column={setting}')}"
        told = f"The column {names_in!r} seems to have a name for each of these numbers: to use it "
        logger.info("%s", make_printable(f"{told}for the labels, {way}"))
    elif is_rating and len(found.labels) > 2 and not found.ordered:  # noqa: PLR2004
        logger.info(
            "If these numbers are ratings, errors can be weighted by their distance: "
            "--params reviews.ordered=true,tuning.metric=quadratic_kappa"
        )
    if other_texts:
        logger.info("Other columns with texts, not used: %s", list_names([*map(repr, other_texts)]))
    if labels and (example := find_combination(labels.counts)):
        logger.warning(
            "Labels such as %r seem to be several labels of one text, which are not supported: "
            "each combination is learnt as a label of its own",
            make_printable(_shorten(example)),
        )
    logger.info(
        "To change this, set text_column, label_column and labels%s under reviews in "
        "conf/local/parameters.yml",
        " (the positive class last)" if is_binary else "",
    )


def _report_splits(rows: pd.DataFrame, split: SplitParameters) -> None:
    """Say which column seems to have the table's own splits, which are not used."""
    columns = list_columns(rows)
    # What is named comes first.
    for column in sorted(columns, key=lambda name: name.casefold() != split.column.casefold()):
        names = dict.fromkeys(to_strings(rows[column]))
        found = [SPLIT_NAMES.get(normalise_label(name)) for name in itertools.islice(names, 9)]
        is_named = column.casefold() == split.column.casefold()  # the table may be sorted by it
        if len(names) <= len(found) and None not in found and (is_named or {*found} >= MAIN_SPLITS):
            own = {} if column == split.column else {"split.column": column}
            settings = join_values({"split.method": "column"} | own)
            message = f"The column {column!r} ({', '.join(names)}) is not used: "
            way = f"to use it, add --params {quote_word(settings)}"
            if own and quote_value(column) is None:  # as with a comma
                way = (
                    "to use it, set split.method=column and split.column in "
                    "conf/local/parameters.yml"
                )
            logger.info("%s", make_printable(f"{message}{way}"))
            return
