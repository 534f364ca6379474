"""How sure one may be of an accuracy, and of the difference between two."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.stats


def estimate_accuracy_interval(
    correct: npt.NDArray[np.bool_], *, resamples: int, seed: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of an accuracy (Efron, 1979).

    The mean of n zeros and ones drawn with replacement is a binomial number over n, so that is what
    is drawn: the same distribution, without the resampling.

    Args:
        correct: Whether each prediction is right, shape (reviews,).
        resamples: Number of draws.
        seed: Of the draws.
        confidence: Share of the draws inside the interval.

    Returns:
        Its lower and upper end.

    """
    n = len(correct)
    means = np.random.default_rng(seed).binomial(n, correct.mean(), size=resamples) / n
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of two models on the same reviews.

    Attributes:
        only_first: Reviews that the first model alone has right.
        only_second: Reviews that the second model alone has right.
        p_value: How probable a difference at least as large is if both are equally good.

    """

    only_first: int
    only_second: int
    p_value: float


def compare_models(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> McNemar:
    """Test whether two models differ in accuracy: McNemar (1947), exact and two-sided.

    Args:
        first: Whether the first model's predictions are right, shape (reviews,).
        second: The same of the second model.

    """
    only_first = int((first & ~second).sum())
    only_second = int((~first & second).sum())
    n = only_first + only_second
    p_value = float(scipy.stats.binomtest(only_first, n).pvalue) if n else 1.0
    return McNemar(only_first, only_second, p_value)
