"""The model inside the report: the numbers of the page against those of `Predictor`."""

import base64
import gzip
import html.entities
import json
import random
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from playwright.sync_api import Browser, Page
from tokenizers import Tokenizer

from browser import open_page, run_browser
from helpers import PROJECT, small_hyperparameters
from imdb_sentiment.evaluation.stacking import Weights
from imdb_sentiment.network.export import convert_to_onnx, seal
from imdb_sentiment.network.model import KerasModel, build_model
from imdb_sentiment.network.ngrams import NgramModel
from imdb_sentiment.parameters import ReportParameters, TokenizerParameters
from imdb_sentiment.pipelines.reporting.nodes.embedding import embed_model
from imdb_sentiment.serving import Predictor
from imdb_sentiment.serving.explanation import explain
from imdb_sentiment.text.cleaning import clean_text
from imdb_sentiment.text.ngrams import hash_ngrams, locate_characters
from imdb_sentiment.text.tokenizer import train_tokenizer

LABELS = ("bad", "good", "so-so")
TEMPLATES = resources.files("imdb_sentiment.pipelines.reporting") / "templates"
SCRIPT = (TEMPLATES / "predictor.js").read_text("utf-8")

PIECES = [
    *("don\u2019t", "l\u2019\u00e9t\u00e9", "\u00dcberraschung", "stra\u00dfe", "\u0130stanbul"),
    *(
        "\u039f\u0394\u039f\u03a3",
        "\u212aelvin",
        "\uff27\uff4f\uff4f\uff44",
        "cafe\u0301",
        "\ufb01lm",
    ),
    *(
        "\u8fd9\u90e8\u7535\u5f71\u4e0d\u597d\u770b",
        "\u65e5\u672c\u8a9e",
        "\ud55c\uad6d\uc5b4",
        "\u0e44\u0e17\u0e22",
    ),
    *(
        "\u0645\u064e\u0631\u062d\u064e\u0628\u064b\u0627",
        "\u05e9\u05c1\u05dc\u05d5\u05b9\u05dd",
        "\u0939\u093f\u0928\u094d\u0926\u0940",
    ),
    *(
        "\U0001f600",
        "\U0001f44d\U0001f3fd",
        "\U0001f1e9\U0001f1ea",
        "\u2764\ufe0f",
        "1\ufe0f\u20e3",
    ),
    *(
        "<br />",
        "<BR>",
        "</p>",
        "<a href='x'>",
        "< b>",
        "<3",
        ">:(",
        "&amp;",
        "&lt;br&gt;",
        "&#39;",
    ),
    *("&#x1F600;", "&#0;", "&#128;", "&#1;", "&#xFDD0;", "&#xD800;", "&#x110000;", "&ampgood;"),
    *("&notit;", "&NewLine;", "&nbsp;", "&unknown;", "&#12", "\u200b", "\ufeff", "\x07", "\u3000"),
    *("rock'n'roll", "''", "_so_", "...", "--", "a" + "\u0301" * 40 + "b", "\ufdfa", "\u20ac5"),
    *("a" + "\uff9e" * 40 + "b", "\u0f73" * 40),
]
EDGE_CASES = ["", " \n\t", "<br />", "&nbsp;", "?", "\U0001f600" * 300, "\u597d" * 3000, "x" * 9000]


@cache
def make_texts(n: int) -> list[str]:
    """Return reviews as people write them, and mixtures of all that is difficult."""
    rng = random.Random(0)
    reviews = pd.read_csv(PROJECT / "data/01_raw/sample_reviews.csv", nrows=n // 2)[
        "review"
    ].tolist()
    words = " ".join(reviews).split()
    mixed = [
        rng.choice([" ", "", " "]).join(
            rng.choice(rng.choice([PIECES, words])) for _ in range(rng.choice([1, 3, 30]))
        )
        for _ in range(n - len(reviews) - len(EDGE_CASES) - 1)
    ]
    return [*reviews, *mixed, *EDGE_CASES, " ".join(reviews[:40])]


@cache
def make_tokenizer() -> Tokenizer:
    limits = TokenizerParameters(
        kind="words", vocabulary_size=2000, sequence_length=100, script="auto", head_fraction=0.0
    )
    return train_tokenizer(map(clean_text, make_texts(1000)), limits)


def make_network(n_labels: int, seed: int = 0, **changes: Any) -> KerasModel:
    """Return a network with random weights, for the words of `make_tokenizer`."""
    size = make_tokenizer().get_vocab_size()
    network = build_model(small_hyperparameters(units=7, **changes), size, n_labels)
    rng = np.random.default_rng(seed)
    network.set_weights([rng.normal(0, 0.7, array.shape) for array in network.get_weights()])
    return network


def make_ngrams(n_labels: int) -> NgramModel:
    """Return a linear model with random weights, of the n-grams of every third text."""
    found = [hash_ngrams(clean_text(text), 3, character_ngram=4) for text in make_texts(1000)[::3]]
    hashes = np.unique(np.concatenate(found))
    outputs = 1 if n_labels == 2 else n_labels
    rng = np.random.default_rng(0)
    return NgramModel(
        3,
        hashes,
        rng.uniform(1, 5, len(hashes)).astype(np.float32),
        rng.normal(0, 9, (len(hashes), outputs)).astype(np.float32),
        rng.normal(0, 1, outputs).astype(np.float32),
        "auto",
        4,
    )


def export(
    network: KerasModel, n_labels: int, share: float, decision: dict[str, Any] | None = None
) -> bytes:
    return convert_to_onnx(
        network,
        make_tokenizer(),
        LABELS[:n_labels],
        head_length=30,
        ngram_model=make_ngrams(n_labels) if share else None,
        weights=Weights.from_share(share, temperature=1.5),
        decision=decision,
    )


# Networks of every kind that `build_model` makes, with a share of the n-grams.
KINDS: dict[str, tuple[int, float, dict[str, Any]]] = {
    "plain": (2, 0.4, {}),
    "best": (3, 0.4, {"bidirectional": True, "lstm_layers": 2, "pooling": "max_mean"}),
    "last of both": (2, 0.0, {"bidirectional": True}),
    "max": (2, 0.0, {"pooling": "max"}),
    "mean": (3, 0.5, {"pooling": "mean", "lstm_layers": 2}),
    "n-grams alone": (3, 1.0, {}),
}


def unpack(text: str) -> bytes:
    return gzip.decompress(base64.b64decode(text))


@pytest.fixture
def roomy(report: ReportParameters) -> ReportParameters:
    return report.model_copy(update={"model_megabytes": 10.0})


def test_the_page_knows_all_operators_of_the_export() -> None:
    import onnx

    names = {schema.name for schema in onnx.defs.get_all_schemas()}
    source = (PROJECT / "src/imdb_sentiment/network/export.py").read_text("utf-8")
    used = set(re.findall(r'"([A-Z]\w+)"', source)) & names
    known = set(re.findall(r"^  (\w+)[:(].*[,{]$", SCRIPT.split("const OPERATORS")[1], re.M))
    assert {"LSTM", "Softmax", "ReduceMax"} <= used
    assert used <= known | {"LabelEncoder"}


def test_weights_keep_16_bits(exported: bytes, roomy: ReportParameters) -> None:
    import onnx

    embedded = embed_model(exported, roomy)
    constants = json.loads(unpack(embedded["description"]))["constants"]
    packed = np.frombuffer(unpack(embedded["constants"]), np.uint8)
    found, start = {}, 0
    for constant in constants:
        dtype = np.dtype(constant["type"])
        stop = start + int(np.prod(constant["shape"])) * dtype.itemsize
        numbers = packed[start:stop].reshape(dtype.itemsize, -1).T.tobytes()
        found[constant["name"]] = np.frombuffer(numbers, dtype).reshape(constant["shape"])
        start = stop
    assert start == len(packed)
    graph = onnx.load_from_string(exported).graph
    for tensor in graph.initializer:
        expected = onnx.numpy_helper.to_array(tensor)
        np.testing.assert_allclose(found[tensor.name], expected, rtol=2**-16)
    keys = next(name for name in found if name.startswith("keys_tensor"))
    assert found[keys].dtype == np.int64
    assert set(found[keys].tolist()) >= set(hash_ngrams("w1", 1).tolist())


def test_it_is_said_why_a_model_is_not_there(exported: bytes, report: ReportParameters) -> None:
    small = report.model_copy(update={"model_megabytes": 0.01})
    reason = embed_model(exported, small)["reason"]
    says = r"the model would take 0\.\d MB here, and report\.model_megabytes allows 0\.01: raise .*"
    assert re.fullmatch(says, reason)
    assert embed_model(exported, report.model_copy(update={"model_megabytes": 0.0})) == {}
    subwords = TokenizerParameters(
        kind="bpe", vocabulary_size=40, sequence_length=9, script="auto", head_fraction=0.0
    )
    tokenizer = train_tokenizer(["w1 w2 good bad"], subwords)
    size = tokenizer.get_vocab_size()
    network = build_model(small_hyperparameters(), size, 2)
    exported = convert_to_onnx(network, tokenizer, ("bad", "good"))
    assert "reads subwords" in embed_model(exported, report)["reason"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with run_browser() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = open_page(browser)
    page.set_content(f"<!doctype html><meta charset=utf-8><script>{SCRIPT}</script>")
    yield page
    page.close()


def load(page: Page, model: bytes, report: ReportParameters) -> None:
    page.evaluate(
        "async (embedded) => { globalThis.model = await Predictor.load(embedded); }",
        embed_model(model, report),
    )


def compare(page: Page, model: bytes, texts: Sequence[str], report: ReportParameters) -> float:
    """Compare labels and probabilities, and return the largest difference of the latter."""
    load(page, model, report)
    found = page.evaluate(
        """(texts) => texts.map((text) => {
          const { label, reason, probabilities, cleaned } = model.predict(text);
          return { label, reason, probabilities, cleaned };
        })""",
        texts,
    )
    differences = [0.0]
    for text, here, expected in zip(
        texts, found, Predictor(model).predict(list(texts)), strict=True
    ):
        assert here["cleaned"] == clean_text(text)
        assert (here["label"], here["reason"]) == (expected.label, expected.reason), text
        pairs = zip(here["probabilities"] or [], expected.probabilities.values(), strict=True)
        differences += [abs(one - other) for one, other in pairs]
    return max(differences)


def test_the_page_agrees_with_the_predictor_on_1000_texts(
    page: Page, roomy: ReportParameters
) -> None:
    model = export(make_network(2), 2, 0.4)
    texts = make_texts(1000)
    assert len(texts) == 1000
    assert compare(page, model, texts, roomy) < 1e-4


@pytest.mark.parametrize("kind", list(KINDS)[1:])
def test_every_kind_of_network_runs_in_the_page(
    kind: str, page: Page, roomy: ReportParameters
) -> None:
    n_labels, share, changes = KINDS[kind]
    decision = {
        "label_weights": dict(zip(LABELS, (1.5, 1.0, 0.5), strict=True)),
        "is_median": n_labels > 2,
        "min_confidence": 0.5,
    }
    model = export(make_network(n_labels, **changes), n_labels, share, decision)
    assert compare(page, model, make_texts(1000)[400:600:2] + EDGE_CASES, roomy) < 1e-4


@pytest.mark.parametrize("share", [0.4, 0.0])
def test_the_effects_of_words_are_those_of_the_service(
    share: float, page: Page, roomy: ReportParameters
) -> None:
    model = export(make_network(2), 2, share)
    load(page, model, roomy)
    predictor = Predictor(model)
    for text in ["\u8fd9\u90e8 film", "good", "never-heard!", *make_texts(1000)[100:700:60]]:
        prediction = page.evaluate("(text) => [...model.explain(text)].at(-1)", text)
        _, segments = explain(predictor, text)
        expected = [(part.text, part.effect) for part in segments if part.effect is not None]
        letters = prediction["cleaned"].encode("utf-16-le")
        found = [
            (letters[2 * word["start"] : 2 * word["stop"]].decode("utf-16-le"), word["effect"])
            for word in prediction["effects"]
        ]
        assert [word for word, _ in found] == [word for word, _ in expected]
        for (_, here), (_, there) in zip(found, expected, strict=True):
            assert here == pytest.approx(there, abs=1e-4)


def test_an_older_model_does_not_answer_without_a_word_that_its_network_knows(
    page: Page, roomy: ReportParameters
) -> None:
    older = onnx.load_from_string(export(make_network(2), 2, 0.4))
    others = {p.key: p.value for p in older.metadata_props}
    del older.metadata_props[:], others["sha256"], others["unknown_token"]
    onnx.helper.set_model_props(older, others)
    model = seal(older.SerializeToString())
    assert Predictor(model).predict("!").label is None
    assert compare(page, model, ["!", "", "qqq zzz", "good film!"], roomy) < 1e-4


def test_tokens_are_hashed_as_in_python(page: Page, roomy: ReportParameters) -> None:
    """Of unknown n-grams, too, which change no probability."""
    load(page, export(make_network(2), 2, 0.4), roomy)
    texts = make_texts(1000)[::3]
    found = page.evaluate(
        """(texts) => texts.map((text) => {
          const tokens = model.findTokens(model.clean(text));
          const ngrams = combineHashes(tokens.map(({ hash }) => hash), 3);
          const characters = new Set(tokens.flatMap(({ characters }) => characters));
          return [...ngrams, ...characters].map(String);
        })""",
        texts,
    )
    for text, hashes in zip(texts, found, strict=True):
        expected = hash_ngrams(clean_text(text), 3, character_ngram=4)
        assert sorted(map(int, hashes)) == expected.tolist()


def test_a_single_small_hash_of_characters_is_found(page: Page, roomy: ReportParameters) -> None:
    found = hash_ngrams("movie", 1, character_ngram=4)
    small = found[locate_characters(found)].min()
    assert small < 2**31
    ngrams = NgramModel(
        1,
        np.array(sorted([hash_ngrams("good", 1)[0], small])),
        np.ones(2, np.float32),
        np.array([[3], [3]], np.float32),
        np.zeros(1, np.float32),
        "auto",
        4,
    )
    names = LABELS[:2]
    weights = Weights.from_share(1)
    exported = convert_to_onnx(
        make_network(2), make_tokenizer(), names, ngram_model=ngrams, weights=weights
    )
    load(page, exported, roomy)
    text = f"{make_texts(1)[0]} movie"
    prediction = page.evaluate("(text) => model.predict(text)", text)
    expected = Predictor(exported).predict(text)
    assert prediction["probabilities"] == pytest.approx(list(expected.probabilities.values()))
    assert expected.probabilities[names[1]] > 0.9


def test_entities_are_decoded_as_in_python(page: Page, roomy: ReportParameters) -> None:
    rng = random.Random(1)
    names = [f"&{name.rstrip(';')};" for name in html.entities.html5]
    codes = [*range(0x300), *rng.sample(range(0x300, 0x112000), 500), 0xFFFE, 0x1FFFF, 0xD800]
    texts = [f"a{entity}b" for entity in (*names, *(f"&#{code};" for code in codes))]
    load(page, export(make_network(2), 2, 0.0), roomy)
    found = page.evaluate("(texts) => texts.map((text) => model.clean(text))", texts)
    for text, cleaned in zip(texts, found, strict=True):
        assert cleaned == clean_text(text), text


def test_markup_is_removed_as_in_python(page: Page, roomy: ReportParameters) -> None:
    tags = ["<table>", "</TD >", "<p hidden>", "<b plus>", "<br/ >", "<o:p>", "<b hidden x='1'>"]
    others = ["<style>", "</style>", "<SCRIPT x:y = a>", "</script >", "<!--", "-->"]
    pieces = [*tags, *others, "<!doctype a>", "<3", "a < b", "<a hidden", ">", "é\n", "x"]
    rng = random.Random(1)
    texts = [*pieces, *("".join(rng.choices(pieces, k=12)) for _ in range(1000))]
    load(page, export(make_network(2), 2, 0.0), roomy)
    found = page.evaluate("(texts) => texts.map((text) => model.clean(text))", texts)
    assert found == list(map(clean_text, texts))
