"""Conclusions from the scores: the better model, labels that they hide, and the next steps."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from imdb_sentiment.command_line import SERVE, quote_value, quote_word

SIGNIFICANCE_LEVEL = 0.05

# Commands to run next. Partial runs reuse the parameters of the run that made their inputs; the
# console adds those that they would not reuse.
SCORE_A_FILE = (
    "kedro run --pipelines inference --params input_file=reviews.csv,output_file=scored.csv"
)
# Without training a network again.
ADAPT_MODEL = "kedro run --pipelines training,reporting --only-missing-outputs"
EXPORT_NGRAMS = f"{ADAPT_MODEL} --params training.ngrams.share=1"
FIND_RARE_LABELS = "kedro run --pipelines tuning,training,reporting --params tuning.metric=f1_macro"
TIMES_LONGER = 10
RECALL = 0.9  # target recall in the example
MIN_HELD_OUT = 15  # minimum number of held-out reviews with a label for that recall
FREQUENT = 0.8  # share of a label from which on the accuracy is a poor metric
RARE = 0.8  # number of reviews below which a label is rare, as a share of the mean


class Verdict(StrEnum):
    """Which of the two models the test shows to be better, or why it shows nothing."""

    MODEL = "model"
    BASELINE = "baseline"
    NEITHER = "neither"
    TOO_FEW_GROUPS = "too few groups"
    TOO_FEW_REVIEWS = "too few reviews"
    SEEN_REVIEWS = "seen reviews"


def judge(metrics: dict[str, Any]) -> Verdict:
    """Return which model the test reviews show to be better, at a significance level of 5%.

    The accuracies are compared by McNemar's test. For another metric, or if the reviews belong to
    groups, the confidence interval of the difference decides, unless the groups or the reviews are
    too few for it. Nothing is concluded from reviews that the hyperparameters were chosen on.

    Args:
        metrics: Output of `collect_metrics`.

    """
    conditions = {
        "test_set_unseen_in_tuning": Verdict.SEEN_REVIEWS,
        "has_enough_groups": Verdict.TOO_FEW_GROUPS,
        "has_enough_reviews": Verdict.TOO_FEW_REVIEWS,
    }
    for condition, verdict in conditions.items():
        if not metrics[condition]:
            return verdict
    if "metric_gain" in metrics:
        if metrics["metric_gain_low"] > 0:
            return Verdict.MODEL
        return Verdict.BASELINE if metrics["metric_gain_high"] < 0 else Verdict.NEITHER
    if metrics["mcnemar_p_value"] >= SIGNIFICANCE_LEVEL:
        return Verdict.NEITHER
    better = metrics["right_only_by_model"] > metrics["right_only_by_baseline"]
    return Verdict.MODEL if better else Verdict.BASELINE


def is_for_accuracy(metrics: dict[str, Any], training: dict[str, Any]) -> bool:
    """Return whether the accuracy is what the search and the training aimed at.

    Args:
        metrics: Output of `collect_metrics`.
        training: Parameters of the training.

    """
    return (
        metrics["tuning_metric"] == "accuracy"
        and training["class_weight"] is None
        and training["decision_target"] is None
        and training["decision"] != "median"
    )


def may_be_constant(metrics: dict[str, Any], *, accuracy_counts: bool) -> bool:
    """Return whether the model is not shown to be better than always predicting one label.

    This is only said if the accuracy is what counts.

    Args:
        metrics: Output of `collect_metrics`.
        accuracy_counts: Output of `is_for_accuracy`.

    """
    return accuracy_counts and metrics["has_enough_groups"] and not metrics["better_than_majority"]


def find_rare_labels(metrics: dict[str, Any], labels: Iterable[str]) -> list[str]:
    """Return those of some labels that are clearly rarer than the mean in the test reviews."""
    rows = {label: row["rows"] for label, row in metrics["test_by_label"].items()}
    return [label for label in labels if rows[label] * len(rows) < RARE * sum(rows.values())]


def find_neglected_labels(metrics: dict[str, Any]) -> list[str]:
    """Return the labels with a recall below one half on the test reviews, worst first.

    The accuracy hides them if they are rare.

    Args:
        metrics: Output of `collect_metrics`.

    """
    recalls = {label: row["recall"] for label, row in metrics["test_by_label"].items()}
    neglected = [label for label, recall in recalls.items() if recall is not None and recall < 0.5]  # noqa: PLR2004
    return sorted(neglected, key=lambda label: recalls[label])


def suggest_next_steps(
    metrics: dict[str, Any],
    verdict: Verdict,
    *,
    n_trials: int,
    is_searched: bool,
    is_constant: bool,
    hides_labels: bool,
) -> list[dict[str, Any]]:
    """Return what to do with the model, the most useful first.

    Args:
        metrics: Output of `collect_metrics`.
        verdict: The better model, from `judge`.
        n_trials: Number of trials of the search.
        is_searched: Whether they differ in any hyperparameter.
        is_constant: Output of `may_be_constant`.
        hides_labels: Whether there are rare labels that the accuracy hides, and at which neither
            the search nor the training aims.

    Returns:
        For each step, its purpose (`says`), and its `commands`, possibly none.

    """
    share = metrics["ngram_share"]
    use = (
        "Use the model: start the service and its web page, or score a file:",
        [SERVE, SCORE_A_FILE],
    )
    # With thresholds, which each part lacks, their accuracy is of another kind.
    is_known = bool(share) and not metrics["has_thresholds"]
    if is_constant and verdict == Verdict.BASELINE and is_known and share < 1:
        is_constant = not metrics["ngrams_better_than_majority"]
    steps: list[tuple[str, list[str]]]
    if is_constant:
        says = "Do not use the model yet: label more reviews first, and then repeat the run."
        steps = [(says, [])]
        if metrics["majority_test_accuracy"] >= FREQUENT:
            says = (
                "Do not use the model yet: one label is so frequent that the accuracy says little. "
                "Choose a metric that gives every label the same weight:"
            )
            steps, hides_labels = [(says, [FIND_RARE_LABELS])], False
    elif verdict == Verdict.MODEL or share == 1:
        steps = [use]
    else:
        alone = "the n-grams alone, without the LSTM: they are a linear model like the baseline"
        if is_known:
            accuracy = metrics["ngrams_test_accuracy"]
            alone += f", and got {accuracy:.1%} of the test reviews right"
        commands = [EXPORT_NGRAMS, SERVE]
        is_worse = is_known and accuracy < metrics["test_accuracy"]
        may_search = is_searched and metrics["tuning_metric"] == "accuracy"
        if verdict == Verdict.BASELINE and is_worse and may_search:
            says = "The n-grams alone are no better than the model, but a longer search may help:"
            steps = [(says, [search_longer(n_trials)])]
        elif verdict == Verdict.BASELINE:
            steps = [(f"Use {alone}.", commands)]
        else:
            steps = [use, (f"Or use {alone}.", commands)]
    few = {Verdict.TOO_FEW_REVIEWS: "reviews", Verdict.TOO_FEW_GROUPS: "groups of reviews"}
    if verdict in few and not is_constant:
        says = f"Label more reviews: there are too few test {few[verdict]} to judge the model."
        steps.insert(0, (says, []))
    if hides_labels:
        says = "Find reviews with the labels above more often, at the cost of some accuracy:"
        steps.append((says, [FIND_RARE_LABELS]))
    return [{"says": says, "commands": commands} for says, commands in steps]


def search_longer(n_trials: int) -> str:
    """Return the command that goes on with a search of `n_trials` trials."""
    params = f"tuning.n_trials={TIMES_LONGER * n_trials}"
    return f"kedro run --pipelines tuning,training,reporting --params {params}"


def suggest_threshold(
    labels: Iterable[str], learnt: dict[str, int], held_out_rows: int
) -> str | None:
    """Return the command that chooses thresholds for a recall of a label.

    Args:
        labels: Labels that may be meant, the likeliest first.
        learnt: Number of training and validation reviews of each label.
        held_out_rows: Number of these reviews that are held out.

    Returns:
        The command for the first label of which enough reviews are held out; None if there is none,
        or if it can't be given in `--params`, as with a comma.

    """
    share = held_out_rows / sum(learnt.values())
    label = next((label for label in labels if share * learnt[label] >= MIN_HELD_OUT), None)
    quoted = quote_value(label)
    if label is None or quoted is None:
        return None
    target = "training.decision_target"
    wanted = quote_word(f"{target}.label={quoted},{target}.recall={RECALL}")
    return f"{ADAPT_MODEL} --params {wanted}"
