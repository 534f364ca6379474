"""Scores and tables against scikit-learn and counting by hand."""

import math

import pandas as pd
import pytest
from sklearn.metrics import precision_score, recall_score

from helpers import make_predictions
from imdb_sentiment.evaluation.metrics import (
    tabulate_accuracy_by_coverage,
    tabulate_thresholds,
)


@pytest.mark.parametrize("labels", [("bad", "good"), ("bad", "good", "so-so")])
def test_thresholds_give_scikit_learns_precision_and_recall(labels: tuple[str, ...]) -> None:
    frame = make_predictions(300, labels)
    for label in labels:
        for threshold, precision, recall in tabulate_thresholds(frame, label).to_numpy():
            given = frame[f"probability_{label}"] >= threshold
            truth = frame["sentiment"] == label
            assert recall == pytest.approx(recall_score(truth, given))
            if given.any():
                assert precision == pytest.approx(precision_score(truth, given))
            else:
                assert math.isnan(precision)


def test_a_threshold_that_nothing_reaches_has_no_precision() -> None:
    frame = pd.DataFrame({"sentiment": ["good"] * 4, "probability_good": [0.1] * 4})
    assert tabulate_thresholds(frame, "good")["precision"].isna().sum() == 44


def test_the_share_of_the_most_confident_predictions_is_that_named() -> None:
    frame = make_predictions(200, ("bad", "good")).sort_values("probability", ascending=False)
    right = (frame["sentiment"] == frame["predicted_sentiment"]).to_numpy()
    table = tabulate_accuracy_by_coverage(frame)
    for percent, (coverage, accuracy) in enumerate(table.to_numpy(), start=1):
        assert coverage == percent / 100
        assert accuracy == pytest.approx(right[: 2 * percent].mean())


def test_the_order_of_equally_confident_predictions_does_not_matter() -> None:
    frame = pd.DataFrame({"sentiment": ["good", "bad"] * 50, "predicted_sentiment": "good"})
    frame = frame.assign(probability=[0.9] * 20 + [0.8] * 80)
    for table in map(tabulate_accuracy_by_coverage, (frame, frame.sort_values("sentiment"))):
        assert table["accuracy"].tolist() == pytest.approx([0.5] * 100)
    frame["sentiment"] = ["good"] * 20 + ["bad"] * 40 + ["good"] * 40
    accuracy = tabulate_accuracy_by_coverage(frame)["accuracy"]
    assert accuracy[19] == pytest.approx(1)
    assert accuracy[59] == pytest.approx((20 + 40 / 2) / 60)
