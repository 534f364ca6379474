"""Statistics: intervals, the comparison of two models, words that distinguish two texts."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MIN_GROUPS = 5  # with fewer, intervals of a bootstrap of groups are too narrow
CONFIDENCE = 0.95  # confidence level of all intervals
PRIOR_TOKENS = 1000  # weight of the prior in `compare_words`, as a number of tokens


def estimate_accuracy_interval(correct: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Return the 95% score interval of an accuracy (Wilson, 1927).

    Its width is positive even if all predictions are right, or none is.

    Args:
        correct: Whether each prediction is right, shape (reviews,).

    Returns:
        Lower and upper end of the interval.

    """
    from scipy.stats import binomtest

    test = binomtest(int(correct.sum()), len(correct))
    interval = test.proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def estimate_accuracy_interval_of_groups(
    correct: npt.NDArray[np.bool_],
    groups: npt.NDArray[np.integer],
    *,
    resamples: int,
    seed: int,
) -> tuple[float, float]:
    """Return the 95% interval of an accuracy on reviews that belong to groups.

    It is the interval of `estimate_interval`; with fewer than `MIN_GROUPS` groups, whose bootstrap
    would be too narrow, that of Student's distribution for a ratio of sums over groups (Cochran,
    "Sampling Techniques", 1977, chapter 6). Either is extended to Wilson's where that reaches
    further: whole groups may be right by chance, and the width must be positive even if all are.

    Args:
        correct: Whether each prediction is right, shape (reviews,).
        groups: Group of each review, shape (reviews,), of at least two groups.
        resamples: Number of resamples.
        seed: Seed of the resamples.

    Returns:
        Lower and upper end of the interval.

    """
    if len(np.unique(groups)) < MIN_GROUPS:
        of_groups = _estimate_accuracy_interval_of_few_groups(correct, groups)
    else:
        of_groups = estimate_interval(
            lambda rows: float(correct[rows].mean()),
            len(correct),
            groups=groups,
            resamples=resamples,
            seed=seed,
        )
    lows, highs = zip(of_groups, estimate_accuracy_interval(correct), strict=True)
    return min(lows), max(highs)


def _estimate_accuracy_interval_of_few_groups(
    correct: npt.NDArray[np.bool_], groups: npt.NDArray[np.integer]
) -> tuple[float, float]:
    from scipy.stats import t

    accuracy = correct.mean()
    group_of_row = np.unique(groups, return_inverse=True)[1]
    # Correct predictions of each group, minus those expected.
    residuals = np.bincount(group_of_row, correct - accuracy)
    n_groups = len(residuals)
    error = np.sqrt(n_groups / (n_groups - 1) * (residuals**2).sum()) / len(correct)
    margin = t.ppf((1 + CONFIDENCE) / 2, n_groups - 1) * error
    return float(max(0.0, accuracy - margin)), float(min(1.0, accuracy + margin))


def estimate_interval(
    measure: Callable[[npt.NDArray[np.intp]], float],
    n: int,
    *,
    resamples: int,
    seed: int,
    groups: npt.NDArray[np.integer] | None = None,
    units: float | None = None,
) -> tuple[float, float]:
    """Return the 95% percentile bootstrap interval of a number that is measured on reviews.

    If this is the difference of two models, both are measured on the same resampled reviews, since
    they make similar mistakes. The percentiles are expanded to what Student's distribution demands
    for few reviews (Hesterberg, "What Teachers Should Know About the Bootstrap", The American
    Statistician 69, 2015).

    Reviews of one group are alike, so they say less than as many independent ones. With groups,
    whole groups are resampled: the cluster bootstrap of Field and Welsh, "Bootstrapping Clustered
    Data", Journal of the Royal Statistical Society B 69 (2007).

    Args:
        measure: Function from the positions of reviews, with repetitions, to the number; NaN where
            it is not defined.
        n: Number of reviews.
        resamples: Number of resamples.
        seed: Seed of the resamples.
        groups: Group of each review, shape (n,), of at least two groups; None if the reviews are
            independent of each other.
        units: Number of reviews to which the uncertainty of the number corresponds, such as that of
            the rarest label in a mean over labels; None for all reviews.

    Returns:
        Lower and upper end of the interval.

    """
    from scipy.stats import norm, t

    rng = np.random.default_rng(seed)
    n_units = n if units is None else units
    if groups is None:
        samples = (rng.integers(n, size=n) for _ in range(resamples))
    else:
        order = np.argsort(groups, kind="stable")
        members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
        n_groups = len(members)
        n_units = min(n_units, n_groups)
        samples = (
            np.concatenate([members[group] for group in rng.integers(n_groups, size=n_groups)])
            for _ in range(resamples)
        )
    n_units = max(n_units, 2)  # two are the fewest whose variance is known
    quantile = t.ppf((1 - CONFIDENCE) / 2, n_units - 1)
    tail = float(norm.cdf((n_units / (n_units - 1)) ** 0.5 * quantile))
    low, high = np.nanquantile([measure(rows) for rows in samples], [tail, 1 - tail])
    return float(low), float(high)


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of two models on the same reviews.

    Attributes:
        only_first: Number of reviews that only the first model predicts correctly.
        only_second: Number of reviews that only the second model predicts correctly.
        p_value: Probability of a difference at least as large if both models are equally good.

    """

    only_first: int
    only_second: int
    p_value: float


def compare_models(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> McNemar:
    """Test whether two models differ in accuracy: McNemar (1947), exact and two-sided.

    Args:
        first: Whether each prediction of the first model is right, shape (reviews,).
        second: The same for the second model, on the same reviews in the same order.

    """
    from scipy.stats import binomtest

    only_first = int((first & ~second).sum())
    only_second = int((~first & second).sum())
    n = only_first + only_second
    p_value = float(binomtest(only_first, n).pvalue) if n else 1.0
    return McNemar(only_first, only_second, p_value)


def compare_words(
    counts: npt.NDArray[np.int64], other_counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Compare the frequency of each word in one body of text with that in another.

    This is the log-odds ratio with an informative Dirichlet prior, as a z-score, of Monroe,
    Colaresi and Quinn, "Fightin' Words", Political Analysis 16 (2008), equation 22. Words that are
    merely frequent, or merely rare, stay near 0.

    Args:
        counts: Occurrences of each word in the first text, shape (words,).
        other_counts: Occurrences of each word in the other text, shape (words,).

    Returns:
        Array of shape (words,); 0 for a word that occurs in neither text.

    """
    total = counts + other_counts
    occurs = total > 0
    prior = PRIOR_TOKENS * total[occurs] / max(1, int(total.sum()))
    log_odds, variances = [], []
    for count in (counts[occurs], other_counts[occurs]):
        smoothed = count + prior
        log_odds.append(np.log(smoothed / (count.sum() + prior.sum() - smoothed)))
        variances.append(1 / smoothed)
    scores = np.zeros(len(total))
    scores[occurs] = (log_odds[0] - log_odds[1]) / np.sqrt(variances[0] + variances[1])
    return scores
