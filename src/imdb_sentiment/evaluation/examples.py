"""Choice of a few reviews to show."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

MAX_LENGTH_QUANTILE = 0.9  # per label; longer reviews take too much space


def choose_diverse(
    labels: Sequence[str | int], lengths: Sequence[float], n: int, *further: Sequence[float]
) -> npt.NDArray[np.intp]:
    """Choose a few reviews that differ in label, length and other measures.

    Labels take turns, the most frequent first. Among the reviews of a label, the one is chosen that
    is farthest from those chosen before (Gonzalez, "Clustering to Minimize the Maximum Intercluster
    Distance", 1985), by its rank in each measure. The first choice is the review in the middle, and
    ties go to the first review.

    Args:
        labels: Label of each review.
        lengths: Length of each review. The longest tenth of each label is chosen only if there are
            not enough others.
        n: Maximum number of reviews to choose.
        *further: Further measures, such as the confidence of a prediction.

    Returns:
        Positions of the chosen reviews, ascending, dtype intp.

    """
    names, codes, counts = np.unique(np.array(labels), return_inverse=True, return_counts=True)
    if not len(codes):
        return np.zeros(0, np.intp)
    ranks = [np.unique(measure, return_inverse=True)[1] for measure in (lengths, *further)]
    places = np.stack([rank / max(1, int(rank.max())) for rank in ranks], axis=1)
    measured = pd.Series(lengths)
    limits = measured.groupby(codes).transform("quantile", MAX_LENGTH_QUANTILE)
    is_long = (measured > limits).to_numpy()
    order = np.lexsort([np.arange(len(names)), -counts])
    chosen: list[int] = []
    distances = np.full(len(codes), np.inf)
    for is_candidate in (~is_long, is_long):
        left = {code: np.flatnonzero(is_candidate & (codes == code)) for code in order}
        while len(chosen) < n and any(map(len, left.values())):
            for code, candidates in left.items():
                if len(candidates) and len(chosen) < n:
                    if chosen:
                        best = int(candidates[distances[candidates].argmax()])
                    else:
                        to_middle = np.linalg.norm(places[candidates] - 0.5, axis=1)
                        best = int(candidates[to_middle.argmin()])
                    chosen.append(best)
                    left[code] = candidates[candidates != best]
                    to_best = np.linalg.norm(places - places[best], axis=1)
                    distances = np.minimum(distances, to_best)
    return np.array(sorted(chosen), np.intp)
