"""Assigning rows to training, validation and test."""

import itertools
import logging
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from imdb_sentiment.errors import InputError, format_count, join_alternatives
from imdb_sentiment.evaluation.folds import draw_folds
from imdb_sentiment.evaluation.statistics import MIN_GROUPS
from imdb_sentiment.parameters import ReviewsParameters, SplitParameters

logger = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(len(SPLITS))

MANY_ROWS = 1_000_000  # for more, scikit-learn would take too much memory: about 70 bytes per row
MAX_DEVIATION = 0.02  # maximum relative deviation of the share of folds from a fraction


def assign_splits(
    codes: npt.NDArray[np.int16],
    own_splits: npt.NDArray[np.int8],
    groups: npt.NDArray[np.uint64] | None,
    split: SplitParameters,
    reviews: ReviewsParameters,
) -> npt.NDArray[np.int8]:
    """Assign each row to a split.

    Args:
        codes: Code of each row's label, shape (rows,).
        own_splits: Index in `SPLITS` of the split that the table gives each row, shape (rows,);
            used by the method `column`.
        groups: Group of each row, shape (rows,); None if there are no groups.
        split: Settings of the division.
        reviews: Names of the file and of the labels, for messages.

    Returns:
        Index in `SPLITS` of each row's split, shape (rows,).

    Raises:
        InputError: The table has no training or no test rows of its own, or there are too few rows
            or groups to draw from.

    """
    if split.method == "random":
        assigned = np.full(len(codes), TRAIN, dtype=np.int8)
        rows = np.arange(len(codes))
        assigned[_draw(TEST, rows, codes, groups, split=split, reviews=reviews)] = TEST
    else:
        assigned = own_splits.copy()
        for number in (TRAIN, TEST):
            if not (assigned == number).any():
                raise InputError(
                    f"{reviews.file}: no usable row has {SPLITS[number]!r} in the column "
                    f"{split.column!r}: add some, or split at random with --params "
                    "split.method=random"
                )
    if not (assigned == VALIDATION).any():
        rows = np.flatnonzero(assigned == TRAIN)
        assigned[_draw(VALIDATION, rows, codes, groups, split=split, reviews=reviews)] = VALIDATION
    if split.method == "column" and groups is not None:
        _warn_of_divided_groups(groups[assigned == TEST], groups[assigned != TEST], split)
    n_groups = 0 if groups is None else len(np.unique(groups[assigned == TEST]))
    if 0 < n_groups < MIN_GROUPS:
        is_random = split.method == "random"
        logger.warning(
            "The test reviews belong to only %d of the groups in the column %r, too few to say "
            "whether the model or the baseline is better. %s, or label reviews of more groups.",
            n_groups,
            split.group_column,
            "Raise split.test_fraction" if is_random else "Move other groups to the test set",
        )
    return assigned


def _warn_of_divided_groups(
    test: npt.NDArray[np.uint64], others: npt.NDArray[np.uint64], split: SplitParameters
) -> None:
    """Warn if groups of the test reviews have other reviews in the table's own splits."""
    tested = np.unique(test)
    n_divided = int(np.isin(tested, others).sum())
    if n_divided:
        logger.warning(
            "Of the %s of the test reviews in the column %r, %d also %s reviews outside the test "
            "set, so the accuracy may be too high for new groups. To draw whole groups, pass "
            "--params split.method=random",
            *(format_count(len(tested), "group"), split.group_column, n_divided),
            "has" if n_divided == 1 else "have",
        )


def _draw(
    part: int,
    rows: npt.NDArray[np.int64],
    codes: npt.NDArray[np.int16],
    groups: npt.NDArray[np.uint64] | None,
    *,
    split: SplitParameters,
    reviews: ReviewsParameters,
) -> npt.NDArray[np.int64]:
    """Return those of `rows` that become a part: stratified by label; whole groups, if any.

    Without groups, both parts have at least one row of each label.
    """
    from sklearn.model_selection import train_test_split

    name = f"{SPLITS[part]}_fraction"
    fraction: float = getattr(split, name)
    codes, groups = codes[rows], None if groups is None else groups[rows]
    if shortage := _find_shortage(codes, groups, fraction, reviews.labels):
        what = "such reviews" if groups is None else "reviews of other groups"
        ways = [f"add {what}", *_find_ways(codes, groups, name, split)]
        which = "" if part == TEST else " outside the test set"
        raise InputError(
            f"{reviews.file}: {len(rows):,} usable rows{which} are too few to hold out "
            f"{fraction:g} of them with every label in both parts ({shortage}): "
            f"{join_alternatives(ways)}"
        )
    if groups is not None:
        return _draw_groups(rows, codes, groups, fraction, split.seed)
    if len(rows) > MANY_ROWS:
        return _draw_by_label(rows, codes, fraction, split.seed)
    places = np.arange(len(rows))
    n_drawn, labels = math.ceil(fraction * len(rows)), np.unique(codes)
    if min(n_drawn, len(rows) - n_drawn) >= len(labels):  # scikit-learn needs as many
        parts = train_test_split(
            places, test_size=fraction, stratify=codes, random_state=split.seed
        )
        if all(np.isin(labels, codes[part]).all() for part in parts):
            return np.asarray(rows[parts[1]], dtype=np.int64)
    return _draw_by_label(rows, codes, fraction, split.seed)


def _find_shortage(
    codes: npt.NDArray[np.int16],
    groups: npt.NDArray[np.uint64] | None,
    fraction: float,
    labels: Sequence[str],
) -> str:
    """Return why no `fraction` of these rows can be drawn; empty if it can."""
    present, counts = np.unique(codes, return_counts=True)
    if groups is not None:
        n, n_groups = _approximate(fraction).denominator, len(np.unique(groups))
        if n_groups < n:
            return (
                f"they form only {format_count(n_groups, 'group')}, and at least {n:,} are needed"
            )
        return f"no label has {n:,} rows" if counts.max() < n else ""
    if counts.min() == 1:
        return f"only one of them has the label {labels[present[counts.argmin()]]!r}"
    return ""


def _find_ways(
    codes: npt.NDArray[np.int16],
    groups: npt.NDArray[np.uint64] | None,
    name: str,
    split: SplitParameters,
) -> list[str]:
    """Return what helps if the fraction with this name can't be drawn, beside further reviews."""
    ways = []
    counts = np.unique(codes, return_counts=True)[1]
    if groups is not None:
        # As many folds as there are groups, or rows of a label, can be drawn at most.
        n = min(len(np.unique(groups)), int(counts.max()))
        if n > (2 if name == "test_fraction" else 1):  # training and validation need the others
            least = math.ceil(1e5 / n) / 1e5  # a little more is drawn as 1 / n, too
            ways.append(f"set split.{name} to {least:g} (now {getattr(split, name):g})")
    elif split.method == "random":
        ways.append(f"lower split.test_fraction (now {split.test_fraction:g})")
    if split.method == "column":
        ways.append(f"mark more rows as train or validation in the column {split.column!r}")
    if groups is None and len(counts) > 2:  # noqa: PLR2004 (a label has a single row)
        ways.append("leave that label out of reviews.labels")
    return ways


def _draw_by_label(
    rows: npt.NDArray[np.int64], codes: npt.NDArray[np.int16], fraction: float, seed: int
) -> npt.NDArray[np.int64]:
    """Return a random `fraction` of the rows of each label: at least one, and not all."""
    rng = np.random.default_rng(seed)
    drawn = []
    for code in np.unique(codes):
        alike = rows[codes == code]
        n = min(max(1, round(fraction * len(alike))), len(alike) - 1)
        drawn.append(rng.choice(alike, n, replace=False))
    return np.concatenate(drawn)


def _draw_groups(
    rows: npt.NDArray[np.int64],
    codes: npt.NDArray[np.int16],
    groups: npt.NDArray[np.uint64],
    fraction: float,
    seed: int,
) -> npt.NDArray[np.int64]:
    """Divide the rows into folds of whole groups and return the rows of `fraction` of the folds."""
    share = _approximate(fraction)
    held_out = [fold for _, fold in draw_folds(codes, groups, share.denominator, seed)]
    # Not the first folds: scikit-learn puts the largest group there.
    chosen = np.random.default_rng(seed).permutation(len(held_out))[: share.numerator]
    places: npt.NDArray[np.intp] = np.concatenate([held_out[number] for number in chosen])
    return np.asarray(rows[np.sort(places)])


def _approximate(fraction: float) -> Fraction:
    """Return the quotient below 1 with the smallest denominator within 2% of a fraction."""
    for denominator in itertools.count(math.ceil(1 / fraction)):
        share = Fraction(round(fraction * denominator), denominator)
        if share < 1 and abs(share - fraction) <= MAX_DEVIATION * fraction:
            return share
    raise AssertionError  # the loop has no end
