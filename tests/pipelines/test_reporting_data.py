"""What is said of the data, against counting by hand."""

import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from imdb_sentiment.parameters import ReportParameters, ReviewsParameters, TokenizerParameters
from imdb_sentiment.pipelines.reporting.data import PRIOR_TOKENS, compare_words, describe_data
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
LIMITS = TokenizerParameters(kind="words", vocabulary_size=50, sequence_length=4)


def test_the_description_is_what_one_counts(
    reviews: ReviewsParameters, report: ReportParameters
) -> None:
    rows = [(text, code, name) for name, found in TEXTS.items() for text, code in found]
    frame = pd.DataFrame(rows, columns=["text", "code", "split"])
    tokenizer = train_tokenizer([text for text, _ in TEXTS["train"]], LIMITS)
    known = set(" ".join(text for text, _ in TEXTS["train"]).split())
    found = describe_data([frame[:3], frame[3:]], tokenizer, reviews, LIMITS, report)
    assert found["labels"] == ["negative", "positive"]
    assert found["sequence_length"] == 4
    for name, pairs in TEXTS.items():
        lengths = [sum(word in known for word in text.split()) for text, _ in pairs]
        words = [word for text, _ in pairs for word in text.split()]
        split = found["splits"][name]
        assert split["reviews"] == len(pairs)
        assert split["by_label"] == {
            "negative": sum(code == 0 for _, code in pairs),
            "positive": sum(code == 1 for _, code in pairs),
        }
        assert split["median_tokens"] == np.median(lengths)
        assert split["share_cut"] == np.mean([length > 4 for length in lengths])
        assert split["share_unknown"] == np.mean([word not in known for word in words])
        assert sum(found["lengths"]["counts"][name]) == len(pairs)
    for label, code in (("negative", 0), ("positive", 1)):
        here = Counter(w for t, c in TEXTS["train"] if c == code for w in t.split())
        elsewhere = Counter(w for t, c in TEXTS["train"] if c != code for w in t.split())
        words = found["distinctive_words"][label]
        assert words[0]["word"] == {"negative": "bad", "positive": "good"}[label]
        for word in words:
            assert word["count"] == here[word["word"]]
            assert word["elsewhere"] == elsewhere[word["word"]]
            assert word["z"] > 0


def test_words_are_compared_by_equation_22() -> None:
    here, elsewhere = np.array([30, 5, 100, 0, 7]), np.array([2, 50, 110, 0, 0])
    scores = compare_words(here, elsewhere)
    n, m = here.sum(), elsewhere.sum()
    for word in (0, 1, 2, 4):
        y, x = here[word], elsewhere[word]
        a = PRIOR_TOKENS * (y + x) / (n + m)
        delta = math.log((y + a) / (n + PRIOR_TOKENS - y - a))
        delta -= math.log((x + a) / (m + PRIOR_TOKENS - x - a))
        assert scores[word] == pytest.approx(delta / math.sqrt(1 / (y + a) + 1 / (x + a)))
    assert scores[3] == 0
    np.testing.assert_allclose(compare_words(elsewhere, here), -scores)
    assert not compare_words(np.zeros(3, int), np.zeros(3, int)).any()
