from dataclasses import replace

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from helpers import make_encoded, make_network, small_hyperparameters
from imdb_sentiment.evaluation.probabilities import DecisionRule
from imdb_sentiment.evaluation.stacking import Weights
from imdb_sentiment.network.export import convert_to_onnx
from imdb_sentiment.network.model import build_model
from imdb_sentiment.network.ngrams import NgramModel
from imdb_sentiment.network.training import train_model
from imdb_sentiment.parameters import TokenizerParameters
from imdb_sentiment.serving import Prediction, Predictor
from imdb_sentiment.serving.explanation import Segment, explain, find_explained_label
from imdb_sentiment.serving.service import create_app
from imdb_sentiment.serving.settings import ServiceSettings
from imdb_sentiment.text.cleaning import clean_text
from imdb_sentiment.text.ngrams import hash_ngrams
from imdb_sentiment.text.tokenizer import TextEncoder, train_tokenizer
from services import make_tokenizer

PIECES = st.sampled_from(
    ["w1", "W2", "w3,", "w4", "_w5_", "unheard", "<br />", "İw5", "—", "!", "\n"]
)


@pytest.fixture(scope="module")
def alone() -> bytes:
    """Return an exported network without n-grams."""
    model, _ = train_model(make_encoded(100), small_hyperparameters(epochs=3), seed=1)
    return convert_to_onnx(model, make_tokenizer(), ("negative", "positive"))


@pytest.fixture(scope="module")
def ngrams_alone() -> bytes:
    """Return an exported model without a network, which knows words that a network would not."""
    hashes = hash_ngrams("w1 unheard of !", 1)
    rng = np.random.default_rng(0)
    ngrams = NgramModel(
        1,
        hashes,
        np.ones(len(hashes), np.float32),
        rng.normal(size=(len(hashes), 1)).astype(np.float32),
        np.zeros(1, np.float32),
        "auto",
        0,
    )
    tokenizer = make_tokenizer()
    network = build_model(small_hyperparameters(), tokenizer.get_vocab_size(), 2)
    return convert_to_onnx(
        network,
        tokenizer,
        ("negative", "positive"),
        ngram_model=ngrams,
        weights=Weights.from_share(1),
    )


def find_effects(segments: list[Segment]) -> list[tuple[str, float]]:
    return [(segment.text, segment.effect) for segment in segments if segment.effect is not None]


@given(st.lists(PIECES).map(" ".join))
def test_segments_make_up_the_text(
    exported: bytes, alone: bytes, ngrams_alone: bytes, text: str
) -> None:
    for model in (exported, alone, ngrams_alone):
        _, segments = explain(Predictor(model), text)
        assert "".join(segment.text for segment in segments) == clean_text(text)
        assert all(segment.text for segment in segments)


def test_effects_are_what_leaving_a_word_out_does(exported: bytes) -> None:
    predictor = Predictor(exported)
    text = "w1, unheard w2 oh W3! never"
    prediction, segments = explain(predictor, text)
    assert prediction == predictor.predict(text)
    assert prediction.label is not None
    assert prediction.probability is not None
    effects = find_effects(segments)
    assert [word for word, _ in effects] == ["w1", "unheard", "w2", "oh", "W3", "never"]
    for word, effect in effects:
        left = predictor.predict(text.replace(word, "", 1)).probabilities[prediction.label]
        assert effect == pytest.approx(prediction.probability - left, abs=1e-6)
    found = dict(effects)
    assert abs(found["unheard"]) > 1e-4  # which only the n-grams know


def test_without_ngrams_unknown_words_and_marks_are_nothing(alone: bytes) -> None:
    predictor = Predictor(alone)
    prediction, segments = explain(predictor, "w1, w2 oh W3!")
    effects = find_effects(segments)
    assert [word for word, _ in effects] == ["w1", "w2", "W3"]
    assert prediction == predictor.predict("w1 w2 w3")
    assert prediction.label is not None
    assert prediction.probability is not None
    for (_, effect), without in zip(effects, ("w2 w3", "w1 w3", "w1 w2"), strict=True):
        left = predictor.predict(without).probabilities[prediction.label]
        assert effect == pytest.approx(prediction.probability - left, abs=1e-6)


def test_only_words_that_the_network_reads_have_an_effect_without_ngrams(alone: bytes) -> None:
    words = [f"w{i}" for i in range(9)]  # the network reads six tokens
    _, segments = explain(Predictor(alone), " ".join(words))
    assert [word for word, _ in find_effects(segments)] == words[3:]


def test_the_words_of_both_ends_have_an_effect() -> None:
    words = [f"w{i}" for i in range(9)]
    predictor = Predictor(
        convert_to_onnx(make_network(), make_tokenizer(), ("bad", "good"), head_length=2)
    )
    prediction, segments = explain(predictor, " ".join(words))
    assert prediction == predictor.predict(" ".join([*words[:2], *words[5:]]))
    assert [word for word, _ in find_effects(segments)] == [*words[:2], *words[5:]]
    assert "".join(segment.text for segment in segments) == " ".join(words)


def test_ngrams_are_read_in_the_whole_text(exported: bytes) -> None:
    """A word between those that the network reads is left out of the n-grams alone."""
    predictor = Predictor(exported)
    words = [f"w{i}" for i in range(9)]
    prediction, segments = explain(predictor, " ".join(words))
    effects = find_effects(segments)
    assert [word for word, _ in effects] == words
    label = predictor.labels.index(str(prediction.label))
    encoder = TextEncoder(predictor.tokenizer, predictor.head_length)
    tokens = encoder.encode([" ".join(words)])
    for place, (word, effect) in enumerate(effects):
        kept = tokens[tokens != predictor.tokenizer.token_to_id(word)]
        ngrams = predictor.hash_ngrams(" ".join(words[:place] + words[place + 1 :]))
        (without,) = predictor.score_sequences(kept[np.newaxis], [ngrams])
        left = prediction.probabilities[predictor.labels[label]] - without[label]
        assert effect == pytest.approx(left, abs=1e-6)
        assert len(kept) == (6 if 2 <= place < 5 else 5)
    assert max(abs(effect) for _, effect in effects[2:5]) > 1e-4


def test_500_words_have_an_effect_in_the_shares_that_the_network_reads(exported: bytes) -> None:
    predictor = Predictor(exported)
    encoder = TextEncoder(predictor.tokenizer, predictor.head_length)
    words = [f"w{number % 28}" for number in range(520)]
    prediction, segments = explain(predictor, ", ".join(words) + "!")
    n_first = 500 * 2 // 6
    left_out = words[n_first : n_first + 20]
    assert Segment(", " + ", ".join(left_out) + ", ", None) in segments
    assert segments[-1] == Segment("!", None)
    effects = find_effects(segments)
    assert [word for word, _ in effects] == words[:n_first] + words[n_first + 20 :]
    assert prediction.probability is not None
    assert prediction.label is not None
    # At the ends of what is scored at a time, too.
    for place in (2, 48, 49, 50, n_first - 1, n_first + 20, 300, 513, 519):
        parts = [*words]
        parts[place] = ""  # the commas stay
        text = ", ".join(parts) + "!"
        if place >= 516:  # the network would read one word more, after the first two
            ngrams = [predictor.hash_ngrams(text)]
            tokens = np.delete(encoder.encode([text]), 2, axis=1)
            probabilities = predictor.name_label(text, predictor.score_sequences(tokens, ngrams)[0])
        else:
            probabilities = predictor.predict(text)
        left = probabilities.probabilities[prediction.label]
        found = effects[place if place < n_first else place - 20][1]
        assert found == pytest.approx(prediction.probability - left, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("İzmir w1", ["İzmir", "w1"]),  # in lower case, one letter more
        ("a _w1_ film", ["a", "_w1_", "film"]),
        ("w1 :-) — 10/10 'n'", ["w1", "10", "10", "n"]),
        ("w1's isn't", ["w1's", "isn't"]),
    ],
)
def test_words_have_effects_and_marks_have_none(
    exported: bytes, text: str, words: list[str]
) -> None:
    _, segments = explain(Predictor(exported), f"{text} w2")
    assert [word for word, _ in find_effects(segments)] == [*words, "w2"]


def test_the_only_word_is_held_against_chance(exported: bytes) -> None:
    prediction, (segment,) = explain(Predictor(exported), "w1")
    assert prediction.probability is not None
    assert segment.effect == pytest.approx(prediction.probability - 1 / 2)


def test_without_a_known_word_there_is_nothing_to_explain(exported: bytes) -> None:
    prediction, segments = explain(Predictor(exported), "qqq zzz")
    assert prediction.label is None
    assert [(s.text, s.effect) for s in segments] == [("qqq zzz", None)]
    assert prediction.reason == "no word that the model knows"
    assert explain(Predictor(exported), " <br> ") == (Prediction(None, {}, "no text"), [])


def test_words_that_only_the_ngrams_know_are_explained(exported: bytes) -> None:
    predictor = Predictor(exported)
    prediction, segments = explain(predictor, "unheard qqq")
    assert prediction == predictor.predict("unheard qqq")
    assert prediction.probability is not None
    assert find_effects(segments) == [
        ("unheard", pytest.approx(prediction.probability - 1 / 2)),  # nothing known is left
        ("qqq", 0),
    ]


def test_ngrams_alone_need_no_word_of_the_vocabulary(ngrams_alone: bytes) -> None:
    predictor = Predictor(ngrams_alone)
    for text in ("unheard", "unheard w1", "of!"):
        prediction, segments = explain(predictor, text)
        assert prediction == predictor.predict(text)
        assert prediction.label is not None
        assert len(find_effects(segments)) == len(text.split())
    for text, reason in (("", "no text"), ("qqq ?", "no word that the model knows")):
        nothing = Prediction(None, {}, reason)
        assert predictor.predict(text) == nothing
        assert explain(predictor, text) == (nothing, [Segment(text, None)] if text else [])
    texts = ["", "unheard", "w1 w2", "qqq"]
    assert predictor.predict(texts) == [predictor.predict(text) for text in texts]


@pytest.mark.parametrize("weights", [(1, 1), (99, 1), (1, 99)])
def test_a_label_that_is_not_probable_enough_is_explained(
    exported: bytes, weights: tuple[float, float]
) -> None:
    predictor = Predictor(exported)
    predictor.rule = DecisionRule(np.array(weights))
    sure, expected = explain(predictor, "w1 and w2")
    assert find_explained_label(predictor, sure) == sure.label
    predictor.rule = replace(predictor.rule, min_confidence=1)
    unsure, segments = explain(predictor, "w1 and w2")
    assert unsure.label is None
    assert segments == expected
    assert find_explained_label(predictor, unsure) == sure.label
    silent, _ = explain(predictor, "qqq zzz")
    assert find_explained_label(predictor, silent) is None


def test_words_are_left_out_whole_where_tokens_are_parts_of_them() -> None:
    parameters = TokenizerParameters(
        kind="bpe", vocabulary_size=28, sequence_length=12, script="auto", head_fraction=0.0
    )
    words = ["lowest", "low", "newest", "new"]
    tokenizer = train_tokenizer(words * 9 + ["abcdefghijklmnopqr"], parameters)
    assert tokenizer.get_vocab_size() == 30
    predictor = Predictor(convert_to_onnx(make_network(), tokenizer, ("bad", "good")))
    prediction, segments = explain(predictor, "Lower, then new zest")
    assert [s.text for s in segments if s.effect is not None] == ["Lower", "then", "new", "est"]
    assert prediction.probability is not None
    left = predictor.predict("then new zest").probabilities[str(prediction.label)]
    assert segments[0].effect == pytest.approx(prediction.probability - left, abs=1e-6)


def test_without_a_network_nothing_is_read_by_one(ngrams_alone: bytes) -> None:
    app = create_app(Predictor(ngrams_alone), ngrams_alone, ServiceSettings())
    with TestClient(app, "http://localhost") as client:
        words = client.post("/explain", json={"text": "w1 unheard w2"}).json()["words"]
    assert words == {"total": 3, "known": 2, "read": 0}
