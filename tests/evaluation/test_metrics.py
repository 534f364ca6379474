"""Scores and tables against scikit-learn and counting by hand."""

import math

import pandas as pd
import pytest
from sklearn.metrics import precision_score, recall_score

from helpers import make_predictions
from imdb_sentiment.evaluation.metrics import tabulate_thresholds


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
