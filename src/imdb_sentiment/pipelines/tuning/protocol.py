"""Which reviews a trial learns from, and which it is scored on."""

import numpy as np
import optuna
from sklearn.model_selection import StratifiedKFold

from imdb_sentiment.errors import InputError
from imdb_sentiment.parameters import SplitParameters, TuningParameters
from imdb_sentiment.text.encoded_reviews import EncodedReviews

FEW_ROWS = 5000  # with fewer rows to learn from, `auto` chooses cross-validation
FOLDS = 2  # of that cross-validation

# Reviews to learn from, and others to score on.
HeldOutSet = tuple[EncodedReviews, EncodedReviews]


def divide_reviews(
    train: EncodedReviews,
    validation: EncodedReviews,
    tuning: TuningParameters,
    split: SplitParameters,
) -> list[HeldOutSet]:
    """Return what each training of a trial learns from and is scored on.

    Args:
        train: Training reviews.
        validation: Validation reviews.
        tuning: Number of folds, and the seed of their division.
        split: Whether the rows have groups or splits of their own, which folds would ignore.

    Returns:
        With one fold, the training and the validation reviews. With several, one pair per fold:
        both sets together are divided into folds with the same mix of labels, and each fold is
        scored once.

    Raises:
        InputError: Several folds are asked for, but the rows have groups or their own splits, or a
            label has fewer rows than there are folds.

    """
    are_random = split.method == "random" and split.group_column is None
    folds = tuning.folds
    if folds == "auto":
        folds = FOLDS if are_random and len(train) + len(validation) < FEW_ROWS else 1
    if folds == 1:
        return [(train, validation)]
    if not are_random:
        raise InputError(
            "tuning.folds would divide the groups of split.group_column, or mix the splits that "
            "the CSV names: set it to 1, or to auto"
        )
    pool = train + validation
    codes, counts = np.unique(pool.codes, return_counts=True)
    rarest = counts.argmin()
    if counts[rarest] < folds:
        raise InputError(
            f"tuning.folds is {folds}, but only {counts[rarest]} training and validation rows have "
            f"{pool.labels[codes[rarest]]!r}: set it to a smaller number, or to auto"
        )
    dividing = StratifiedKFold(folds, shuffle=True, random_state=tuning.seed)
    return [
        (pool.take(learnt), pool.take(held_out))
        for learnt, held_out in dividing.split(pool.sequences, pool.codes)
    ]


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
