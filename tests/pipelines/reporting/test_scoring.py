"""Scores and metrics, against counting by hand."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

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
from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.calibration import measure_calibration
from imdb_sentiment.network.model import KerasModel
from imdb_sentiment.network.training import train_model
from imdb_sentiment.parameters import CustomReviewsParameters, ReportParameters, ReviewsParameters
from imdb_sentiment.pipelines.reporting.nodes.scoring import (
    compute_metrics,
    score_custom_reviews,
    score_test_reviews,
)

CHECK = {"largest_probability_difference": 1e-7}
CALIBRATION = {
    "temperature": 2.0,
    "fitted_temperature": 2.0,
    "source": "best_trial",
    "uncalibrated_reason": None,
    "validation_rows": 1000,
}
REPORT = ReportParameters(**base_parameters()["report"])


def measure(
    network: pd.DataFrame,
    baseline: pd.DataFrame,
    reviews: ReviewsParameters,
    tuned_on: str = "validation",
) -> dict[str, Any]:
    return compute_metrics(
        test_predictions=network,
        baseline_predictions=baseline,
        study=make_study(tuned_on),
        calibration=CALIBRATION,
        export_check=CHECK,
        reviews=reviews,
        report=REPORT,
    )


@pytest.mark.parametrize("labels", [("bad", "good"), ("bad", "good", "so-so"), tuple("abcde")])
def test_metrics_are_those_counted_by_hand(
    labels: tuple[str, ...], reviews: ReviewsParameters
) -> None:
    named = reviews.model_copy(update={"labels": labels})
    frame, other = make_predictions(300, labels), make_predictions(300, labels, seed=1)
    metrics = measure(frame, other, named)

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
    expected = (other["sentiment"] == other["predicted_sentiment"]).mean()
    assert metrics["baseline_test_accuracy"] == pytest.approx(expected)
    assert metrics["majority_test_accuracy"] == pytest.approx(truth.value_counts().max() / 300)
    assert metrics["test_rows"] == 300
    assert metrics["test_accuracy_low"] < metrics["test_accuracy"] < metrics["test_accuracy_high"]
    right, rival = truth == predicted, other["sentiment"] == other["predicted_sentiment"]
    assert metrics["right_only_by_lstm"] == (right & ~rival).sum()
    assert metrics["right_only_by_baseline"] == (~right & rival).sum()
    assert 0 < metrics["mcnemar_p_value"] <= 1
    squared = frame[[f"probability_{label}" for label in labels]].to_numpy() ** 2  # temperature 2
    raw = measure_calibration(
        squared / squared.sum(axis=1, keepdims=True), truth.map(labels.index).to_numpy(), 15
    )
    assert metrics["test_calibration_error_as_trained"] == pytest.approx(raw.error)
    assert metrics["test_calibration_error"] != metrics["test_calibration_error_as_trained"]
    assert metrics["export_largest_probability_difference"] == 1e-7


def test_tuning_on_the_test_set_is_recorded(reviews: ReviewsParameters) -> None:
    frame = make_predictions(20, reviews.labels)
    honest = measure(frame, frame, reviews)
    optimistic = measure(frame, frame, reviews, tuned_on="test")
    assert (honest["tuned_on"], honest["test_set_unseen_in_tuning"]) == ("validation", True)
    assert (optimistic["tuned_on"], optimistic["test_set_unseen_in_tuning"]) == ("test", False)


@pytest.fixture(scope="module")
def model() -> KerasModel:
    small = small_hyperparameters(dropout_rate=0.2, learning_rate=0.05, batch_size=8, epochs=6)
    return train_model(make_encoded(200), small, seed=1)[0]


def test_test_predictions_say_what_was_what(model: KerasModel) -> None:
    test = make_encoded(10, seed=4)
    texts = [f"text {row}" for row in range(1, 13)]
    splits = ["test"] * 10 + ["train", "validation"]
    chunks = [pd.DataFrame({"row": range(1, 13), "text": texts, "split": splits})]
    frame = score_test_reviews(model, test, chunks)
    assert frame.columns.tolist() == [
        "row",
        "review",
        "sentiment",
        "predicted_sentiment",
        "probability",
        "probability_negative",
        "probability_positive",
    ]
    assert frame["row"].tolist() == test.rows.tolist()
    assert frame["review"].tolist() == texts[:10]
    assert frame["sentiment"].tolist() == [test.labels[code] for code in test.codes]
    assert (frame["predicted_sentiment"] == frame["sentiment"]).all()
    both = frame[["probability_negative", "probability_positive"]]
    np.testing.assert_allclose(both.sum(axis=1), 1)
    np.testing.assert_allclose(both.max(axis=1), frame["probability"])


def test_custom_reviews_keep_their_columns_and_gaps(
    exported: bytes, custom: CustomReviewsParameters
) -> None:
    texts = ["w1 w2", None, " <br> ", "unheard of"]
    table = pd.DataFrame({"id": [7, 8, 9, 10], "review": texts}, index=[3, 4, 5, 6])
    scored = score_custom_reviews(exported, table, custom)
    assert scored.columns.tolist() == [
        "id",
        "review",
        "predicted_sentiment",
        "probability",
        "probability_negative",
        "probability_positive",
    ]
    assert scored["id"].tolist() == [7, 8, 9, 10]
    assert scored.index.tolist() == table.index.tolist()
    for column in scored.columns[2:]:
        assert scored[column].notna().tolist() == [True, False, False, False]
    with pytest.raises(InputError, match=r"no column 'review'; it has: text"):
        score_custom_reviews(exported, pd.DataFrame({"text": []}), custom)


def test_predictions_of_an_earlier_run_are_replaced(
    exported: bytes, custom: CustomReviewsParameters
) -> None:
    once = score_custom_reviews(exported, pd.DataFrame({"review": ["w1", "w2 w3"]}), custom)
    again = score_custom_reviews(exported, once.assign(probability="?"), custom)
    pd.testing.assert_frame_equal(once, again)


@pytest.mark.parametrize("labels", [("0", "1"), ("NA", "null"), ("true", "false"), ("007", "7")])
def test_labels_stay_text_on_their_way_through_the_catalog(
    labels: tuple[str, str], reviews: ReviewsParameters, tmp_path: Path
) -> None:
    entry = yaml.safe_load((PROJECT / "conf/base/catalog_reporting.yml").read_text())
    dataset = AtomicDataset(
        filepath=str(tmp_path / "predictions.csv"), dataset=entry["test_predictions"]["dataset"]
    )
    named = reviews.model_copy(update={"labels": labels})
    frame = make_predictions(100, labels).assign(review="a\rb")
    dataset.save(frame)
    loaded = dataset.load()
    pd.testing.assert_frame_equal(loaded, frame, check_dtype=False)
    expected = measure(frame, frame, named)
    assert measure(loaded, loaded, named) == pytest.approx(expected)
