"""Division into the folds of a cross-validation."""

import warnings

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.intp]


def draw_folds(
    codes: npt.NDArray[np.integer], groups: npt.NDArray[np.integer] | None, folds: int, seed: int
) -> list[tuple[Places, Places]]:
    """Return the positions that are learnt from and those that are held out, for each fold.

    Each fold has the same mix of labels, as far as the groups allow, since no group is divided.

    Args:
        codes: Code of each review's label, shape (reviews,).
        groups: Group of each review, shape (reviews,); None if there are no groups.
        folds: Number of folds.
        seed: Seed of the division.

    Raises:
        ValueError: Every label has fewer rows than there are folds, or there are fewer groups.

    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    dividing = kind(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings(action="ignore"):  # of labels with fewer rows than folds
        return list(dividing.split(codes, codes, groups))
