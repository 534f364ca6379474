"""Examples against the predictions that they are chosen from."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from helpers import make_predictions
from imdb_sentiment.parameters import ReportParameters, ReviewsParameters
from imdb_sentiment.pipelines.label_check.nodes import fingerprint_reviews
from imdb_sentiment.pipelines.reporting.nodes.custom import CustomReviews
from imdb_sentiment.pipelines.reporting.nodes.examples import (
    Example,
    explain_custom_reviews,
    explain_disagreements,
    explain_mistakes,
    select_doubtful_labels,
)
from imdb_sentiment.serving import Predictor
from imdb_sentiment.serving.explanation import explain_cleaned


def test_doubtful_labels_of_other_reviews_are_not_shown(
    report: ReportParameters, reviews: ReviewsParameters
) -> None:
    clean_reviews = pd.DataFrame({"row": [1, 2], "text": ["fine", "dull"], "code": [1, 0]})
    check = {
        "reviews_sha256": fingerprint_reviews([clean_reviews], reviews),
        "checked": 2,
        "doubtful": 2,
        "first": [{"row": 1}, {"row": 2}],
    }
    one = report.model_copy(update={"examples": 1})
    chunks = iter([clean_reviews[:1], clean_reviews[1:]])
    shown = select_doubtful_labels(check, chunks, reviews, one)
    assert (shown["checked"], shown["doubtful"], shown["first"]) == (2, 2, [{"row": 1}])
    for column, value in (("row", [1, 3]), ("text", ["fine", "dul"]), ("code", [1, 1])):
        changed = clean_reviews.assign(**{column: value})
        assert select_doubtful_labels(check, [changed], reviews, report) == {}
    assert select_doubtful_labels(check, [clean_reviews[:1]], reviews, report) == {}
    assert select_doubtful_labels({}, [clean_reviews], reviews, report) == {}
    renamed = reviews.model_copy(update={"labels": ("bad", "good")})
    assert select_doubtful_labels(check, [clean_reviews], renamed, report) == {}


def test_the_surest_mistakes_are_explained(
    exported: bytes, reviews: ReviewsParameters, report: ReportParameters
) -> None:
    frame = make_predictions(60, reviews.labels).assign(review="w1 &amp; w2, w3")
    wrong = frame[frame["sentiment"] != frame["predicted_sentiment"]]
    surest = wrong.sort_values("probability", ascending=False)
    frame.loc[surest.index[0], "review"] = "qqq zzz"
    mistakes = explain_mistakes(exported, frame, report.model_copy(update={"examples": 5}))
    assert [mistake["row"] for mistake in mistakes] == surest["row"].tolist()[:5]
    for mistake, row in zip(mistakes, surest.to_dict("records"), strict=False):
        for name in ("sentiment", "predicted_sentiment", "probability"):
            assert mistake[name] == row[name]  # as in the test, not as recomputed
        json.dumps(mistake)
    assert mistakes[0]["segments"] == [("qqq zzz", None)]
    segments = mistakes[1]["segments"]
    assert "".join(text for text, _ in segments) == "w1 &amp; w2, w3"  # already cleaned
    _, expected = explain_cleaned(Predictor(exported), "w1 &amp; w2, w3")
    assert segments == [(segment.text, segment.effect) for segment in expected]
    with_effect = [text for text, effect in segments if effect is not None]
    assert with_effect == ["w1", "amp", "w2", "w3"]  # n-grams have words unknown to the network
    assert explain_mistakes(exported, frame, report.model_copy(update={"examples": 0})) == []


def test_disagreements_take_turns(
    exported: bytes, reviews: ReviewsParameters, report: ReportParameters
) -> None:
    frame = make_predictions(80, reviews.labels).assign(review="w1 w2")
    other = make_predictions(80, reviews.labels, seed=5).sample(frac=1, random_state=0)
    other["sentiment"] = frame.set_index("row").loc[other["row"], "sentiment"].to_numpy()
    found = explain_disagreements(exported, frame, other, report)
    assert len(found) == 10
    rows = frame.set_index("row").join(other.set_index("row").add_suffix("_other"))
    right = []
    for example in found:
        row = rows.loc[example["row"]]
        assert row["predicted_sentiment"] != row["predicted_sentiment_other"]
        assert example["baseline_sentiment"] == row["predicted_sentiment_other"]
        right.append(bool(row["predicted_sentiment"] == row["sentiment"]))
    assert right == [True, False] * 5
    assert explain_disagreements(exported, frame, frame, report) == []


def test_custom_reviews_without_a_known_word_are_said_to_be_so(
    exported: bytes, report: ReportParameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, expected = ["w1", "", "qqq zzz"], ["positive", None, "negative"]
    custom = CustomReviews(pd.DataFrame({"review": texts}), texts, expected, are_test_reviews=False)
    known, empty, unknown = explain_custom_reviews(exported, custom, report)
    assert known["predicted_sentiment"] in ("negative", "positive")
    assert known["expected_sentiment"] == "positive"
    nothing: Example = {"predicted_sentiment": None, "probability": None, "segments": []}
    nothing |= {"explained_probability": None}
    assert empty == nothing | {"reason": "no text", "expected_sentiment": None}
    assert unknown["predicted_sentiment"] is None
    assert unknown["reason"] == "no word that the model knows"
    assert unknown["segments"] == [("qqq zzz", None)]
    assert known["explained_probability"] == known["probability"]

    class Doubting(Predictor):
        def __init__(self, model: bytes) -> None:
            super().__init__(model)
            self.rule = replace(self.rule, min_confidence=0.9999)

    monkeypatch.setattr("imdb_sentiment.pipelines.reporting.nodes.examples.Predictor", Doubting)
    unsure, *_ = explain_custom_reviews(exported, custom, report)
    assert unsure["probability"] is None
    assert unsure["explained_probability"] == known["probability"]
    assert unsure["segments"] == known["segments"]
    monkeypatch.undo()
    few = report.model_copy(update={"custom_reviews": 1})
    assert explain_custom_reviews(exported, custom, few) == [known]
