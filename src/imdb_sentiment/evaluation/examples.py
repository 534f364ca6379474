"""Which of many reviews to show."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

MAX_LENGTH_QUANTILE = 0.9  # of a label: longer reviews take too much space


def choose_diverse(
    labels: Sequence[str | int], lengths: Sequence[float], n: int, *further: Sequence[float]
) -> npt.NDArray[np.intp]:
    """Choose a few reviews that differ in label, length and other measures.

    Labels take turns, the most frequent first. Of the reviews of a label, the one is chosen that
    is farthest from those chosen before (Gonzalez, "Clustering to Minimize the Maximum Intercluster
    Distance", 1985), by its rank in each measure; at the beginning, the one in the middle. Of equal
    ones, it is the first.

    Args:
        labels: Label of each review.
        lengths: Length of each review. The longest tenth of each label is not chosen.
        n: How many to choose, at most.
        *further: Further measures, such as the confidence of a prediction.

    Returns:
        Positions of the chosen reviews, ascending, dtype intp.

    """
    names, codes, counts = np.unique(np.array(labels), return_inverse=True, return_counts=True)
    if not len(codes):
        return np.zeros(0, np.intp)
    ranks = [np.unique(measure, return_inverse=True)[1] for measure in (lengths, *further)]
    places = np.stack([rank / max(1, rank.max()) for rank in ranks], axis=1)
    left = {code: _leave_out_longest(codes == code, lengths) for code in range(len(names))}
    order = sorted(left, key=lambda code: (-counts[code], code))
    chosen: list[int] = []
    distances = np.full(len(codes), np.inf)
    while len(chosen) < n and any(map(len, left.values())):
        for code in order:
            candidates = left[code]
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


def _leave_out_longest(
    is_member: npt.NDArray[np.bool_], lengths: Sequence[float]
) -> npt.NDArray[np.intp]:
    members = np.flatnonzero(is_member)
    own = np.array(lengths)[members]
    is_short: npt.NDArray[np.bool_] = own <= np.quantile(own, MAX_LENGTH_QUANTILE)
    return members[is_short]
