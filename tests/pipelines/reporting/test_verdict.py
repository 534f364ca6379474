"""What the scores say, and the commands that follow from it."""

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import run_shell
from imdb_sentiment.command_line import SERVE
from imdb_sentiment.pipelines.reporting.nodes.verdict import (
    EXPORT_NGRAMS,
    FIND_RARE_LABELS,
    SCORE_A_FILE,
    Verdict,
    find_neglected_labels,
    find_rare_labels,
    is_for_accuracy,
    judge,
    may_be_constant,
    search_longer,
    suggest_next_steps,
    suggest_threshold,
)
from imdb_sentiment.serving import Predictor

# Of a model that is better than always predicting the most frequent label.
USEFUL = {"tuning_metric": "accuracy", "has_enough_groups": True, "better_than_majority": True}


def suggest(metrics: dict[str, Any], verdict: Verdict, **changes: Any) -> list[dict[str, Any]]:
    plain = {"n_trials": 2, "is_searched": True, "is_constant": False, "hides_labels": False}
    return suggest_next_steps(metrics, verdict, **(plain | changes))


def make_metrics(model: float, baseline: float, p_value: float) -> dict[str, Any]:
    return {
        "right_only_by_model": round(1000 * model),
        "right_only_by_baseline": round(1000 * baseline),
        "mcnemar_p_value": p_value,
        "test_set_unseen_in_tuning": True,
        "has_enough_groups": True,
        "has_enough_reviews": True,
    }


def test_the_verdict_follows_the_test() -> None:
    for p_value in (0.01, 0.049):
        assert judge(make_metrics(0.9, 0.8, p_value)) == "model"
        assert judge(make_metrics(0.8, 0.9, p_value)) == "baseline"
    for p_value in (0.051, 0.2):
        assert judge(make_metrics(0.9, 0.8, p_value)) == "neither"
        assert judge(make_metrics(0.8, 0.9, p_value)) == "neither"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.1, 0.2, "model"),
        (-0.2, -0.1, "baseline"),
        (-0.1, 0.2, "neither"),
        (np.nan, np.nan, "neither"),
    ],
)
def test_by_another_metric_the_verdict_follows_its_interval(
    low: float, high: float, verdict: str
) -> None:
    gain = {"metric_gain": (low + high) / 2, "metric_gain_low": low, "metric_gain_high": high}
    for p_value in (0.01, 0.9):
        assert judge(make_metrics(0.8, 0.9, p_value) | gain) == verdict


@pytest.mark.parametrize(
    ("condition", "verdict"),
    [
        ("test_set_unseen_in_tuning", "seen reviews"),
        ("has_enough_groups", "too few groups"),
        ("has_enough_reviews", "too few reviews"),
    ],
)
def test_there_is_no_verdict_without_a_fair_test(condition: str, verdict: str) -> None:
    metrics = make_metrics(0.9, 0.8, 0.001)
    gain = {"metric_gain": 0.2, "metric_gain_low": 0.1, "metric_gain_high": 0.3}
    for found in (metrics, metrics | gain):
        assert judge(found | {condition: False}) == verdict


def test_labels_are_neglected_if_less_than_half_is_found() -> None:
    recalls = {"a": 0.49, "b": 0.5, "c": 0.0, "d": None}
    by_label = {label: {"recall": recall} for label, recall in recalls.items()}
    assert find_neglected_labels({"test_by_label": by_label}) == ["c", "a"]


@pytest.mark.parametrize(
    ("verdict", "share", "commands"),
    [
        (Verdict.MODEL, 0.5, [[SERVE, SCORE_A_FILE]]),
        (Verdict.BASELINE, 0.5, [[EXPORT_NGRAMS, SERVE]]),
        (Verdict.BASELINE, 0.0, [[EXPORT_NGRAMS, SERVE]]),
        (Verdict.BASELINE, 1.0, [[SERVE, SCORE_A_FILE]]),  # it is linear already
        (Verdict.NEITHER, 0.5, [[SERVE, SCORE_A_FILE], [EXPORT_NGRAMS, SERVE]]),
    ],
)
def test_every_verdict_leads_to_commands(
    verdict: Verdict, share: float, commands: list[list[str]]
) -> None:
    metrics: dict[str, Any] = {"ngram_share": share, "has_thresholds": False}
    metrics |= USEFUL | {"test_accuracy": 0.87}
    metrics |= {"ngrams_test_accuracy": 0.876} if share else {}
    steps = suggest(metrics, verdict)
    assert [step["commands"] for step in steps] == commands
    says = " ".join(step["says"] for step in steps)
    assert ("got 87.6% of the test reviews right" in says) == (
        0 < share < 1 and verdict != Verdict.MODEL
    )
    more = suggest(metrics, verdict, hides_labels=True)
    assert more[:-1] == steps
    assert more[-1]["commands"] == [FIND_RARE_LABELS]


@pytest.mark.parametrize("verdict", sorted(Verdict))
def test_a_model_that_may_be_a_constant_is_not_to_be_used(verdict: Verdict) -> None:
    metrics = {"ngram_share": 0.5, "has_thresholds": False, "test_accuracy": 0.5, **USEFUL}
    metrics |= {"ngrams_test_accuracy": 0.52, "ngrams_better_than_majority": False}
    metrics |= {"better_than_majority": False}
    assert may_be_constant(metrics, accuracy_counts=True)
    for share, commands in ((0.5, [[], [FIND_RARE_LABELS]]), (0.9, [[FIND_RARE_LABELS]])):
        found = metrics | {"majority_test_accuracy": share}
        steps = suggest(found, verdict, is_constant=True, hides_labels=True)
        assert [step["commands"] for step in steps] == commands
        assert steps[0]["says"].startswith("Do not use the model yet: ")
    assert not may_be_constant(metrics, accuracy_counts=False)
    assert not may_be_constant(metrics | {"has_enough_groups": False}, accuracy_counts=True)


def test_n_grams_that_are_better_than_a_constant_are_to_be_used() -> None:
    metrics = {"ngram_share": 0.5, "has_thresholds": False, "test_accuracy": 0.5, **USEFUL}
    metrics |= {"ngrams_test_accuracy": 0.55, "ngrams_better_than_majority": True}
    metrics |= {"better_than_majority": False, "majority_test_accuracy": 0.52}
    (step,) = suggest(metrics, Verdict.BASELINE, is_constant=True)
    assert step["commands"] == [EXPORT_NGRAMS, SERVE]
    for change in (
        {"has_thresholds": True},
        {"ngrams_better_than_majority": False},
        {"ngram_share": 0},
        {"ngram_share": 1},
    ):
        (step,) = suggest(metrics | change, Verdict.BASELINE, is_constant=True)
        assert step["says"].startswith("Do not use the model yet: ")


@pytest.mark.parametrize(
    "change",
    [
        {"tuning_metric": "F1"},
        {"class_weight": "balanced"},
        {"decision": "median"},
        {"decision_target": {"label": "bad", "recall": 0.9}},
    ],
)
def test_the_accuracy_does_not_count_if_the_training_aims_at_something_else(
    change: dict[str, Any],
) -> None:
    plain: dict[str, Any] = {"tuning_metric": "accuracy", "decision": "auto"}
    plain |= {"class_weight": None, "decision_target": None}
    assert is_for_accuracy(plain, plain)
    assert not is_for_accuracy(plain | change, plain | change)


def test_a_label_is_rare_if_others_are_clearly_more_frequent() -> None:
    metrics = {"test_by_label": {"a": {"rows": 70}, "b": {"rows": 90}, "c": {"rows": 110}}}
    assert find_rare_labels(metrics, ["c", "b", "a"]) == ["a"]
    assert not find_rare_labels(metrics, ["b"])


def test_n_grams_that_are_worse_than_the_model_are_no_way_to_the_baseline() -> None:
    metrics = {
        "ngram_share": 0.5,
        "has_thresholds": False,
        "test_accuracy": 0.87,
        "ngrams_test_accuracy": 0.86,
        **USEFUL,
    }
    (step,) = suggest(metrics, Verdict.BASELINE, n_trials=3)
    assert step["commands"] == [search_longer(3)]
    assert search_longer(3).endswith(" tuning.n_trials=30")
    for change in ({"has_thresholds": True}, {"tuning_metric": "log loss"}):
        (other,) = suggest(metrics | change, Verdict.BASELINE, n_trials=3)
        assert other["commands"] == [EXPORT_NGRAMS, SERVE]
        assert ("of the test reviews right" in other["says"]) == ("tuning_metric" in change)


def test_a_threshold_is_suggested_for_labels_that_can_be_typed() -> None:
    def suggest_for(label: str) -> str | None:
        return suggest_threshold([label], {label: 100}, 100)

    assert suggest_for("so, so") is None
    for label in (" bad", "007", "1e3", "no", "true", "null"):  # Kedro would read something else
        assert f".label='{label}'," in shlex.split(str(suggest_for(label)))[-1]
    command = suggest_for("not bad")
    assert command is not None
    assert command.endswith(
        " 'training.decision_target.label=not bad,training.decision_target.recall=0.9'"
    )


def test_a_threshold_is_suggested_for_a_label_with_enough_held_out_reviews() -> None:
    learnt = {"rare": 29, "usual": 31, "frequent": 940}
    for held_out_rows, label in ((1000, "rare"), (500, "usual"), (100, "frequent"), (15, None)):
        command = suggest_threshold(learnt, learnt, held_out_rows)
        assert (f".label={label}," in command) if command else label is None


@pytest.mark.parametrize("verdict", [Verdict.TOO_FEW_REVIEWS, Verdict.TOO_FEW_GROUPS])
def test_more_reviews_come_first_if_there_are_too_few_to_judge(verdict: Verdict) -> None:
    metrics = {"ngram_share": 0.5, "has_thresholds": True, "test_accuracy": 0.5, **USEFUL}
    first, *others = suggest(metrics, verdict)
    assert "Label more reviews: there are too few test" in first["says"]
    assert others == suggest(metrics, Verdict.NEITHER)


@pytest.mark.slow
def test_the_suggested_commands_do_what_is_said(copy_of_finished: Path) -> None:
    """Run them one after the other, as a reader would."""
    model_file = copy_of_finished / "data/06_models/model.onnx"
    facts_file = copy_of_finished / "data/08_reporting/facts.json"
    before = json.loads(facts_file.read_text())
    threshold = (
        "kedro run --pipelines training,reporting --only-missing-outputs --params "
        "training.decision_target.label=negative,training.decision_target.recall=0.9"
    )
    assert suggest_threshold(["negative"], {"negative": 100}, 100) == threshold
    assert EXPORT_NGRAMS == (
        "kedro run --pipelines training,reporting --only-missing-outputs --params "
        "training.ngrams.share=1"
    )
    run_shell(copy_of_finished, EXPORT_NGRAMS)
    predictor, facts = Predictor(model_file.read_bytes()), json.loads(facts_file.read_text())
    assert facts["metrics"]["ngram_share"] == 1
    assert facts["metrics"]["test_accuracy"] == before["metrics"]["ngrams_test_accuracy"]
    assert facts["model"]["classifier"] == "n-grams"
    assert predictor.predict("lovely brilliant film").label == "positive"
    assert "A linear model of n-grams that classifies" in report_of(copy_of_finished)

    run_shell(copy_of_finished, threshold)
    facts = json.loads(facts_file.read_text())
    assert facts["decision"]["aim"] == "recall of negative of at least 0.9"
    assert facts["decision"]["after"] >= 0.9
    run_shell(copy_of_finished, "kedro run --pipelines reporting")  # with the same parameters
    assert json.loads(facts_file.read_text())["decision"] == facts["decision"]

    steps = suggest(facts["metrics"], Verdict.MODEL, hides_labels=True)
    run_shell(copy_of_finished, steps[-1]["commands"][0])
    facts = json.loads(facts_file.read_text())
    assert facts["metrics"]["tuning_metric"] == "macro F1"


def report_of(project: Path) -> str:
    return " ".join((project / "data/08_reporting/report.html").read_text("utf-8").split())
