import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import make_encoded, small_hyperparameters
from imdb_sentiment.network.export import convert_to_onnx
from imdb_sentiment.network.training import train_model
from imdb_sentiment.parameters import TokenizerParameters
from imdb_sentiment.serving import Predictor
from imdb_sentiment.serving.explanation import explain
from imdb_sentiment.text.cleaning import clean_text
from imdb_sentiment.text.tokenizer import train_tokenizer

PIECES = st.sampled_from(["w1", "W2", "w3,", "w4", "unheard", "<br />", "İw5", "—", "!", "\n"])


@settings(deadline=None)
@given(st.lists(PIECES).map(" ".join))
def test_segments_make_up_the_text(exported: bytes, text: str) -> None:
    _, segments = explain(Predictor(exported), text)
    assert "".join(segment.text for segment in segments) == clean_text(text)
    assert all(segment.text for segment in segments)


def test_effects_are_what_leaving_a_word_out_does(exported: bytes) -> None:
    predictor = Predictor(exported)
    prediction, segments = explain(predictor, "w1, w2 oh W3!")
    effects = {segment.text: segment.effect for segment in segments if segment.effect is not None}
    assert set(effects) == {"w1", "w2", "W3"}
    assert prediction == predictor.predict("w1 w2 w3")
    assert prediction.label is not None
    assert prediction.probability is not None
    for word, without in {"w1": "w2 w3", "w2": "w1 w3", "W3": "w1 w2"}.items():
        left = predictor.predict(without).probabilities[prediction.label]
        assert effects[word] == pytest.approx(prediction.probability - left, abs=1e-6)


def test_only_words_that_the_model_reads_have_an_effect(exported: bytes) -> None:
    words = [f"w{i}" for i in range(9)]  # the model reads six tokens
    _, segments = explain(Predictor(exported), " ".join(words))
    assert [s.text for s in segments if s.effect is not None] == words[3:]


def test_the_only_word_is_held_against_chance(exported: bytes) -> None:
    prediction, (segment,) = explain(Predictor(exported), "w1")
    assert prediction.probability is not None
    assert segment.effect == pytest.approx(prediction.probability - 1 / 2)


def test_without_a_known_word_there_is_nothing_to_explain(exported: bytes) -> None:
    prediction, segments = explain(Predictor(exported), "never heard")
    assert prediction.label is None
    assert [(s.text, s.effect) for s in segments] == [("never heard", None)]
    assert explain(Predictor(exported), " <br> ") == (prediction, [])


def test_words_are_left_out_whole_where_tokens_are_parts_of_them() -> None:
    parameters = TokenizerParameters(kind="bpe", vocabulary_size=28, sequence_length=12)
    words = ["lowest", "low", "newest", "new"]
    tokenizer = train_tokenizer(words * 9 + ["abcdefghijklmnopqr"], parameters)
    assert tokenizer.get_vocab_size() == 30
    model, _ = train_model(make_encoded(60), small_hyperparameters(), seed=1)
    predictor = Predictor(convert_to_onnx(model, tokenizer, ("bad", "good")))
    prediction, segments = explain(predictor, "Lower, then new zest")
    assert [s.text for s in segments if s.effect is not None] == ["Lower", "then", "new", "est"]
    assert prediction.probability is not None
    left = predictor.predict("then new zest").probabilities[str(prediction.label)]
    assert segments[0].effect == pytest.approx(prediction.probability - left, abs=1e-6)
