"""Facts of the data and of the run, against counting by hand."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers import make_predictions, with_words
from imdb_sentiment.datasets import EncodedReviewsDataset
from imdb_sentiment.parameters import ReportParameters, ReviewsParameters, TokenizerParameters
from imdb_sentiment.pipelines.reporting.nodes.facts import (
    describe_data,
    record_run,
)
from imdb_sentiment.text.tokenizer import train_tokenizer

TEXTS = {
    "train": [
        ("good good film", 1),
        ("bad film bad", 0),
        ("good plot and good cast and good luck", 1),
        ("bad bad", 0),
    ],
    "validation": [("a film", 1)],
    "test": [("good unheard film", 1), ("unheard of", 0), ("bad bad bad bad bad", 0)],
}
LIMITS = TokenizerParameters(
    kind="words", vocabulary_size=50, sequence_length=4, script="auto", head_fraction=0.0
)


def test_the_description_is_what_one_counts(
    reviews: ReviewsParameters, report: ReportParameters
) -> None:
    rows = [(text, code, name) for name, found in TEXTS.items() for text, code in found]
    frame = pd.DataFrame(rows, columns=["text", "code", "split"])
    tokenizer = train_tokenizer([text for text, _ in TEXTS["train"]], LIMITS)
    known = set(" ".join(text for text, _ in TEXTS["train"]).split())
    frame, words = with_words(frame)
    found = describe_data(
        clean_reviews=[frame[:3], frame[3:]],
        tokenizer=tokenizer,
        words=words,
        reviews=reviews,
        tokenization=LIMITS,
        report=report,
    )
    assert found["labels"] == ["negative", "positive"]
    assert found["sequence_length"] == 4
    for name, pairs in TEXTS.items():
        lengths = [sum(word in known for word in text.split()) for text, _ in pairs]
        used = [word for text, _ in pairs for word in text.split()]
        split = found["splits"][name]
        assert split["reviews"] == len(pairs)
        assert split["by_label"] == {
            "negative": sum(code == 0 for _, code in pairs),
            "positive": sum(code == 1 for _, code in pairs),
        }
        assert split["median_tokens"] == np.median(lengths)
        assert split["share_cut"] == np.mean([length > 4 for length in lengths])
        assert split["share_unknown"] == np.mean([word not in known for word in used])
        counts, edges = found["lengths"]["counts"][name], found["lengths"]["edges"]
        assert set(np.diff(edges)) == {1}  # no bin without a whole number in it
        shown = np.minimum(lengths, edges[-2])
        assert counts == [int((shown == edge).sum()) for edge in edges[:-1]]
    for label, code in (("negative", 0), ("positive", 1)):
        here = Counter(w for t, c in TEXTS["train"] if c == code for w in t.split())
        elsewhere = Counter(w for t, c in TEXTS["train"] if c != code for w in t.split())
        distinctive = found["distinctive_words"][label]
        assert distinctive[0]["word"] == {"negative": "bad", "positive": "good"}[label]
        for word in distinctive:
            assert word["count"] == here[word["word"]]
            assert word["elsewhere"] == elsewhere[word["word"]]
            assert word["z"] > 0


def test_the_facts_have_the_time_of_the_search_and_the_test_reviews(
    finished: tuple[Path, str],
) -> None:
    data = finished[0] / "data"
    facts = json.loads((data / "08_reporting/facts.json").read_text())
    seconds = pd.read_csv(data / "08_reporting/trials.csv")["seconds"]
    assert len(seconds) > 1
    assert facts["search_seconds"] == pytest.approx(seconds.sum())
    test = EncodedReviewsDataset(filepath=str(data / "05_model_input/test.npy")).load()
    assert facts["test_data_sha256"] == test.fingerprint()


def test_runs_of_the_same_test_reviews_are_told_by_a_fingerprint(
    finished: tuple[Path, str],
) -> None:
    facts = json.loads((finished[0] / "data/08_reporting/facts.json").read_text())
    frame = make_predictions(9, ("a", "b")).assign(review=[f"review {n}" for n in range(9)])

    def fingerprint(frame: pd.DataFrame) -> str:
        return str(record_run(facts, frame, b"")["test_reviews_sha256"])

    reference = fingerprint(frame)
    assert fingerprint(frame[::-1].assign(probability=0.5, predicted_sentiment="a")) == reference
    assert fingerprint(frame[1:]) != reference
    assert fingerprint(frame.assign(review=frame["review"].str.upper())) != reference
    flipped = frame["sentiment"].map({"a": "b", "b": "a"})
    assert fingerprint(frame.assign(sentiment=flipped)) != reference
