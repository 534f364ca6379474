"""Scores and metrics, against counting by hand."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import pandas as pd
import pytest
import yaml
from sklearn.metrics import f1_score

from helpers import (
    PROJECT,
    base_parameters,
    make_encoded,
    make_predictions,
    make_study,
    rank_auc,
    small_hyperparameters,
)
from imdb_sentiment.datasets import AtomicDataset
from imdb_sentiment.evaluation.calibration import measure_calibration
from imdb_sentiment.evaluation.objectives import make_metric
from imdb_sentiment.network.model import KerasModel
from imdb_sentiment.network.ngrams import NgramModel
from imdb_sentiment.network.training import train_model
from imdb_sentiment.parameters import (
    MetricName,
    ReportParameters,
    ReviewsParameters,
)
from imdb_sentiment.pipelines.reporting.nodes.metrics import (
    collect_metrics,
    compare_with_baseline,
    count_near_duplicates,
    measure_coverage,
    measure_models,
)
from imdb_sentiment.pipelines.reporting.nodes.scoring import score_test_reviews
from imdb_sentiment.pipelines.reporting.nodes.verdict import judge
from imdb_sentiment.text.encoded_reviews import EncodedReviews
from services import CALIBRATION, EVEN, GOOD, make_tokenizer

CHECK = {"largest_probability_difference": 1e-7}
REPORT = ReportParameters(**base_parameters()["report"] | {"resamples": 200})


def make_parts(n: int, labels: tuple[str, ...]) -> pd.DataFrame:
    """Return predictions of both parts of a model."""
    parts = {"lstm": make_predictions(n, labels, 2), "ngrams": make_predictions(n, labels, 3)}
    return pd.concat(frame.assign(model=name) for name, frame in parts.items())


def measure(
    model: pd.DataFrame,
    baseline: pd.DataFrame,
    reviews: ReviewsParameters,
    *,
    parts: pd.DataFrame | None = None,
    study: optuna.Study | None = None,
    decision: dict[str, Any] = EVEN,
    has_thresholds: bool = False,
    groups: npt.NDArray[np.uint64] | None = None,
    without_words: int = 0,
    onnx_model: bytes = b"",
    learnt: EncodedReviews | None = None,
    metric: MetricName = "accuracy",
) -> dict[str, Any]:
    no_groups = np.zeros(len(model), np.uint64)
    encoded = make_encoded(len(model))
    encoded.sequences[:, -1] = 2  # a word
    learnt = make_encoded(20) if learnt is None else learnt
    encoded.sequences[:without_words] = 0
    test = replace(
        encoded,
        rows=model["row"].to_numpy(),
        groups=no_groups if groups is None else groups,
    )
    predictions = {
        "test_predictions": model,
        "part_predictions": model.assign(model="lstm") if parts is None else parts,
        "baseline_predictions": baseline,
    }
    comparison = compare_with_baseline(
        **predictions,
        decision=decision,
        baseline_decision={"has_thresholds": has_thresholds},
        test=test,
        reviews=reviews,
        group_column=None if groups is None else "film",
        metric=make_metric(metric, None, reviews.labels, are_ordered=reviews.ordered),
        report=REPORT,
    )
    return collect_metrics(
        scores=measure_models(**predictions, test=test, reviews=reviews, report=REPORT),
        comparison=comparison,
        coverage=measure_coverage(model, decision, onnx_model, test, reviews),
        near_duplicates=count_near_duplicates(
            model, learnt, learnt.take(np.arange(0)), test, make_tokenizer()
        ),
        study=study or make_study(),
        calibration=CALIBRATION,
        decision=decision,
        export_check=CHECK,
        reviews=reviews,
    )


@pytest.mark.parametrize("labels", [("bad", "good"), ("bad", "good", "so-so"), tuple("abcde")])
def test_metrics_are_those_counted_by_hand(
    labels: tuple[str, ...], reviews: ReviewsParameters
) -> None:
    named = reviews.model_copy(update={"labels": labels})
    frame, other = make_predictions(300, labels), make_predictions(300, labels, seed=1)
    parts = make_parts(300, labels)
    metrics = measure(frame, other, named, parts=parts)

    truth, predicted = frame["sentiment"], frame["predicted_sentiment"]
    precisions, recalls, f1s, areas = [], [], [], []
    for label in labels if len(labels) > 2 else labels[1:]:
        hits = ((truth == label) & (predicted == label)).sum()
        precisions.append(hits / (predicted == label).sum())
        recalls.append(hits / (truth == label).sum())
        f1s.append(2 * hits / ((predicted == label).sum() + (truth == label).sum()))
        score = frame[f"probability_{label}"].to_numpy()
        areas.append(rank_auc(score[truth == label], score[truth != label]))
    likelihoods = [row[f"probability_{row['sentiment']}"] for row in frame.to_dict("records")]
    loss = -sum(map(math.log, likelihoods)) / len(likelihoods)
    assert metrics["test_accuracy"] == pytest.approx((truth == predicted).mean())
    assert metrics["test_precision"] == pytest.approx(np.mean(precisions))
    assert metrics["test_recall"] == pytest.approx(np.mean(recalls))
    assert metrics["test_f1"] == pytest.approx(np.mean(f1s))
    assert metrics["test_roc_auc"] == pytest.approx(np.mean(areas))
    assert metrics["test_log_loss"] == pytest.approx(loss)
    rivals = {"baseline": other, "lstm": parts[:300], "ngrams": parts[300:]}
    for name, rival in rivals.items():
        expected = (rival["sentiment"] == rival["predicted_sentiment"]).mean()
        assert metrics[f"{name}_test_accuracy"] == pytest.approx(expected)
        likelihoods = [row[f"probability_{row['sentiment']}"] for row in rival.to_dict("records")]
        loss = -sum(map(math.log, likelihoods)) / 300
        assert metrics[f"{name}_test_log_loss"] == pytest.approx(loss)
    assert metrics["majority_test_accuracy"] == pytest.approx(truth.value_counts().max() / 300)
    assert metrics["test_rows"] == 300
    assert metrics["test_accuracy_low"] < metrics["test_accuracy"] < metrics["test_accuracy_high"]
    right, also = truth == predicted, other["sentiment"] == other["predicted_sentiment"]
    assert metrics["right_only_by_model"] == (right & ~also).sum()
    assert metrics["right_only_by_baseline"] == (~right & also).sum()
    assert 0 < metrics["mcnemar_p_value"] <= 1
    calibration = measure_calibration(
        frame[[f"probability_{label}" for label in labels]].to_numpy(),
        truth.map(labels.index).to_numpy(),
        15,
    )
    assert metrics["test_calibration_error"] == pytest.approx(calibration.error)
    assert 0 < metrics["test_calibration_error_by_chance"] < 0.2
    assert (metrics["ngram_share"], metrics["temperature"]) == (0.25, 2.0)
    assert metrics["export_largest_probability_difference"] == 1e-7


@pytest.mark.parametrize("labels", [("bad", "good"), ("bad", "so-so", "good")])
def test_each_label_is_counted(labels: tuple[str, ...], reviews: ReviewsParameters) -> None:
    named = reviews.model_copy(update={"labels": labels, "ordered": True})
    frame = make_predictions(300, labels)
    metrics = measure(frame, frame, named)
    truth, predicted = frame["sentiment"], frame["predicted_sentiment"]
    recalls, f1s = [], []
    for label in labels:
        row = metrics["test_by_label"][label]
        hits = ((truth == label) & (predicted == label)).sum()
        n, n_predicted = (truth == label).sum(), (predicted == label).sum()
        assert (row["rows"], row["predicted"]) == (n, n_predicted)
        assert (row["recall"], row["precision"]) == (hits / n, hits / n_predicted)
        assert row["f1"] == pytest.approx(2 * hits / (n + n_predicted))
        wrong = predicted[(truth == label) & (predicted != label)]
        assert row["confused_with"] == wrong.value_counts().idxmax()
        recalls.append(row["recall"])
        f1s.append(row["f1"])
    assert metrics["test_balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert metrics["test_f1_macro"] == pytest.approx(np.mean(f1s))
    steps = truth.map(labels.index) - predicted.map(labels.index)
    assert metrics["test_mean_absolute_error"] == pytest.approx(steps.abs().mean())
    expected = [(a - b) ** 2 for a in truth.map(labels.index) for b in predicted.map(labels.index)]
    kappa = 1 - (steps**2).mean() / np.mean(expected)  # Cohen, 1968
    assert metrics["test_quadratic_kappa"] == pytest.approx(kappa)


def test_a_label_that_is_never_predicted_is_named(
    reviews: ReviewsParameters, caplog: pytest.LogCaptureFixture
) -> None:
    frame = make_predictions(50, reviews.labels).assign(predicted_sentiment="positive")
    metrics = measure(frame, frame, reviews)
    assert "The model predicts negative for none of the 50 test reviews" in caplog.text
    row = metrics["test_by_label"]["negative"]
    assert (row["predicted"], row["precision"], row["recall"]) == (0, None, 0)


@pytest.mark.parametrize("metric", ["f1_macro", pytest.param("log_loss", marks=pytest.mark.slow)])
def test_another_metric_is_compared_on_the_same_resamples(
    metric: MetricName, reviews: ReviewsParameters
) -> None:
    """The baseline makes the same mistakes and some more, so every resample shows it."""
    good = make_predictions(300, reviews.labels)
    other = np.where(good["sentiment"] == "positive", "negative", "positive")
    worse = good.copy()
    worse.loc[:39, "predicted_sentiment"] = other[:40]
    scores = np.where(good["sentiment"] == "positive", 0.01, 0.99)[:40]
    worse.loc[:39, "probability_positive"] = scores
    worse.loc[:39, "probability_negative"] = 1 - scores
    metrics = measure(good, worse.sample(frac=1, random_state=0), reviews, metric=metric)
    sign = -1 if metric == "log_loss" else 1
    name = f"test_{metric}"
    expected = sign * (metrics[name] - metrics[f"baseline_{name}"])
    assert metrics["metric_gain"] == pytest.approx(expected)
    assert 0 < metrics["metric_gain_low"] < expected < metrics["metric_gain_high"]
    backwards = measure(worse, good, reviews, metric=metric)
    assert backwards["metric_gain"] == pytest.approx(-expected)
    assert backwards["metric_gain_high"] < 0


@pytest.mark.parametrize("metric", ["accuracy", "f1_macro"])
def test_with_groups_the_verdict_follows_an_interval_of_whole_groups(
    metric: MetricName, reviews: ReviewsParameters
) -> None:
    """The model is better in one of five groups, which is hardly evidence, but 40 reviews."""
    good = make_predictions(300, reviews.labels)
    good["predicted_sentiment"] = good["sentiment"]
    worse = good.copy()
    other = np.where(good["sentiment"] == "positive", "negative", "positive")
    worse.loc[:39, "predicted_sentiment"] = other[:40]
    shuffled = worse.sample(frac=1, random_state=0)
    groups = (np.arange(300) // 60).astype(np.uint64)
    rows = measure(good, shuffled, reviews, metric=metric)
    grouped = measure(good, shuffled, reviews, metric=metric, groups=groups)
    assert judge(rows) == "model"
    assert "test_groups" not in rows
    assert judge(grouped) == "neither"
    assert grouped["test_groups"] == 5
    assert "mcnemar_p_value" not in grouped
    gain = grouped[f"test_{metric}"] - grouped[f"baseline_test_{metric}"]
    assert grouped["metric_gain"] == pytest.approx(gain)
    assert 0 == grouped["metric_gain_low"] < gain < grouped["metric_gain_high"]
    assert grouped["baseline_test_accuracy_low"] < rows["baseline_test_accuracy_low"] - 0.1
    assert grouped["test_accuracy_low"] == rows["test_accuracy_low"]  # all are right


@pytest.mark.parametrize("n_groups", [1, 2, 4, 5])
@pytest.mark.parametrize("metric", ["accuracy", "f1_macro"])
def test_with_few_groups_there_is_no_verdict(
    metric: MetricName, n_groups: int, reviews: ReviewsParameters
) -> None:
    """The model is better in each, so an interval would exclude 0 whatever their number."""
    good = make_predictions(300, reviews.labels)
    good["predicted_sentiment"] = good["sentiment"]
    worse = good.copy()
    other = np.where(good["sentiment"] == "positive", "negative", "positive")
    worse.loc[::10, "predicted_sentiment"] = other[::10]
    groups = (np.arange(300) * n_groups // 300).astype(np.uint64)
    metrics = measure(good, worse, reviews, metric=metric, groups=groups)
    assert n_groups == 1 or metrics["metric_gain"] > 0
    # With fewer groups, the interval of a bootstrap would be far too narrow.
    assert (n_groups == 5) == (metrics.get("metric_gain_low", 0) > 0)
    assert judge(metrics) == ("model" if n_groups == 5 else "too few groups")
    assert metrics["has_enough_groups"] == (n_groups == 5)
    assert metrics["better_than_majority"] == (n_groups == 5)


@pytest.mark.parametrize(
    ("metric", "n_rows", "n_positive", "is_enough"),
    [
        ("log_loss", 29, 14, False),
        ("log_loss", 30, 1, True),
        ("roc_auc", 300, 4, False),
        ("roc_auc", 300, 5, True),
        ("f1_macro", 300, 4, False),
        ("f1", 300, 4, False),
        ("accuracy", 2, 1, True),  # McNemar's test is exact
    ],
)
def test_of_few_reviews_a_bootstrap_says_nothing(
    metric: MetricName, n_rows: int, n_positive: int, *, is_enough: bool, reviews: ReviewsParameters
) -> None:
    """All resamples would have the same few reviews, so their interval would exclude 0."""
    is_positive = np.arange(n_rows) < n_positive
    good, worse = (make_predictions(n_rows, reviews.labels) for _ in range(2))
    for table, probability in ((good, 0.9), (worse, 0.6)):
        table["sentiment"] = np.where(is_positive, "positive", "negative")
        chances = np.where(is_positive, probability, 0.3)
        table["probability_positive"], table["probability_negative"] = chances, 1 - chances
    metrics = measure(good, worse, reviews, metric=metric)
    assert metrics["has_enough_reviews"] == is_enough
    assert (judge(metrics) == "too few reviews") != is_enough


@pytest.mark.parametrize("threshold", [0.05, 0.45])
def test_the_model_is_compared_with_the_better_labels_of_the_baseline(
    threshold: float, reviews: ReviewsParameters
) -> None:
    """The baseline's threshold of 0.05 harms it, and one of 0.45 helps."""
    plain = make_predictions(300, reviews.labels)
    positive = plain["probability_positive"].to_numpy()
    model = plain.assign(sentiment=np.where(positive > 0.4, "positive", "negative"))
    plain["sentiment"] = model["sentiment"]
    by_threshold = plain.assign(
        predicted_sentiment=np.where(positive > threshold, "positive", "negative")
    )

    def find(baseline: pd.DataFrame, metric: MetricName, **options: Any) -> dict[str, Any]:
        return measure(
            model, baseline, reviews, metric=metric, **{"has_thresholds": True} | options
        )

    truth = plain["sentiment"]
    own, better = (
        f1_score(truth, table["predicted_sentiment"], average="macro")
        for table in (model, plain if threshold < 0.4 else by_threshold)
    )
    found = find(by_threshold, "f1_macro")
    assert found["metric_gain"] == pytest.approx(own - better)
    without = f1_score(truth, plain["predicted_sentiment"], average="macro")
    assert found["baseline_without_thresholds"] == pytest.approx(without)
    assert found["is_most_probable_compared"] == (threshold < 0.4)
    given = f1_score(truth, by_threshold["predicted_sentiment"], average="macro")
    assert found["baseline_test_f1_macro"] == pytest.approx(given)
    target = EVEN | {"aim": "recall of negative of at least 0.9", "after": 0.91}
    for others in (
        find(plain, "f1_macro"),
        find(by_threshold, "f1_macro", has_thresholds=False),
        find(by_threshold, "f1_macro", decision=target),
    ):
        assert "baseline_without_thresholds" not in others


def test_with_a_target_the_most_probable_labels_are_compared(reviews: ReviewsParameters) -> None:
    """Both models have the same probabilities; only the thresholds for the target differ."""
    model = make_predictions(300, reviews.labels)
    model["sentiment"] = model["predicted_sentiment"]
    baseline = model.assign(predicted_sentiment="negative")
    aim = EVEN | {"aim": "recall of negative of at least 0.9", "after": 0.91}
    metrics = measure(model, baseline, reviews, decision=aim)
    assert (metrics["right_only_by_model"], metrics["right_only_by_baseline"]) == (0, 0)
    assert metrics["test_accuracy"] > metrics["baseline_test_accuracy"] + 0.2
    assert judge(metrics) == "neither"
    assert metrics["compared_without_thresholds"]
    assert metrics["has_thresholds"]
    by_f1 = measure(model, baseline, reviews, decision=aim, metric="f1_macro")
    assert by_f1["metric_gain"] == 0
    usual = measure(model, baseline, reviews)
    assert judge(usual) == "model"
    assert not usual["compared_without_thresholds"]
    assert not usual["has_thresholds"]


@pytest.mark.parametrize(("found", "false_alarms", "is_better"), [(12, 1, True), (12, 9, False)])
def test_the_model_and_always_the_most_frequent_label_are_compared_review_by_review(
    *, found: int, false_alarms: int, is_better: bool, reviews: ReviewsParameters
) -> None:
    frame = make_predictions(1000, reviews.labels)
    frame["sentiment"] = frame["predicted_sentiment"] = "negative"
    frame.loc[:49, "sentiment"] = "positive"
    frame.loc[: found - 1, "predicted_sentiment"] = "positive"
    frame.loc[100 : 99 + false_alarms, "predicted_sentiment"] = "positive"
    metrics = measure(frame, frame, reviews)
    assert metrics["test_accuracy_low"] < metrics["majority_test_accuracy"]
    assert metrics["better_than_majority"] == is_better


def test_the_coverage_of_a_minimum_of_confidence_is_measured(reviews: ReviewsParameters) -> None:
    frame = make_predictions(200, reviews.labels)
    metrics = measure(frame, frame, reviews, decision=EVEN | {"min_confidence": 0.8})
    sure = frame[frame["probability"] >= 0.8]
    assert metrics["test_coverage"] == len(sure) / 200
    right = (sure["sentiment"] == sure["predicted_sentiment"]).mean()
    assert metrics["test_accuracy_answered"] == pytest.approx(right)
    assert "test_coverage" not in measure(frame, frame, reviews)


@pytest.mark.parametrize(("n", "are_many"), [(0, False), (10, False), (11, True), (200, True)])
def test_the_accuracy_without_near_duplicates_is_measured_if_they_are_many(
    n: int,
    are_many: bool,
    reviews: ReviewsParameters,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    frame = make_predictions(200, reviews.labels)
    mask = np.random.default_rng(0).permutation(np.arange(200) < n)
    monkeypatch.setattr(
        "imdb_sentiment.pipelines.reporting.nodes.metrics.find_near_duplicates",
        lambda test, learnt, tokenizer: mask,
    )
    metrics = measure(frame, frame, reviews)
    assert metrics["test_near_duplicates"] == n
    assert metrics["has_many_near_duplicates"] == are_many
    assert (
        "differ from a training review only in numbers or rare words" in caplog.text
    ) == are_many
    others = frame[~mask]
    expected = (others["sentiment"] == others["predicted_sentiment"]).mean()
    found = metrics.get("test_accuracy_without_near_duplicates")
    assert found == (pytest.approx(expected) if n == 11 else None)


def test_reviews_of_which_the_model_knows_nothing_get_no_answer(
    exported: bytes, reviews: ReviewsParameters
) -> None:
    frame = make_predictions(200, reviews.labels)
    frame["review"] = ["qqq zzz"] * 30 + ["unheard"] * 10 + ["w1"] * 160
    shuffled = frame.sample(frac=1, random_state=0)
    metrics = measure(frame, shuffled, reviews, without_words=40, onnx_model=exported)
    assert metrics["test_without_known_word"] == 30
    assert metrics["test_coverage"] == 170 / 200
    right = (frame["sentiment"] == frame["predicted_sentiment"])[30:].mean()
    assert metrics["test_accuracy_answered"] == pytest.approx(right)


def test_tuning_on_the_test_set_is_recorded(reviews: ReviewsParameters) -> None:
    frame = make_predictions(20, reviews.labels)
    honest = measure(frame, frame, reviews)
    optimistic = measure(frame, frame, reviews, study=make_study("test"))
    assert (honest["tuned_on"], honest["test_set_unseen_in_tuning"]) == ("validation", True)
    assert (optimistic["tuned_on"], optimistic["test_set_unseen_in_tuning"]) == ("test", False)


def test_a_cross_validation_is_recorded(reviews: ReviewsParameters) -> None:
    frame = make_predictions(20, reviews.labels)
    assert measure(frame, frame, reviews)["tuning_folds"] == 1
    study = make_study()
    study.set_user_attr("protocol", {"evaluate_on": "validation", "folds": 3})
    metrics = measure(frame, frame, reviews, study=study)
    assert metrics["tuning_folds"] == 3
    assert metrics["tuning_value"] == study.best_value


def test_a_part_that_does_not_exist_has_no_scores(reviews: ReviewsParameters) -> None:
    frame = make_predictions(20, reviews.labels)
    metrics = measure(frame, frame, reviews)
    assert metrics["lstm_test_accuracy"] == metrics["test_accuracy"]
    assert not [name for name in metrics if name.startswith("ngrams_")]


@pytest.fixture(scope="module")
def model() -> KerasModel:
    small = small_hyperparameters(dropout_rate=0.2, learning_rate=0.05, batch_size=8, epochs=6)
    return train_model(make_encoded(200), small, seed=1)[0]


@pytest.fixture
def encoded() -> EncodedReviews:
    """Return the test reviews of the model."""
    return make_encoded(10, seed=4)


def make_texts(test: EncodedReviews) -> tuple[list[str], list[pd.DataFrame]]:
    """Return the texts of the test reviews, and clean reviews with these and others, shuffled."""
    texts = [f"{'good' if row % 3 else 'unheard'} {row}" for row in test.rows]
    frame = pd.DataFrame({"row": test.rows, "text": texts, "split": "test"})
    others = pd.DataFrame({"row": [98, 99], "text": "good", "split": ["train", "validation"]})
    shuffled = pd.concat([frame, others]).sample(frac=1, random_state=0)
    return texts, [shuffled[:5], shuffled[5:]]


def predict_log_odds(model: KerasModel, test: EncodedReviews) -> npt.NDArray[np.float64]:
    """Return the log-odds from Keras's own probabilities, whose rounding they magnify."""
    positive = model.predict(test.sequences.astype(np.int32), verbose=0)[:, 0].astype(np.float64)
    log_odds: npt.NDArray[np.float64] = np.log(positive / (1 - positive))
    return log_odds


def test_test_predictions_say_what_was_what(model: KerasModel, encoded: EncodedReviews) -> None:
    texts, chunks = make_texts(encoded)
    frame, parts = score_test_reviews(
        model=model,
        ngram_model=GOOD,
        calibration=CALIBRATION,
        decision=EVEN,
        test=encoded,
        clean_reviews=chunks,
    )
    columns = [
        "row",
        "review",
        "sentiment",
        "predicted_sentiment",
        "probability",
        "probability_negative",
        "probability_positive",
    ]
    assert frame.columns.tolist() == columns
    assert sorted(parts.columns) == sorted({*columns, "model"} - {"review"})
    assert frame["review"].tolist() == texts

    network = predict_log_odds(model, encoded)
    ngrams = np.array([6 / 2 - 1 if "good" in text else -1 for text in texts])
    scored = {
        "average": (frame, 0.375 * network + 0.125 * ngrams),
        "lstm": (parts[parts["model"] == "lstm"], network),
        "ngrams": (parts[parts["model"] == "ngrams"], ngrams),
    }
    assert len(parts) == 20
    for predictions, log_odds in scored.values():
        assert predictions["row"].tolist() == encoded.rows.tolist()
        assert predictions["sentiment"].tolist() == [encoded.labels[code] for code in encoded.codes]
        positive = 1 / (1 + np.exp(-log_odds))
        np.testing.assert_allclose(predictions["probability_positive"], positive, atol=1e-5)
        np.testing.assert_allclose(predictions["probability_negative"], 1 - positive, atol=1e-5)
        np.testing.assert_allclose(
            predictions["probability"], np.maximum(positive, 1 - positive), atol=1e-5
        )
        expected = np.where(log_odds > 0, "positive", "negative").tolist()
        assert predictions["predicted_sentiment"].tolist() == expected
    is_right = frame["sentiment"] == frame["predicted_sentiment"]
    assert is_right.all()  # the network tells these labels apart


def test_the_model_decides_by_weights_and_its_parts_do_not(
    model: KerasModel, encoded: EncodedReviews
) -> None:
    tables = [
        score_test_reviews(
            model=model,
            ngram_model=GOOD,
            calibration=CALIBRATION,
            decision=EVEN | {"label_weights": {"negative": 1.0, "positive": weight}},
            test=encoded,
            clean_reviews=make_texts(encoded)[1],
        )
        for weight in (1.0, 1e9)
    ]
    assert (tables[1][0]["predicted_sentiment"] == "positive").all()
    pd.testing.assert_series_equal(
        tables[1][0]["probability"], tables[1][0]["probability_positive"], check_names=False
    )
    changed = ["predicted_sentiment", "probability"]
    for plain, weighted in zip(*tables, strict=True):
        pd.testing.assert_frame_equal(plain.drop(columns=changed), weighted.drop(columns=changed))
    pd.testing.assert_frame_equal(tables[0][1], tables[1][1])


def test_the_parts_have_the_bias_of_the_average_and_their_own_labels(
    model: KerasModel, encoded: EncodedReviews
) -> None:
    """Such a bias takes the weights of the labels in the loss out of the probabilities."""
    (plain, biased) = (
        score_test_reviews(
            model=model,
            ngram_model=GOOD,
            calibration=CALIBRATION | {"weights": CALIBRATION["weights"] | {"bias": bias}},
            decision=EVEN,
            test=encoded,
            clean_reviews=make_texts(encoded)[1],
        )[1]
        for bias in ([], [-3.0])
    )
    assert biased["predicted_sentiment"].tolist() == plain["predicted_sentiment"].tolist()
    log_odds = [
        np.log(parts["probability_positive"] / parts["probability_negative"])
        for parts in (plain, biased)
    ]
    np.testing.assert_allclose(log_odds[1], log_odds[0] - 3, atol=1e-6)


def test_ngrams_without_weight_are_not_scored(model: KerasModel, encoded: EncodedReviews) -> None:
    frame, parts = score_test_reviews(
        model=model,
        ngram_model=NgramModel.empty(2),
        calibration=CALIBRATION | {"weights": {"network": 0.5, "ngrams": 0.0}},
        decision=EVEN,
        test=encoded,
        clean_reviews=make_texts(encoded)[1],
    )
    assert set(parts["model"]) == {"lstm"}
    positive = 1 / (1 + np.exp(-predict_log_odds(model, encoded) / 2))
    np.testing.assert_allclose(frame["probability_positive"], positive, atol=1e-5)
    np.testing.assert_array_equal(parts["predicted_sentiment"], frame["predicted_sentiment"])


@pytest.mark.parametrize("labels", [("0", "1"), ("NA", "null"), ("true", "false"), ("007", "7")])
def test_labels_stay_text_on_their_way_through_the_catalog(
    labels: tuple[str, str], reviews: ReviewsParameters, tmp_path: Path
) -> None:
    entry = yaml.safe_load((PROJECT / "conf/base/catalog_reporting.yml").read_text())
    named = reviews.model_copy(update={"labels": labels})
    saved = {
        "test_predictions": make_predictions(100, labels).assign(review="a\rb"),
        "part_predictions": make_parts(100, labels).reset_index(drop=True),
    }
    loaded = {}
    for name, frame in saved.items():
        dataset = AtomicDataset(filepath=str(tmp_path / name), dataset=entry[name]["dataset"])
        dataset.save(frame)
        loaded[name] = dataset.load()
        pd.testing.assert_frame_equal(loaded[name], frame, check_dtype=False)
    expected, found = (
        measure(model, model, named, parts=parts)
        for model, parts in (saved.values(), loaded.values())
    )
    assert found.pop("test_by_label") == expected.pop("test_by_label")
    assert found == pytest.approx(expected)
