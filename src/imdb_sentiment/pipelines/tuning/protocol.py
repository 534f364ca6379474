"""The reviews that a trial learns from, and those that it is scored on."""

from typing import Any

import numpy as np
import numpy.typing as npt
import optuna

from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.folds import draw_folds
from imdb_sentiment.parameters import ProtocolParameters, SplitParameters
from imdb_sentiment.text.encoded_reviews import EncodedReviews

FEW_ROWS = 1000  # with fewer validation rows, `auto` chooses cross-validation
FOLDS = 2  # number of folds of that cross-validation

MAX_STORED_ROWS = 5000
MAX_STORED_NUMBERS = 200_000  # so 1,000 rows for 200 labels; half a megabyte for each trial

# Limits for the predicted labels of unlabelled reviews, which the n-grams learn. With more labelled
# reviews, there are none; up to 25,000 were tried. The numbers are those of all folds together,
# about a megabyte for each trial that may be the best.
MAX_LABELLED_ROWS = 50_000
MAX_UNLABELLED_ROWS = 50_000
MAX_UNLABELLED_NUMBERS = 400_000

# The fold in which each training and then each validation review is held out, shape (reviews,), as
# in scikit-learn's `PredefinedSplit`.
Folds = npt.NDArray[np.int32]
NEVER_HELD_OUT = -1

# Reviews to learn from, and others to score on.
HeldOutSet = tuple[EncodedReviews, EncodedReviews]


def is_validation_drawn(audit: dict[str, Any]) -> bool:
    """Return whether the validation rows are drawn, since the table names none."""
    return "validation" not in audit["accepted_by_own_split"]


def number_folds(
    train: EncodedReviews,
    validation: EncodedReviews,
    protocol: ProtocolParameters,
    split: SplitParameters,
    audit: dict[str, Any],
) -> Folds:
    """Return the fold in which each review is held out.

    Args:
        train: Training reviews.
        validation: Validation reviews.
        protocol: Number of folds, and the seed of their division.
        split: Whether the rows have groups, which are not divided.
        audit: Output of `audit_reviews`: whether the table names validation rows, which folds would
            ignore.

    Returns:
        One number per training review, followed by one per validation review. With one fold, all
        validation reviews are in it. With several, both sets together are divided into folds with
        the same mix of labels, as far as groups allow.

    Raises:
        InputError: Several folds are asked for, but the table names validation rows, or a label has
            fewer rows or groups than there are folds.

    """
    is_drawn = is_validation_drawn(audit)
    single = _hold_out_validation(train, validation)
    if protocol.folds == 1 or (
        protocol.folds == "auto" and not (is_drawn and len(validation) < FEW_ROWS)
    ):
        return single
    pool = train + validation
    if protocol.folds == "auto":
        found = _number(pool, FOLDS, protocol, split)
        return single if found is None else found
    if not is_drawn:
        raise InputError(
            "tuning.folds would mix training and validation rows, which the table names: set it to "
            "1, or to auto"
        )
    found = _number(pool, protocol.folds, protocol, split)
    if found is None:
        groups = pool.groups if split.group_column else pool.rows
        n_groups = len(np.unique(groups))
        counts = {
            code: len(np.unique(groups[pool.codes == code])) for code in np.unique(pool.codes)
        }
        rarest = min(counts, key=counts.__getitem__)
        label = repr(pool.labels[rarest])
        if not split.group_column:
            why = f"only {counts[rarest]} training and validation rows have {label}"
        elif n_groups < protocol.folds:
            why = f"there are only {n_groups} groups"
        else:
            why = (
                f"only {counts[rarest]} of {n_groups} groups have {label}, and a fold of whole "
                "groups would need all of them"
            )
        raise InputError(
            f"tuning.folds is {protocol.folds}, but {why}: set it to a smaller number, or to auto"
        )
    return found


def _number(
    pool: EncodedReviews, folds: int, protocol: ProtocolParameters, split: SplitParameters
) -> Folds | None:
    """Return the fold of each review; None if a label would be missing in one."""
    groups = pool.groups if split.group_column else None
    n_labels = len(np.unique(pool.codes))
    try:
        places = draw_folds(pool.codes, groups, folds, protocol.seed)
    except ValueError:
        return None
    numbers = np.zeros(len(pool), np.int32)
    for fold, (learnt, held_out) in enumerate(places):
        # Since groups are not divided, held-out reviews may lack a label.
        parts = (learnt,) if split.group_column else (learnt, held_out)
        if any(len(np.unique(pool.codes[part])) < n_labels for part in parts):
            return None
        numbers[held_out] = fold
    return numbers


def has_held_out(folds: Folds) -> bool:
    """Return whether any training or validation review is held out.

    Otherwise, trials are scored on the test reviews.
    """
    return bool((folds != NEVER_HELD_OUT).any())


def _hold_out_validation(train: EncodedReviews, validation: EncodedReviews) -> Folds:
    numbers = np.array([NEVER_HELD_OUT, 0], np.int32)
    return np.repeat(numbers, [len(train), len(validation)])


def pair_reviews(
    train: EncodedReviews, validation: EncodedReviews, folds: Folds
) -> list[HeldOutSet]:
    """Return the reviews that each training of a trial learns from, and those to score on.

    Args:
        train: Training reviews.
        validation: Validation reviews.
        folds: The fold in which each of them is held out, from `assign_folds`.

    Returns:
        One pair per fold; none if no review is held out.

    Raises:
        ValueError: The folds are those of another number of reviews.

    """
    if len(folds) != len(train) + len(validation):
        raise ValueError(f"{len(folds)} folds for {len(train)} + {len(validation)} reviews")
    if not has_held_out(folds):
        return []
    if np.array_equal(folds, _hold_out_validation(train, validation)):
        return [(train, validation)]  # without a copy of all sequences
    pool = train + validation
    return [
        (pool.take(np.flatnonzero(folds != fold)), pool.take(np.flatnonzero(folds == fold)))
        for fold in range(folds.max() + 1)
    ]


def count_stored(n_rows: int, outputs: int) -> int:
    """Return the number of held-out reviews, of `n_rows`, whose logits a trial stores."""
    return min(n_rows, MAX_STORED_ROWS, MAX_STORED_NUMBERS // outputs)


def count_unlabelled(n_reviews: int, outputs: int, folds: int) -> int:
    """Return the number of reviews, of those with pseudo-labels, that the networks score.

    Args:
        n_reviews: Number of the reviews whose pseudo-labels the networks have learnt.
        outputs: Number of outputs of a network.
        folds: Number of networks.

    """
    return min(n_reviews, MAX_UNLABELLED_ROWS, MAX_UNLABELLED_NUMBERS // (outputs * folds))


def choose_evenly(n_rows: int, n: int) -> npt.NDArray[np.intp]:
    """Return positions of n rows, evenly spaced."""
    return np.linspace(0, n_rows - 1, n).round().astype(np.intp)


def name_metric(study: optuna.Study) -> str:
    """Return the name of the metric that the trials of a study are valued by, for people."""
    name: str = study.user_attrs.get("protocol", {}).get("metric", "accuracy")
    return name


def count_folds(study: optuna.Study) -> int:
    """Return the number of folds by which the trials of a study were scored.

    Args:
        study: A study of `tune_hyperparameters`.

    Returns:
        The number of folds, whose values are a trial's intermediate values; 1 without
        cross-validation, when these are the values of the epochs.

    """
    folds: int = study.user_attrs.get("protocol", {}).get("folds", 1)
    return folds
