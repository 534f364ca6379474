"""Whether enough rows of a table are usable, as the audit tells, and what to do if not."""

import logging
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from imdb_sentiment.errors import InputError, format_count, join_alternatives, list_names
from imdb_sentiment.parameters import ReviewsParameters, SplitParameters
from imdb_sentiment.pipelines.data_processing.find_settings import (
    MAIN_SPLITS,
    find_allowance,
    format_allowance,
    format_others,
    format_settings,
)
from imdb_sentiment.pipelines.data_processing.row_checks import (
    EMPTY_ROW,
    LACKS_GROUP,
    LACKS_SPLIT,
    NO_LABEL,
    NO_TEXT,
    UNKNOWN_LABEL,
    UNKNOWN_SPLIT,
    list_required_columns,
)
from imdb_sentiment.pipelines.data_processing.splits import SPLITS
from imdb_sentiment.text.label_values import Labels, find_labels, order_labels
from imdb_sentiment.text.labels import find_codes

logger = logging.getLogger(__name__)

MANY_DUPLICATES = 0.2  # share of rows above which there is a warning
MOST = 0.9  # share of rows above which a problem is attributed to the settings, not to single rows
# For each reason of rejection, the parameter that may name the wrong column.
COLUMNS = {
    NO_TEXT: "reviews.text_column",
    NO_LABEL: "reviews.label_column",
    UNKNOWN_LABEL: "reviews.label_column",
    LACKS_SPLIT: "split.column",
    UNKNOWN_SPLIT: "split.column",
    LACKS_GROUP: "split.group_column",
}
MANY_UNLABELLED = 0.1  # share of rows from which they are worth being used without labels


def require_usable(
    audit: dict[str, Any], reviews: ReviewsParameters, split: SplitParameters
) -> None:
    """Refuse a table with too many rejected rows, or with too few rows of a label.

    Args:
        audit: Output of `audit_reviews`.
        reviews: Names of columns and labels, and how many rows may be rejected.
        split: Whether the table has its own splits.

    Raises:
        InputError: The table is refused; the message says what can be done.

    """
    rows, rejected = _count_filled(audit)
    if rows == 0:
        raise InputError(f"{reviews.file} has a header but no rows: add reviews to it")
    if rejected / rows > reviews.max_rejected_fraction:
        raise _explain_rejected(audit, reviews, split)
    scarce = [label for label, n in audit["accepted_by_label"].items() if n < len(SPLITS)]
    if scarce:
        n = audit["accepted_by_label"][scarce[0]]
        raise _explain_missing(
            f"the label {scarce[0]!r} occurs in {format_count(n, 'usable row')}, and "
            f"{len(SPLITS)} are needed, one for each of {', '.join(SPLITS)}",
            ["add reviews", *_doubt_texts(audit, reviews)],
            scarce,
            audit,
            reviews,
        )


def warn_of_duplicates(audit: dict[str, Any]) -> None:
    """Warn if many rows are left out, as with short reviews, of which many are the same."""
    if audit["duplicates"] > MANY_DUPLICATES * audit["rows_read"]:
        logger.warning(
            "%s of %s rows are duplicates, %s of them with a conflicting label: of rows with the "
            "same text, only the first one is used. If many texts are placeholders, such as 'no "
            "comment', delete their rows.",
            f"{audit['duplicates']:,}",
            f"{audit['rows_read']:,}",
            f"{audit['duplicates_with_another_label']:,}",
        )


def require_every_label(
    assigned: npt.NDArray[np.int8],
    codes: npt.NDArray[np.int16],
    groups: npt.NDArray[np.uint64] | None,
    *,
    audit: dict[str, Any],
    reviews: ReviewsParameters,
    split: SplitParameters,
) -> None:
    """Refuse a division in which a label is missing in a part.

    Args:
        assigned: Number of the part of each accepted row, in the order of `SPLITS`, shape (rows,).
        codes: Code of the label of each accepted row, shape (rows,).
        groups: Group of each accepted row, shape (rows,); None if there are no groups.
        audit: Output of `audit_reviews`.
        reviews: The labels.
        split: How the rows were divided.

    Raises:
        InputError: A label is missing; the message says what can be done.

    """
    for number, name in enumerate(SPLITS):
        absent = set(range(len(reviews.labels))) - set(codes[assigned == number].tolist())
        if absent:
            labels = [reviews.labels[code] for code in sorted(absent)]
            ways = ["add such reviews", "change the fractions in `split`"]
            problem = f"no {name} row has the label {' or '.join(labels)}"
            if split.method == "column":
                ways[1] = f"mark more rows as {name} in the column {split.column!r}"
            elif groups is not None:
                n_groups = {code: len(np.unique(groups[codes == code])) for code in sorted(absent)}
                few = [reviews.labels[code] for code, n in n_groups.items() if n < len(SPLITS)]
                if few:  # no fractions would help
                    labels = few
                    problem = f"no {name} row has the label {' or '.join(few)}, and reviews of "
                    problem += f"{len(SPLITS)} groups with it are needed"
                    ways = ["add such reviews of other groups"]
            raise _explain_missing(
                problem,
                ways,
                labels,
                audit,
                reviews,
            )


def _explain_rejected(
    audit: dict[str, Any], reviews: ReviewsParameters, split: SplitParameters
) -> InputError:
    """Return the error of too many rejected rows."""
    rows, rejected = _count_filled(audit)
    counts = {why: n for why, n in audit["rejected_by_reason"].items() if why != EMPTY_ROW}
    reasons = ", ".join(f"{why}: {n:,}" for why, n in counts.items())
    labels = _find_more_labels(audit, reviews)
    more = [n for n in labels.counts if n not in (*reviews.labels, *labels.placeholders)]
    why = next(iter(counts))  # the most frequent one
    ways = _list_ways(why, audit, reviews, split) if counts[why] >= MOST * rejected else []
    ways = ["fix them", *([] if more and why == UNKNOWN_LABEL else ways)]
    if more:
        ways.append(f"set reviews.labels (now {', '.join(reviews.labels)})")
    lacks_split = split.method == "column" and not (
        audit["accepted_by_own_split"].keys() >= MAIN_SPLITS
    )
    if can_allow := rejected <= MOST * rows and not lacks_split:
        has_unlabelled = counts.get(NO_LABEL, 0) >= MANY_UNLABELLED * rows
        ways.append(
            "raise reviews.max_rejected_fraction"
            + (
                " (--params unlabelled_file=FILE with the same file learns from the rows "
                "without a label)"
                if has_unlabelled
                else ""
            )
        )
    block = _propose_settings(audit, reviews, labels, more) if more or can_allow else ""
    allowed = find_allowance(rejected, rows, reviews) if can_allow and not more else None
    return InputError(
        f"{reviews.file}: {rejected:,} of {rows:,} rows can't be used ({reasons}), more than "
        f"reviews.max_rejected_fraction = {reviews.max_rejected_fraction:g} allows. First: "
        f"{'; '.join(audit['rejected_examples'])}. All are in "
        f"data/02_intermediate/rejected_reviews.csv: {join_alternatives(ways)}"
        + (". In conf/local/parameters.yml:" if block else ""),
        block,
        {"reviews.max_rejected_fraction": allowed} if allowed else {},
    )


def _doubt_texts(audit: dict[str, Any], reviews: ReviewsParameters) -> list[str]:
    """Return the advice to name another column if most texts are duplicates; else nothing."""
    n, rows = audit["duplicates"], audit["accepted"] + audit["duplicates"]
    if not n or 2 * n < rows:
        return []
    return [
        f"name the column of the texts with reviews.text_column, if it is not "
        f"{reviews.text_column!r}, where {n:,} of {rows:,} texts repeat an earlier one"
    ]


def _list_ways(
    reason: str, audit: dict[str, Any], reviews: ReviewsParameters, split: SplitParameters
) -> list[str]:
    """Return ways to avoid the rejection of rows for a reason, other than mending each row."""
    if reason in (LACKS_SPLIT, UNKNOWN_SPLIT):
        now = list_names([*map(repr, audit["unknown_splits"])])
        return [
            f"write train, validation or test into the column {split.column!r}"
            + (f" instead of {now}" if now else ""),
            "split at random with --params split.method=random",
        ]
    rows, _ = _count_filled(audit)
    if audit["rejected_by_reason"][reason] < MOST * rows or reason not in COLUMNS:
        return []
    column = list_required_columns(reviews, split)[COLUMNS[reason]]
    return [f"name another column in {COLUMNS[reason]} (now {column!r})"]


def _count_filled(audit: dict[str, Any]) -> tuple[int, int]:
    """Return the number of rows that are not empty, and how many of them are rejected."""
    return audit["rows_read"] - audit["empty_rows"], audit["rejected"] - audit["empty_rows"]


def _find_more_labels(audit: dict[str, Any], reviews: ReviewsParameters) -> Labels:
    """Return the present labels in their order, then further ones that the table has.

    If the labels are ordinal, the further ones are inserted where they belong.
    """
    found = find_labels({**audit["accepted_by_label"], **audit["unknown_labels"]})
    codes = find_codes(found.counts, reviews.labels)  # such as that of 1.0, found as 1
    usable = {
        reviews.labels[codes[label]] if label in codes else label: n
        for label, n in found.counts.items()
    }
    counts = {
        label: n
        for label, n in audit["accepted_by_label"].items()
        if label in usable or label in found.misspellings
    } | usable
    if reviews.ordered:
        graded = [n for n in counts if n in reviews.labels or order_labels([*reviews.labels, n])[1]]
        order, _ = order_labels(graded)
        present = [label for label in counts if label in reviews.labels]
        for way in (order, order[::-1]):  # the user may have chosen either
            if [label for label in way if label in reviews.labels] == present:
                counts = {label: counts[label] for label in way} | counts
                break
    others = {value: n for value, n in found.others.items() if value not in reviews.labels}
    return Labels(counts, others, misspellings=found.misspellings)


def _propose_settings(
    audit: dict[str, Any], reviews: ReviewsParameters, labels: Labels, more: list[str]
) -> str:
    """Return lines for conf/local/parameters.yml with which the run continues.

    Args:
        audit: Audit from `audit_reviews`.
        reviews: The present settings.
        labels: Labels from `_find_more_labels`.
        more: The labels to add. A comment then has the fraction of rejected rows that would have to
            be allowed without them.

    """
    rows, rejected = _count_filled(audit)
    allowance = format_allowance(rejected, rows, reviews)
    if not more:
        return "\n".join(["reviews:", *allowance, *format_others(labels)])
    left = rejected - sum(labels.counts[label] or 0 for label in more)
    return "\n".join(
        [
            format_settings([reviews.text_column], [reviews.label_column], labels, reviews),
            *format_allowance(left, rows, reviews),
            *(f"  # or without the further labels: {line.strip()}" for line in allowance),
        ]
    )


def _explain_missing(
    problem: str,
    ways: Sequence[str],
    labels: Collection[str],
    audit: dict[str, Any],
    reviews: ReviewsParameters,
) -> InputError:
    """Return the error of labels with too few rows; a further way is to leave these labels out."""
    counts = audit["accepted_by_label"]
    kept = {label: n for label, n in counts.items() if label not in labels}
    if len(kept) < 2:  # noqa: PLR2004
        return InputError(f"{reviews.file}: {problem}: {join_alternatives(ways)}")
    rows, rejected = _count_filled(audit)
    rejected += sum(counts[label] for label in labels)
    them = "it" if len(labels) == 1 else list_names([*labels])
    alternatives = join_alternatives([*ways, f"leave {them} out of reviews.labels"])
    return InputError(
        f"{reviews.file}: {problem}: {alternatives}. In conf/local/parameters.yml:",
        "\n".join(
            [
                format_settings(
                    [reviews.text_column], [reviews.label_column], Labels(kept), reviews
                ),
                *format_allowance(rejected, rows, reviews),
            ]
        ),
    )
