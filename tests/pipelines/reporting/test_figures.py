"""The figures' numbers, each against another way to compute it."""

import html
import json
import math
from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
import scipy.stats
from optuna.trial import TrialState
from sklearn.metrics import average_precision_score

from helpers import make_predictions, make_study, rank_auc, small_hyperparameters, with_words
from imdb_sentiment.evaluation.calibration import measure_calibration
from imdb_sentiment.evaluation.predictions import get_codes
from imdb_sentiment.parameters import ReportParameters, ReviewsParameters
from imdb_sentiment.pipelines.reporting.nodes.figures import style
from imdb_sentiment.pipelines.reporting.nodes.figures.curves import (
    plot_precision_recall_curves,
    plot_roc_curves,
    plot_thresholds,
)
from imdb_sentiment.pipelines.reporting.nodes.figures.data import (
    plot_distinctive_words,
    plot_label_balance,
    plot_review_lengths,
)
from imdb_sentiment.pipelines.reporting.nodes.figures.learning_curves import (
    find_chosen_epoch,
    plot_learning_curves,
)
from imdb_sentiment.pipelines.reporting.nodes.figures.predictions import (
    plot_accuracy_by_confidence,
    plot_accuracy_by_length,
    plot_confusion_matrix,
    plot_reliability,
)
from imdb_sentiment.pipelines.reporting.nodes.figures.run_history import plot_run_history
from imdb_sentiment.pipelines.reporting.nodes.figures.trials import (
    plot_optimization_history,
    plot_parameter_importances,
    plot_slice,
    plot_trial_times,
)
from imdb_sentiment.pipelines.reporting.nodes.runs import compare_runs
from services import EVEN, make_tokenizer

DESCRIPTION: dict[str, Any] = {
    "labels": ["negative", "positive"],
    "sequence_length": 20,
    "splits": {
        "train": {"by_label": {"negative": 5, "positive": 7}},
        "test": {"by_label": {"negative": 2, "positive": 1}},
    },
    "lengths": {"edges": [0, 10, 20], "counts": {"train": [3, 9], "test": [0, 0]}},
    "distinctive_words": {
        "negative": [{"word": "bad", "z": 3.0, "count": 9, "elsewhere": 1}],
        "positive": [{"word": "good", "z": 2.0, "count": 8, "elsewhere": 2}],
    },
}
CALIBRATION: dict[str, Any] = {
    "temperature": 1.0,
    "ngram_share": 0.5,
    "weights": {"network": 0.5, "ngrams": 0.5, "bias": [0.7]},  # of labels with weights in the loss
    "uncalibrated_reason": "too_few_rows",
}


def test_the_data_are_drawn_as_counted() -> None:
    balance = plot_label_balance(DESCRIPTION)
    assert {bar.name: list(bar.y) for bar in balance.data} == {
        "negative": [5, 2],
        "positive": [7, 1],
    }
    lengths = plot_review_lengths(DESCRIPTION, CALIBRATION)
    assert {line.name: list(line.y) for line in lengths.data} == {
        "train": [0.25, 0.75, 0],
        "test": [0, 0, 0],  # empty groups, without a division by 0
    }
    assert lengths.layout.shapes[0].x0 == 20
    whole = plot_review_lengths(DESCRIPTION, CALIBRATION | {"ngram_share": 1})
    assert not whole.layout.shapes  # n-grams alone read all of a review
    assert whole.layout.xaxis.title.text == "known tokens"
    short = plot_review_lengths(DESCRIPTION | {"sequence_length": 200}, CALIBRATION)
    assert not short.layout.shapes  # which would stretch the axis
    assert short.layout.xaxis.title.text == "known tokens<br>(limit: 200)"
    words = plot_distinctive_words(DESCRIPTION)
    assert [(bar.y[0], bar.x[0]) for bar in words.data] == [("bad", 3), ("good", 2)]
    without = DESCRIPTION | {"distinctive_words": {"negative": [], "positive": []}}
    assert plot_distinctive_words(without).layout.meta["is_message"]


def test_the_confusion_matrix_counts(reviews: ReviewsParameters) -> None:
    frame = make_predictions(200, reviews.labels)
    matrix = plot_confusion_matrix(frame, reviews)
    for row, actual in enumerate(reviews.labels):
        for column, predicted in enumerate(reviews.labels):
            both = (frame["sentiment"] == actual) & (frame["predicted_sentiment"] == predicted)
            assert matrix.data[0].z[row][column] == both.sum()


def measure_area(line: Any) -> float:
    """Return the area under a line as plotly draws it, from right to left."""
    if line.line.shape == "hv":
        return float(np.dot(line.y[:-1], -np.diff(line.x)))
    return float(-np.trapezoid(line.y, line.x))


def test_curves_have_the_areas_that_they_claim(reviews: ReviewsParameters) -> None:
    frame, other = (make_predictions(200, reviews.labels, seed) for seed in (0, 1))
    roc = plot_roc_curves(frame, other, reviews)
    areas = []
    for curve, predictions in zip(roc.data, (frame, other), strict=False):
        score = predictions["probability_positive"].to_numpy()
        good = (predictions["sentiment"] == "positive").to_numpy()
        areas.append(rank_auc(score[good], score[~good]))
        assert np.trapezoid(curve.y, curve.x) == pytest.approx(areas[-1], abs=1e-3)
    expected = f"positive<br>AUC {areas[0]:.3f}<br>baseline {areas[1]:.3f}"
    assert [title.text for title in roc.layout.annotations] == [expected]
    curves = plot_precision_recall_curves(frame, other, reviews)
    first, second = (
        average_precision_score(
            predictions["sentiment"] == "positive", predictions["probability_positive"]
        )
        for predictions in (frame, other)
    )
    expected = f"positive<br>AP {first:.3f}<br>baseline {second:.3f}"
    assert [title.text for title in curves.layout.annotations] == [expected]
    assert [curve.name for curve in curves.data] == ["model", "baseline"]
    areas = [measure_area(curve) for curve in curves.data]
    assert areas == pytest.approx([first, second], abs=1e-4)


def test_the_precision_of_equal_predictions_is_a_flat_line(reviews: ReviewsParameters) -> None:
    frame = make_predictions(10, reviews.labels).assign(probability_positive=0.5)
    curve, _ = plot_precision_recall_curves(frame, frame, reviews).data
    share = (frame["sentiment"] == "positive").mean()
    assert measure_area(curve) == pytest.approx(share, abs=1e-4)


def test_several_labels_get_a_panel_each(reviews: ReviewsParameters) -> None:
    labels = ("bad", "<i>a rather long name</i>", "so-so")
    named = reviews.model_copy(update={"labels": labels})
    frame = make_predictions(200, labels)
    roc = plot_roc_curves(frame, frame, named)
    recall = plot_precision_recall_curves(frame, frame, named)
    thresholds = plot_thresholds(frame, EVEN | {"threshold": None}, named)
    for figure in (roc, recall, thresholds):
        titles = [title.text.split("<br>")[0] for title in figure.layout.annotations]
        assert titles == ["bad", "&lt;i>a rather l…me&lt;/i>", "so-so"]
        shown = [line.name for line in figure.data if line.showlegend]
        assert shown == list(dict.fromkeys(line.name for line in figure.data))  # each once
    places = [(line.name, line.xaxis) for line in roc.data]
    names = ("model", "baseline", "chance")
    assert sorted(places) == sorted((name, axis) for name in names for axis in ("x", "x2", "x3"))
    assert [line.xaxis for line in recall.data] == ["x", "x", "x2", "x2", "x3", "x3"]
    assert not thresholds.layout.shapes


def test_the_threshold_of_the_model_is_marked(reviews: ReviewsParameters) -> None:
    frame = make_predictions(200, reviews.labels)
    figure = plot_thresholds(frame, EVEN | {"threshold": 0.3}, reviews)
    assert [line.name for line in figure.data] == ["precision", "recall"]
    assert [line.x0 for line in figure.layout.shapes] == [0.3]


def test_reliability_shows_before_and_after(
    reviews: ReviewsParameters, report: ReportParameters
) -> None:
    frame = make_predictions(300, reviews.labels)
    names = [line.name for line in plot_reliability(frame, CALIBRATION, reviews, report).data]
    assert [name.split(" (")[0] for name in names] == ["the model", "perfectly calibrated"]
    fitted = {"temperature": 0.5, "weights": {}, "uncalibrated_reason": None}
    both = plot_reliability(frame, CALIBRATION | fitted, reviews, report)
    names = [line.name for line in both.data]
    assert [name.split(" (")[0] for name in names] == [
        "uncalibrated",
        "calibrated",
        "perfectly calibrated",
    ]
    for line in both.data[:2]:
        assert sum(line.customdata) == 300
    before, calibrated = both.data[:2]
    roots = frame[[f"probability_{label}" for label in reviews.labels]].to_numpy() ** 0.5
    sure = (roots / roots.sum(axis=1, keepdims=True)).max(axis=1)
    assert np.average(before.x, weights=before.customdata) == pytest.approx(sure.mean(), abs=1e-4)
    assert np.average(calibrated.x, weights=calibrated.customdata) == pytest.approx(
        frame["probability"].mean(), abs=1e-4
    )
    right = (frame["sentiment"] == frame["predicted_sentiment"]).sum()
    assert np.dot(calibrated.y, calibrated.customdata) == pytest.approx(right, abs=0.02)


def draw_accuracy_by_length(
    predictions: pd.DataFrame,
    baseline_predictions: pd.DataFrame,
    texts: Iterable[str],
    report: ReportParameters,
) -> Any:
    frame = pd.DataFrame({"text": list(texts)}).assign(split="test")
    chunk, words = with_words(frame.assign(row=range(len(frame))))
    return plot_accuracy_by_length(
        test_predictions=predictions,
        baseline_predictions=baseline_predictions,
        clean_reviews=[chunk[len(chunk) // 2 :], chunk[: len(chunk) // 2]],
        tokenizer=make_tokenizer(),
        words=words,
        data_description=DESCRIPTION,
        calibration=CALIBRATION,
        report=report,
    )


def test_accuracy_by_length_is_that_of_equal_groups(
    reviews: ReviewsParameters, report: ReportParameters
) -> None:
    frame = make_predictions(200, reviews.labels)
    texts = (" ".join(["w1", "unheard"] * (i + 1)) for i in range(200))
    four = report.model_copy(update={"groups": 4})
    shuffled = frame.sample(frac=1, random_state=0)
    figure = draw_accuracy_by_length(frame, shuffled, texts, four)
    line, other = figure.data
    assert (line.name, other.name) == ("model", "baseline")
    right = (frame["sentiment"] == frame["predicted_sentiment"]).to_numpy()
    assert list(line.y) == [right[50 * i : 50 * i + 50].mean() for i in range(4)]
    assert list(line.x) == [25.5, 75.5, 125.5, 175.5]
    assert list(other.y) == list(line.y)
    z, p = scipy.stats.norm.ppf(0.975), line.y[0]
    middle, half = p + z**2 / 100, z * math.sqrt(p * (1 - p) / 50 + z**2 / 10_000)
    high, low = (middle + half) / (1 + z**2 / 50), (middle - half) / (1 + z**2 / 50)
    assert line.error_y.array[0] == pytest.approx(high - p, abs=1e-4)  # Wilson, 1927
    assert line.error_y.arrayminus[0] == pytest.approx(p - low, abs=1e-4)


@pytest.mark.parametrize(
    ("lengths", "medians"),
    [([2] * 50, [2]), ([1, 2, 3], [1, 2, 3]), ([4], [4]), ([1] * 20 + [5] * 80, [1, 5])],
)
def test_reviews_of_one_length_are_one_group(
    lengths: list[int], medians: list[int], reviews: ReviewsParameters, report: ReportParameters
) -> None:
    texts = [" ".join(["w1"] * n) for n in lengths]
    frame = make_predictions(len(texts), reviews.labels)
    figure = draw_accuracy_by_length(frame, frame, texts, report)
    assert list(figure.data[0].x) == medians
    assert figure.layout.xaxis.title.text.endswith("(limit: 20)")


def test_a_label_is_drawn_letter_by_letter(reviews: ReviewsParameters) -> None:
    labels = ("<b>bad</b>", "R&B")
    named = reviews.model_copy(update={"labels": labels})
    matrix = plot_confusion_matrix(make_predictions(20, labels), named)
    assert list(matrix.data[0].x) == ["&lt;b>bad&lt;/b>", "R&amp;B"]


@pytest.mark.parametrize("n_labels", [3, 40])
def test_every_label_of_a_confusion_matrix_has_room(
    n_labels: int, reviews: ReviewsParameters
) -> None:
    labels = tuple(f"label {n} <of a name that is rather long>" for n in range(n_labels))
    named = reviews.model_copy(update={"labels": labels})
    matrix = plot_confusion_matrix(make_predictions(400, labels), named)
    width = 450 if matrix.layout.meta is None else matrix.layout.meta["min_width"]
    height = matrix.layout.height or 400
    for axis, values, pixels in (
        (matrix.layout.xaxis, matrix.data[0].x, width),
        (matrix.layout.yaxis, matrix.data[0].y, height),
    ):
        assert list(axis.tickvals) == list(values)
        names = list(map(html.unescape, axis.ticktext))
        assert [name[:9] for name in names] == [label[:9] for label in labels]
        assert max(map(len, names)) <= style.LONGEST_NAME
        assert pixels / n_labels >= 20


def test_each_of_many_labels_has_a_bar_and_no_colour_of_another() -> None:
    labels = [f"label {n} of a name that is rather long" for n in range(20)]
    counts = {label: 5 + n for n, label in enumerate(labels)}
    splits = {"train": {"by_label": counts}, "test": {"by_label": dict.fromkeys(labels, 1)}}
    figure = plot_label_balance(DESCRIPTION | {"labels": labels, "splits": splits})
    assert [bar.name for bar in figure.data] == ["train", "test"]
    assert dict(zip(figure.data[0].y, figure.data[0].x, strict=True)) == counts
    axis = figure.layout.yaxis
    assert list(axis.tickvals) == labels
    assert max(map(len, axis.ticktext)) <= style.LONGEST_NAME
    assert figure.layout.height / len(labels) >= 20


def test_of_many_labels_the_most_frequent_get_a_panel(reviews: ReviewsParameters) -> None:
    labels = tuple(f"label {n}" for n in range(22))
    named = reviews.model_copy(update={"labels": labels})
    frame = make_predictions(300, labels)
    frame = frame[~frame["sentiment"].isin(["label 3", "label 20"])]
    for figure in (
        plot_roc_curves(frame, frame, named),
        plot_precision_recall_curves(frame, frame, named),
        plot_thresholds(frame, EVEN | {"threshold": None}, named),
    ):
        titles = [title.text.split("<br>")[0] for title in figure.layout.annotations]
        assert titles == [label for label in labels if label not in ("label 3", "label 20")]
        assert figure.layout.height > 2000


def test_the_surest_predictions_come_first(reviews: ReviewsParameters) -> None:
    frame = make_predictions(150, reviews.labels)
    line, other = plot_accuracy_by_confidence(frame, frame).data
    assert (line.name, other.name) == ("model", "baseline")
    right = frame["sentiment"] == frame["predicted_sentiment"]
    surest = right[frame["probability"].sort_values(ascending=False).index]
    for share, accuracy in zip(line.x, line.y, strict=True):
        assert accuracy == pytest.approx(
            surest[: math.ceil(round(150 * share, 6))].mean(), abs=1e-4
        )


def test_learning_curves_mark_the_chosen_epoch() -> None:
    history = {"accuracy": [0.7, 0.9, 0.95], "val_accuracy": [0.6, 0.8, 0.7], "loss": [1, 0.5, 0.4]}
    chosen = small_hyperparameters()
    assert find_chosen_epoch(history, chosen) == 3
    figure = plot_learning_curves(history, make_study(), chosen)
    assert [list(curve.y) for curve in figure.data] == [
        [0.7, 0.9, 0.95],
        [0.6, 0.8, 0.7],
        [0.5, 0.7],
    ]
    assert figure.layout.shapes[0].x0 == 3
    early = small_hyperparameters(early_stopping_patience=1)
    assert find_chosen_epoch(history, early) == 2
    diverged = history | {"val_log_loss": [0.6, 0.5, np.nan]}
    assert find_chosen_epoch(diverged, early, is_loss=True) == 2
    assert plot_learning_curves(history, make_study(), early).layout.shapes[0].x0 == 2


def make_cross_validated_study() -> optuna.Study:
    """Return a study whose trials report the accuracy after each of two folds."""
    study = make_study()
    study.set_user_attr("protocol", {"evaluate_on": "validation", "folds": 2})
    return study


def test_the_folds_of_a_trial_are_not_drawn_as_epochs() -> None:
    history = {"accuracy": [0.7, 0.9, 0.95], "loss": [1, 0.5, 0.4]}
    chosen = small_hyperparameters()
    drawn = plot_learning_curves(history, make_study(), chosen).data
    assert [line.name for line in drawn] == [
        "final network, training reviews",
        "best trial, validation",
    ]
    figure = plot_learning_curves(history, make_cross_validated_study(), chosen)
    assert [(line.name, list(line.x), list(line.y)) for line in figure.data] == [
        ("final network, training reviews", [1, 2, 3], [0.7, 0.9, 0.95])
    ]
    assert figure.layout.shapes[0].x0 == 3
    held_out = plot_learning_curves(
        history | {"val_accuracy": [0.6, 0.8, 0.7]}, make_cross_validated_study(), chosen
    )
    assert [line.name for line in held_out.data][1:] == ["final network, validation"]


def test_trials_say_on_what_they_were_scored() -> None:
    for study, name in (
        (make_study(), "validation accuracy"),
        (make_study("test"), "test accuracy"),
        (make_cross_validated_study(), "cross-validation accuracy"),
    ):
        assert plot_slice(study).layout.yaxis.title.text == name
        assert plot_optimization_history(study).layout.yaxis.title.text == name


def test_a_label_in_the_name_of_the_metric_is_drawn_letter_by_letter() -> None:
    study = make_study()
    protocol = {"evaluate_on": "validation", "metric": "F1 of <b>bad</b>"}
    study.set_user_attr("protocol", protocol)
    shown = "F1 of &lt;b>bad&lt;/b>"
    assert plot_optimization_history(study).layout.yaxis.title.text == f"validation {shown}"
    assert plot_slice(study).layout.yaxis.title.text == f"validation {shown}"
    history = {"accuracy": [0.7], "val_accuracy": [0.6], "val_f1": [0.5], "loss": [1.0]}
    curves = plot_learning_curves(history, study, small_hyperparameters())
    assert curves.layout.yaxis.title.text == shown


def test_comparing_trials_needs_trials_that_differ() -> None:
    none = plot_slice(make_study(n_trials=1))
    assert "needs two finished trials" in none.layout.annotations[0].text


def test_importances_need_enough_trials() -> None:
    few = plot_parameter_importances(make_study(n_trials=9))
    assert not few.data
    assert "9 have finished" in few.layout.annotations[0].text


def test_importances_are_shares_of_the_variance() -> None:
    study = optuna.create_study(direction="maximize")
    study.set_user_attr("protocol", {"evaluate_on": "validation"})
    space: dict[str, optuna.distributions.BaseDistribution] = dict.fromkeys(
        ("first", "second"), optuna.distributions.FloatDistribution(0, 1)
    )
    rng = np.random.default_rng(0)
    for first, second in rng.uniform(size=(60, 2)):
        value = 3 * first + second  # a linear function, whose variances are in the ratio 9 to 1
        params = {"first": first, "second": second}
        study.add_trial(optuna.create_trial(value=value, params=params, distributions=space))
    (bars,) = plot_parameter_importances(study).data
    assert list(bars.y) == ["second", "first"]
    assert list(bars.x) == pytest.approx([0.1, 0.9], abs=0.05)


def test_trials_that_failed_or_were_pruned_are_drawn() -> None:
    study = make_study(n_trials=2)
    interrupted = {"given_back": "interrupted"}
    for state, attributes in (
        (TrialState.PRUNED, {}),
        (TrialState.FAIL, {}),
        (TrialState.FAIL, interrupted),  # neither
        (TrialState.WAITING, {}),
    ):
        study.add_trial(
            optuna.trial.FrozenTrial(
                number=0,
                trial_id=0,
                state=state,
                value=None,
                datetime_start=None if state == TrialState.WAITING else datetime(2026, 1, 1),
                datetime_complete=None if state == TrialState.WAITING else datetime(2026, 1, 2),
                params={},
                distributions={},
                user_attrs=attributes,
                system_attrs={},
                intermediate_values={},
            )
        )
    assert {bar.name: list(bar.x) for bar in plot_trial_times(study).data} == {
        "complete": [0, 1],
        "pruned": [2],
        "failed": [3],
    }
    assert plot_trial_times(study).data[1].y[0] == 24 * 3600
    for plot in (plot_optimization_history, plot_slice):
        assert plot(study).data


def test_every_trial_is_drawn() -> None:
    study = make_study(n_trials=4)
    (points,) = plot_slice(study).data
    assert list(points.x) == [trial.params["units"] for trial in study.trials]
    assert list(points.y) == [trial.value for trial in study.trials]
    times = plot_trial_times(study)
    assert [bar.name for bar in times.data] == ["complete"]
    assert list(times.data[0].x) == [0, 1, 2, 3]
    assert list(plot_optimization_history(study).data[0].y) == [t.value for t in study.trials]


def test_values_that_are_searched_are_drawn_letter_by_letter() -> None:
    study = optuna.create_study()
    study.set_user_attr("protocol", {"evaluate_on": "validation"})
    kinds: dict[str, optuna.distributions.BaseDistribution] = {
        "rate": optuna.distributions.FloatDistribution(1e-4, 1, log=True),
        "name": optuna.distributions.CategoricalDistribution(["<b>", "a", True]),
    }
    for value, name in ((0.1, "<b>"), (0.5, "a"), (0.9, True)):
        params = {"rate": value, "name": name}
        study.add_trial(optuna.create_trial(value=value, params=params, distributions=kinds))
    figure = plot_slice(study)
    names, rates = figure.data
    assert list(names.x) == ["&lt;b>", "a", "True"]
    assert list(figure.layout.xaxis.categoryarray) == ["&lt;b>", "a", "True"]
    assert list(names.marker.color) == [0, 1, 2]
    assert names.marker.colorscale[-1][1] == style.YELLOW
    assert list(rates.x) == [0.1, 0.5, 0.9]
    assert figure.layout.xaxis2.type == "log"


def make_record(accuracy: float, test_set: str, model: str = "") -> dict[str, Any]:
    scores = {
        f"{prefix}test_accuracy{end}": accuracy + shift + of_end
        for prefix, shift in (("", 0.0), ("baseline_", 0.05))
        for end, of_end in (("", 0.0), ("_low", -0.02), ("_high", 0.01))
    }
    return {
        "model_sha256": model or str(accuracy),
        "test_reviews_sha256": test_set,
        "metrics": {"file": "<a>.csv", "test_rows": 1000, **scores},
        "best_hyperparameters": {"units": 64, "learning_rate": 0.0012345},
        "model": {"made": "2026-01-01 00:00 UTC"},
    }


def test_models_are_drawn_in_order_and_by_test_set() -> None:
    records = {
        "2026-03/record": lambda: make_record(0.7, "a"),
        "2026-01/record": lambda: make_record(0.5, "a"),
        "2026-02/record": lambda: make_record(0.6, "b"),
    }
    figure = plot_run_history(records)
    drawn = [(line.name, list(line.x), list(line.y)) for line in figure.data]
    assert drawn == [
        ("model, &lt;a>.csv (a)", [1, 3], [0.5, 0.7]),
        ("baseline, &lt;a>.csv (a)", [1, 3], [0.55, 0.75]),
        ("model, &lt;a>.csv (b)", [2], [0.6]),
        ("baseline, &lt;a>.csv (b)", [2], [0.65]),
    ]
    assert figure.data[0].error_y.array == pytest.approx([0.01, 0.01])
    assert figure.data[0].error_y.arrayminus == pytest.approx([0.02, 0.02])
    assert "learning_rate: 0.001234" in figure.data[0].customdata[0]


def test_changes_are_those_since_the_last_model_on_the_same_reviews() -> None:
    first, other, last = (make_record(*of) for of in ((0.7, "a"), (0.9, "b"), (0.75, "a")))
    first["metrics"]["test_log_loss"] = 0.5
    last["metrics"]["test_log_loss"] = 0.6
    recalls = {"bad": (0.5, 0.5), "<good>": (0.8, 0.9), "new": (None, 0.4)}
    for number, record in enumerate((first, last)):
        by_label = {label: {"recall": both[number]} for label, both in recalls.items()}
        record["metrics"]["test_by_label"] = by_label
    last["best_hyperparameters"] |= {"units": 100, "optimizer": "adam"}
    first["model"]["training"] = {"seed": 1, "ngrams": {"share": "auto"}}
    first["model"]["training"] |= {"class_weight": {"bad": 5, "<good>": 1, "new": 1}}
    first["model"]["training"] |= {"decision_target": None}
    last["model"]["training"] = {"seed": 1, "ngrams": {"share": 1, "of_this_version": 2}}
    last["model"]["training"] |= {"class_weight": {"bad": 5, "<good>": 2}}
    last["model"]["training"] |= {"decision_target": {"label": "bad", "recall": 0.9}}
    changes = compare_runs(
        {f"{n}/record": partial(dict, r) for n, r in enumerate((first, other, last))}
    )
    assert {change["name"]: (change["before"], change["now"]) for change in changes} == {
        "accuracy": (0.7, 0.75),
        "log loss": (0.5, 0.6),
        "recall of bad": (0.5, 0.5),
        "recall of <good>": (0.8, 0.9),
        "units": (64, 100),
        "ngrams.share": ("auto", 1),
        "class_weight: <good>": (1, 2),
        "class_weight: new": (1, None),
        "decision_target: label": (None, "bad"),
        "decision_target: recall": (None, 0.9),
    }
    gains = [change["gain"] for change in changes]
    assert gains[:4] == pytest.approx([0.05, -0.1, 0, 0.1])
    assert not any(gains[4:])


def test_without_an_earlier_model_nothing_has_changed() -> None:
    different = {"1": make_record(0.7, "a"), "2": make_record(0.8, "b")}
    for records in (different, {}):
        assert not compare_runs({name: partial(dict, record) for name, record in records.items()})


def test_a_model_that_is_reported_again_is_drawn_once() -> None:
    records = {
        "2026-01/record": lambda: make_record(0.5, "a", "first"),
        "2026-02/record": lambda: make_record(0.6, "a", "second"),
        "2026-03/record": lambda: make_record(0.5, "a", "first"),
    }
    line, *_ = plot_run_history(records).data
    assert list(line.y) == [0.6, 0.5]
    assert line.name == "model, &lt;a>.csv (1,000 reviews)"


def test_a_model_that_is_exported_again_is_drawn_once() -> None:
    """The file has other examples for people to try, and the same model."""
    lineage = [{"name": "model", "sha256": "1a"}, {"name": "tokenizer", "sha256": "2b"}]
    records = [make_record(0.5, "a", f"file {number}") for number in range(4)]
    for record in records:
        record["model"] |= {"lineage": lineage, "training": {"decision": "auto"}}
    records[2]["model"]["lineage"] = [{"name": "model", "sha256": "3c"}, lineage[1]]
    records[3]["model"]["training"] = {"decision": "argmax"}
    line, *_ = plot_run_history({f"{n}": partial(dict, r) for n, r in enumerate(records)}).data
    assert len(line.x) == 3


def test_a_record_that_is_no_use_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    records = {
        "2026-01/record": lambda: json.loads("{"),
        "2026-02/record": lambda: {"of": "another time"},
        "2026-03/record": lambda: make_record(0.5, "a", "first"),
        "2026-04/record": lambda: make_record(0.6, "a", "second"),
    }
    assert list(plot_run_history(records).data[0].y) == [0.5, 0.6]
    assert [message.split()[2] for message in caplog.messages] == [
        "2026-01/record",
        "2026-02/record",
    ]


def test_the_first_model_has_nothing_to_be_compared_with() -> None:
    figure = plot_run_history({"2026-01/record": partial(make_record, 0.5, "a")})
    assert not figure.data
    assert figure.layout.annotations[0].text == "This is the first model"


def test_the_latest_of_many_models_are_drawn() -> None:
    figure = plot_run_history(
        {f"{n:03}/record": partial(make_record, n / 1000, "a") for n in range(1, 121)}
    )
    assert list(figure.data[0].x) == list(range(71, 121))
    assert list(figure.data[0].y) == pytest.approx([n / 1000 for n in range(71, 121)])


def test_many_test_sets_are_told_apart() -> None:
    figure = plot_run_history(
        {f"{n:02}/record": partial(make_record, n / 100, f"set{n:03}") for n in range(20)}
    )
    looks = {(line.line.color, line.marker.symbol) for line in figure.data}
    assert len(looks) == 40


def test_the_uncalibrated_line_is_that_without_temperature_and_bias(
    reviews: ReviewsParameters, report: ReportParameters
) -> None:
    frame = make_predictions(400, reviews.labels)
    bias, temperature = 1.2, 0.5
    odds = frame["probability_positive"] / frame["probability_negative"]
    raw = 1 / (1 + np.exp(-(np.log(odds) - bias) * temperature))
    weights = {"network": 1.0, "ngrams": 1.0, "bias": [bias]}
    fitted = {"temperature": temperature, "weights": weights, "uncalibrated_reason": None}
    line = plot_reliability(frame, fitted, reviews, report).data[0]
    both = np.column_stack([1 - raw, raw])
    expected = measure_calibration(both, get_codes(frame, reviews.labels), report.calibration_bins)
    np.testing.assert_allclose(line.x, expected.confidence, atol=1e-3)
    np.testing.assert_allclose(line.y, expected.accuracy, atol=1e-3)


def test_with_few_rows_and_another_metric_the_training_curve_remains() -> None:
    study = make_study()
    study.set_user_attr("protocol", {"evaluate_on": "validation", "folds": 2, "metric": "macro F1"})
    figure = plot_learning_curves(
        {"accuracy": [0.5, 0.7], "loss": [1, 0.5]}, study, small_hyperparameters()
    )
    assert list(figure.data[0].y) == [0.5, 0.7]
    assert figure.layout.yaxis.title.text == "accuracy"
