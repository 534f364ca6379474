"""Which columns and labels a table has: what the node `find_columns` does."""

import itertools
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import pandas as pd

from imdb_sentiment.errors import MAX_NAME, MAX_NAMES, InputError, list_names, make_printable
from imdb_sentiment.parameters import (
    AUTO,
    ReviewsOptions,
    ReviewsParameters,
    SplitParameters,
    normalise_label,
)
from imdb_sentiment.pipelines.data_processing.row_checks import list_required_columns
from imdb_sentiment.text.columns import (
    MAX_LABELS,
    MIN_ROWS,
    Finding,
    Labels,
    find_label_column,
    find_labels,
    find_text_column,
)
from imdb_sentiment.text.tables import MALFORMED, is_nested, list_columns, to_strings

logger = logging.getLogger(__name__)

MAX_WORDS = 8  # in the name of a column
MAX_TO_PASTE = 200  # characters of the name of a column that a line to paste contains
MAX_VALUES = 1000  # a column with more different values has no labels


def find_settings(
    chunks: Iterator[pd.DataFrame], reviews: ReviewsOptions, split: SplitParameters
) -> ReviewsParameters:
    """Return the columns and labels of a table; see `find_columns`."""
    first = next((chunk for chunk in chunks if len(chunk)), None)
    if first is None:
        raise InputError(f"{reviews.file} has a header but no rows: add reviews to it")
    second = next((chunk for chunk in chunks if len(chunk)), None)
    chunks = itertools.chain([first], () if second is None else [second], chunks)
    names, rows = list_columns(first), first[first[MALFORMED] == ""]
    required = list_required_columns(reviews, split)
    problems = [
        f"there is no column {column!r} ({parameter})"
        for parameter, column in required.items()
        if column not in (*names, AUTO)
    ]
    known = set(required.values())
    text = _find_column(reviews.text_column, find_text_column, rows, known)
    find_label = partial(find_label_column, is_whole=second is None)
    label = _find_column(reviews.label_column, find_label, rows, {*known, text.column})
    for column in (reviews.text_column, reviews.label_column):
        if column in rows and is_nested(rows[column]):
            problems.append(_explain_nested([column]))
    if reviews.text_column == AUTO and not text.column:
        problems.append(_explain_doubt("texts", text))
    if reviews.label_column == AUTO and not label.column:
        problems.append(_explain_doubt("labels", label))
    labels = None
    likely = next(iter(label.candidates), None)
    if likely and reviews.labels == AUTO:
        labels = _count_labels(chunks, likely)
        problems += _judge_labels(labels, likely, must_be_ordered=reviews.ordered)
    problems += _judge_header(reviews, text, label, labels)
    if problems:
        raise InputError(
            f"{reviews.file} can't be used yet: {'; '.join(problems)}. Its columns are: "
            f"{list_names(names)}. In conf/local/parameters.yml, put the right ones into these "
            "lines:",
            format_settings(
                text.candidates,
                label.candidates,
                labels if reviews.labels == AUTO else Labels(dict.fromkeys(reviews.labels), {}),
            ),
        )
    found = ReviewsParameters.model_validate(
        reviews.model_dump()
        | {"text_column": text.column, "label_column": label.column}
        | ({"labels": tuple(labels.counts)} if labels else {})
    )
    if AUTO in (reviews.text_column, reviews.label_column, reviews.labels):
        _report(found, labels)
    return found


def _find_column(
    given: str,
    find: Callable[[pd.DataFrame, Iterable[str]], Finding],
    rows: pd.DataFrame,
    known: Iterable[str | None],
) -> Finding:
    """Return a column as it is given, or if that is `auto`, as it is found."""
    if given in rows:
        return Finding(given, (given,))
    found = find(rows, {name for name in known if name})
    return found if given == AUTO else Finding(None, found.candidates)


def _explain_doubt(what: str, found: Finding) -> str:
    doubt = f"no column looks like {what}"
    if found.candidates:
        listed = " or ".join(repr(_shorten(name)) for name in found.candidates[:MAX_NAMES])
        doubt = f"the column with the {what} may be {listed}"
    return f"{doubt}; {_explain_nested(found.nested)}" if found.nested else doubt


def _explain_nested(columns: Sequence[str]) -> str:
    return f"nested, with objects or lists as cells: {list_names(columns)} (flatten the table)"


def _count_labels(chunks: Iterable[pd.DataFrame], column: str) -> Labels:
    """Count the values of a column; the rest is left out if it has too many for labels."""
    values: Counter[str] = Counter()
    for chunk in chunks:
        if column in chunk:  # a field of JSON may be missing in all rows
            values.update(to_strings(chunk.loc[chunk[MALFORMED] == "", column]))
        if len(values) > MAX_VALUES:
            break
    return find_labels(values)


def _judge_labels(labels: Labels, column: str, *, must_be_ordered: bool) -> list[str]:
    """Return why the values of a column can't be taken as labels as they are."""
    n = len(labels.counts)
    if n > MAX_LABELS or len(labels.rare) > MAX_VALUES / 2:
        return [f"the column {column!r} has {n + len(labels.rare):,} different values or more"]
    if n < 2:  # noqa: PLR2004
        has = f"only {_shorten(next(iter(labels.counts)))!r}" if n else "no label"
        return [f"the column {column!r} has {has} in {MIN_ROWS} rows or more"]
    if labels.placeholders:
        listed = ", ".join(map(repr, labels.placeholders))
        return [f"{listed} in the column {column!r} may be no label"]
    if must_be_ordered and not labels.is_order_known:
        return [
            f"the labels in the column {column!r} have no order that is known, as reviews.ordered "
            "needs it: list them from the lowest to the highest"
        ]
    return []


def _judge_header(
    reviews: ReviewsOptions, text: Finding, label: Finding, labels: Labels | None
) -> list[str]:
    """Return why the names of the columns seem to be a row, unless conf/ names these columns."""
    signs = []
    if reviews.text_column == AUTO:
        name = next(iter(text.candidates), "")
        if len(name.split()) > MAX_WORDS:
            signs.append(f"the column {_shorten(name)!r} is named like a text")
    if reviews.label_column == AUTO:
        name = next(iter(label.candidates), "")
        known = labels.counts if labels else reviews.labels
        if normalise_label(name) in map(normalise_label, known):
            signs.append(f"the column {name!r} is named like one of its labels")
    if not signs:
        return []
    return [
        f"it seems to have no header, as {' and '.join(signs)} (begin the file with a line that "
        "names the columns, or, if these are the names, set them below)"
    ]


def format_settings(texts: Iterable[str], labels_in: Iterable[str], labels: Labels | None) -> str:
    """Return lines for conf/local/parameters.yml.

    Args:
        texts: Columns that may be that of the texts, the likeliest first.
        labels_in: Columns that may be that of the labels, the likeliest first.
        labels: The labels in the likeliest one; None if they are not known.

    """
    lines = ["reviews:"]
    for parameter, candidates in (("text_column", texts), ("label_column", labels_in)):
        first, *others = [*itertools.islice(candidates, MAX_NAMES)] or ["?"]
        first = _quote(first if len(first) <= MAX_TO_PASTE else "?")
        others = [_quote(_shorten(name)) for name in others]
        lines.append(f"  {parameter}: {first}" + (f"  # or {', '.join(others)}" if others else ""))
    if labels is None or not labels.counts or len(labels.rare) > MAX_VALUES / 2:
        return "\n".join([*lines, '  labels: ["?", "?"]  # in the order of their codes 0, 1, …'])
    shown = dict(itertools.islice(labels.counts.items(), MAX_LABELS))
    comments = [f"rows: {counts}"] if (counts := _list_counts(shown.values())) else []
    if any(len(label) > MAX_NAME for label in shown):
        comments.append(f"write out those that are cut to {MAX_NAME} characters")
    comment = f"  # {'; '.join(comments)}" if comments else ""
    listed = ", ".join(_quote(_shorten(label)) for label in shown)
    lines.append(f"  labels: [{listed}]{comment}")
    lines += [
        f"  # {_quote(_shorten(label))} may be {_quote(_shorten(other))} misspelt"
        for label, other in labels.slips
    ]
    if labels.rare:
        rare = ", ".join(_quote(_shorten(name)) for name in [*labels.rare][:MAX_LABELS])
        lines.append(f"  # left out, with fewer than {MIN_ROWS} rows each: {rare}")
    return "\n".join(lines)


def _list_counts(counts: Iterable[int | None]) -> str:
    return ", ".join(str(n) for n in counts if n is not None)


def _shorten(text: str) -> str:
    """Return what a message can show of a name or a label, which a long one must not fill."""
    return text if len(text) <= MAX_NAME else f"{text[: MAX_NAME - 1]}…"


def _quote(text: str) -> str:
    """Return a text as YAML reads it back, whatever it contains."""
    return make_printable(json.dumps(text, ensure_ascii=False))


def _report(found: ReviewsParameters, labels: Labels | None) -> None:
    """Say what has been found, and how to change it."""
    listed, rare = ", ".join(map(_shorten, found.labels)), ""
    if labels:
        listed = ", ".join(f"{_shorten(label)} ({n:,})" for label, n in labels.counts.items())
        listed += "" if labels.is_order_known else ", in the order of the alphabet"
        rare = ", ".join(map(_shorten, itertools.islice(labels.rare, MAX_LABELS)))
    if len(found.labels) == 2:  # noqa: PLR2004
        listed += f"; positive class: {_shorten(found.labels[1])!r}"
    logger.info(
        "%s",
        make_printable(
            f"{found.file}: texts in {found.text_column!r}, labels in {found.label_column!r}: "
            f"{listed}."
            + "".join(
                f" {_shorten(label)!r} may be {_shorten(other)!r} misspelt."
                for label, other in (labels.slips if labels else ())
            )
            + (f" Not a label, in fewer than {MIN_ROWS} rows each: {rare}." if rare else "")
        ),
    )
    logger.info(
        "To change this: text_column, label_column, labels of reviews in conf/local/parameters.yml"
    )
