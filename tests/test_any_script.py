"""Reviews in eleven scripts, mixed in one file: the model learns all of them."""

import logging
from functools import reduce
from itertools import product
from operator import add

import numpy as np
import pandas as pd
import pytest
from tokenizers import Tokenizer

from helpers import base_parameters, make_ngrams_parameters, small_hyperparameters
from imdb_sentiment.evaluation.objectives import make_metric
from imdb_sentiment.network.export import convert_to_onnx
from imdb_sentiment.network.ngram_regression import fit_ngram_model
from imdb_sentiment.network.training import train_model
from imdb_sentiment.parameters import (
    BaselineParameters,
    ReviewsParameters,
    TokenizerParameters,
    TrainingParameters,
)
from imdb_sentiment.pipelines.data_processing.nodes import encode_reviews, fit_tokenizer
from imdb_sentiment.pipelines.training.baseline import fit_baseline
from imdb_sentiment.pipelines.tuning.protocol import NEVER_HELD_OUT
from imdb_sentiment.serving import Predictor
from imdb_sentiment.serving.explanation import explain
from imdb_sentiment.text.cleaning import clean_text
from imdb_sentiment.text.encoded_reviews import EncodedReviews
from imdb_sentiment.text.ngrams import hash_ngrams
from imdb_sentiment.text.word_numbers import join_words, number_words, pack_numbers
from imdb_sentiment.text.words import get_rule

# For each script: a pattern, subjects, what stands between, negative and positive words.
SENTENCES = {
    "Latin": (
        "«\u00a0{}\u00a0»… {} {}!",
        ["L’été", "La forêt", "Le garçon", "Zoë"],
        ["c’est", "était", "est assez", "paraît très"],
        [["raté", "pénible", "décevant"], ["génial", "émouvant", "réussi"]],
    ),
    "Cyrillic": (
        "{} — {} {}.",
        ["Фильм", "Сюжет", "Финал", "Актёр"],
        ["очень", "просто", "довольно", "такой"],
        [["скучный", "ужасный", "плохой"], ["чудесный", "отличный", "прекрасный"]],
    ),
    "Greek": (
        "{} {} {};",
        ["Η ΤΑΙΝΊΑ", "Η ιστορία", "Η μουσική", "Η αρχή"],
        ["είναι", "ήταν", "φαίνεται", "μοιάζει"],
        [["βαρετή", "άθλια", "κακή"], ["υπέροχη", "θαυμάσια", "καλή"]],
    ),
    "Arabic": (
        "{}، {} {}؟",
        ["الفيلم", "الـفـيلم", "السيناريو", "الممثل"],
        ["كان", "فعلا", "حقا", "جِدًّا"],
        [["سيئ", "مُمِلّ", "فظيع"], ["رائع", "جَمِيل", "ممتاز"]],
    ),
    "Hebrew": (
        "{}־{}: ״{}״",
        ["הסרט", "הסיפור", "הסוף", "השחקן"],
        ["היה", "באמת", "פשוט", "ממש"],
        [["גרוע", "מְשַׁעֲמֵם", "נורא"], ["נהדר", "מְצֻיָּן", "יפה"]],
    ),
    "Devanagari": (
        "{} {} {} है।",
        ["फ़िल्म", "कहानी", "शुरुआत", "धुन"],
        ["बहुत", "सच में", "थोड़ी", "काफ़ी"],
        [["बेकार", "घटिया", "उबाऊ"], ["बढ़िया", "शानदार", "सुंदर"]],
    ),
    "Han": (
        "{}{}{}。",
        ["这部电影", "故事", "结局", "演员"],
        ["真的", "实在", "非常", "比较"],
        [["无聊", "难看", "糟糕"], ["精彩", "好看", "动人"]],
    ),
    "Hiragana": (
        "{}{}{}です！",
        ["この映画は", "物語は", "ラストは", "音楽は"],
        ["とても", "すこし", "ほんとうに", "やはり"],
        [["つまらない", "ひどい", "くだらない"], ["すばらしい", "たのしい", "うつくしい"]],
    ),
    "Hangul": (
        "{} {} {}.",
        ["이 영화는", "이야기는", "결말은", "음악은"],
        ["정말", "조금", "아주", "역시"],
        [["지루해요", "형편없어요", "끔찍하네요"], ["훌륭해요", "재미있어요", "아름답네요"]],
    ),
    "Thai": (
        "{}{}{}",
        ["หนังเรื่องนี้", "เนื้อเรื่อง", "ตอนจบ", "เพลง"],
        ["ค่อนข้าง", "จริงๆ", "ถือว่า", "ก็"],
        [["น่าเบื่อ", "แย่", "ห่วย"], ["สนุก", "สวย", "ประทับใจ"]],
    ),
    "Emoji": (
        "{} {}{}",
        ["Film", "Plot", "End", "Cast"],
        ["…", "—", "!!", "so"],
        [["😡", "💔", "👎🏿"], ["😍", "❤️", "👍🏽"]],
    ),
}


@pytest.fixture(scope="module")
def reviews() -> pd.DataFrame:
    """Return all sentences; a quarter of each script's are test rows, of words seen elsewhere."""
    rows = [
        (script, clean_text(pattern.format(subject, middle, word)), code, (i + j) % 4 == 0)
        for script, (pattern, subjects, middles, words) in SENTENCES.items()
        for code in (0, 1)
        for (i, subject), (j, middle), word in product(
            enumerate(subjects), enumerate(middles), words[code]
        )
    ]
    frame = pd.DataFrame(rows, columns=["script", "text", "code", "is_test"])
    frame["split"] = np.where(frame["is_test"], "test", "train")
    return frame.assign(row=range(1, len(frame) + 1), group="")


def encode(
    reviews: pd.DataFrame, parameters: TokenizerParameters
) -> tuple[Tokenizer, EncodedReviews]:
    """Return the tokenizer of the training rows, and these."""
    labels = ReviewsParameters(**base_parameters()["reviews"])
    cut = map(get_rule(parameters.script).split, reviews["text"])
    numbers, lengths, words = number_words(map(join_words, cut))
    chunk = reviews.assign(words=pack_numbers(numbers, lengths))
    tokenizer = fit_tokenizer([chunk], words, parameters)
    sets = encode_reviews([chunk], tokenizer, words, labels, parameters)
    train, *_ = (reduce(add, parts) for parts in sets)
    return tokenizer, train


def make_parameters(script: str) -> TokenizerParameters:
    parameters = {**base_parameters()["tokenizer"], "sequence_length": 20, "script": script}
    return TokenizerParameters(**parameters)


@pytest.fixture(scope="module")
def predictors(reviews: pd.DataFrame) -> dict[str, Predictor]:
    """Return the exported network alone, and its average with n-grams."""
    tokenizer, train = encode(reviews, make_parameters("auto"))
    network, _ = train_model(train, small_hyperparameters(units=8, embedding_size=8, epochs=8), 1)
    texts = reviews.loc[reviews["split"] == "train", "text"]
    ngrams = fit_ngram_model(
        [hash_ngrams(text, 3, character_ngram=4) for text in texts],
        train.codes,
        2,
        make_ngrams_parameters(),
    )
    names = ("negative", "positive")
    return {
        "network": Predictor(convert_to_onnx(network, tokenizer, names)),
        "average": Predictor(convert_to_onnx(network, tokenizer, names, ngram_model=ngrams)),
    }


@pytest.mark.parametrize("script", SENTENCES)
@pytest.mark.parametrize("model", ["network", "average"])
def test_the_model_is_right_in_every_script(
    script: str, model: str, reviews: pd.DataFrame, predictors: dict[str, Predictor]
) -> None:
    test = reviews[reviews["is_test"] & (reviews["script"] == script)]
    probabilities = predictors[model].predict_probabilities(test["text"].tolist())
    assert (probabilities.argmax(axis=1) == test["code"]).mean() >= 0.9
    assert len(test) == 24


@pytest.mark.parametrize("script", SENTENCES)
def test_explanations_point_to_what_decides(
    script: str, reviews: pd.DataFrame, predictors: dict[str, Predictor]
) -> None:
    word = clean_text(SENTENCES[script][3][0][0])
    text = next(text for text in reviews["text"] if word in text)
    for predictor in predictors.values():
        prediction, segments = explain(predictor, text)
        assert prediction.label == "negative"
        assert "".join(segment.text for segment in segments) == text
        strongest = max(segments, key=lambda segment: segment.effect or 0)
        assert strongest.text in word


def test_the_baseline_cuts_texts_in_the_same_way(reviews: pd.DataFrame) -> None:
    parameters = base_parameters()
    _, train = encode(reviews, make_parameters("auto"))
    baseline, _ = fit_baseline(
        [reviews],
        train=train,
        validation=train.take(np.arange(0)),
        baseline=BaselineParameters(**parameters["baseline"]),
        metric=make_metric("accuracy", None, ("negative", "positive"), are_ordered=False),
        folds=np.full(len(train), NEVER_HELD_OUT, np.int32),
        training=TrainingParameters(**parameters["training"]),
        reviews=ReviewsParameters(
            **parameters["reviews"]
            | {"text_column": "t", "label_column": "l", "labels": ("negative", "positive")}
        ),
        script="auto",
    )
    test = reviews[reviews["is_test"]]
    is_right = pd.Series(baseline.predict(test["text"]) == test["code"])
    assert is_right.groupby(test["script"]).mean().min() >= 0.9


def test_a_warning_says_what_to_set_if_reviews_have_no_known_word(
    reviews: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for script in ("auto", "spaces"):
            encode(reviews, make_parameters(script))
    (warning,) = caplog.messages
    assert "reviews (7%) have no word that the LSTM knows" in warning
    assert "set tokenizer.script to auto" in warning
