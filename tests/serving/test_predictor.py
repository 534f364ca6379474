import hashlib
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers import PROJECT, make_encoded, small_hyperparameters
from imdb_sentiment import __version__
from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.stacking import Weights
from imdb_sentiment.network.export import convert_to_onnx, seal
from imdb_sentiment.network.model import KerasModel, score_logits
from imdb_sentiment.network.ngrams import NgramModel
from imdb_sentiment.network.training import train_model
from imdb_sentiment.parameters import TokenizerParameters
from imdb_sentiment.serving import ModelError, Prediction, Predictor
from imdb_sentiment.text.cleaning import clean_text
from imdb_sentiment.text.ngrams import hash_ngrams
from imdb_sentiment.text.tokenizer import TextEncoder, train_tokenizer
from services import WORDS, make_ngram_model, make_texts, make_tokenizer

TOKENIZER = make_tokenizer()
PIECES = [*WORDS, "other", "!", "W1,", "<br />", "&amp;"]
LABELS = {2: ("bad", "good"), 3: ("bad", "good", "so-so")}


@dataclass(frozen=True)
class Trained:
    """A network, the n-grams averaged with it, and both as one exported model."""

    network: KerasModel
    ngrams: NgramModel | None
    weights: Weights
    exported: bytes

    def score(self, texts: list[str]) -> npt.NDArray[np.float64]:
        """Return the probabilities of cleaned texts, without the exported model."""
        logits = score_logits(self.network, TextEncoder(TOKENIZER).encode(texts))
        scores = self.ngrams.score_texts(texts) if self.ngrams else np.zeros_like(logits)
        return self.weights.average(logits, scores)


@pytest.fixture(scope="module", params=[2, 3], ids=["two labels, n-grams", "three labels"])
def both(request: pytest.FixtureRequest) -> Trained:
    small = small_hyperparameters(
        units=5, dropout_rate=0.2, learning_rate=0.05, batch_size=8, epochs=3
    )
    reviews = make_encoded(100, request.param)
    network, _ = train_model(reviews, small, seed=1)
    ngrams = make_ngram_model(reviews) if request.param == 2 else None
    if ngrams:
        ngrams = replace(ngrams, unlabelled_reviews=7)
    weights = Weights.from_share(0.4 if ngrams else 0, 0.8)
    exported = convert_to_onnx(
        network,
        TOKENIZER,
        LABELS[request.param],
        ngram_model=ngrams,
        weights=weights,
        facts={"fact": "true"},
    )
    return Trained(network, ngrams, weights, exported)


@pytest.fixture(scope="module")
def exported(both: Trained) -> bytes:
    return both.exported


@pytest.fixture(scope="module")
def predictor(exported: bytes) -> Predictor:
    return Predictor(exported)


@settings(max_examples=20)
@given(st.lists(st.lists(st.sampled_from(PIECES)).map(" ".join)))
def test_it_answers_as_the_trained_models(
    both: Trained, predictor: Predictor, texts: list[str]
) -> None:
    cleaned = [clean_text(text) for text in texts]
    found = predictor.predict_probabilities(texts)
    silent = ~TextEncoder(TOKENIZER).encode(cleaned).any(axis=1)
    if both.ngrams:
        known = both.ngrams.hashes
        hashes = [predictor.hash_ngrams(text) for text in cleaned]
        silent &= np.array([not np.isin(some, known).any() for some in hashes], bool)
    np.testing.assert_allclose(found[~silent], both.score(cleaned)[~silent], atol=1e-6)
    assert np.isnan(found[silent]).all()


def test_nothing_is_sent_or_kept_about_its_use(model_file: Path, tmp_path: Path) -> None:
    """ONNX Runtime would keep an id of the machine and what happened in the user's folder."""
    code = (
        "import sys; from imdb_sentiment.serving import Predictor; "
        "print(Predictor.load(sys.argv[1]).predict(['w1 w2'])[0].label)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": "", "PYTHONPATH": f"{PROJECT}/src"}
    command = [sys.executable, "-c", code, str(model_file)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip()
    assert not done.stderr
    assert not list(tmp_path.iterdir())


def test_it_says_which_ngrams_it_reads(both: Trained) -> None:
    predictor, ngrams = Predictor(both.exported), both.ngrams
    assert predictor.max_ngram == (ngrams.max_ngram if ngrams else 0)
    assert predictor.character_ngram == (ngrams.character_ngram if ngrams else 0)
    assert predictor.unlabelled_reviews == (ngrams.unlabelled_reviews if ngrams else 0)
    assert predictor.character_weight == (ngrams.character_weight if ngrams else 0)


def test_it_decides_by_weights_and_only_if_it_is_sure(both: Trained) -> None:
    """The probabilities stay what they are."""
    labels = LABELS[len(Predictor(both.exported).labels)]
    texts = ["w1 w2 w3", "w4", "w21", "w20 w5"]
    plain = Predictor(both.exported).predict_probabilities(texts)
    preferred, unlikely = plain[0].argmax(), plain[0].argmin()
    weights = dict.fromkeys(labels, 1.0) | {
        labels[unlikely]: 1.01 * plain[0, preferred] / plain[0, unlikely]
    }
    factors = np.array([weights[label] for label in labels])
    shares = (plain * factors).max(axis=1) / (plain * factors).sum(axis=1)
    confidence = float(np.sort(shares)[1:3].mean())
    exported = convert_to_onnx(
        both.network,
        TOKENIZER,
        labels,
        ngram_model=both.ngrams,
        weights=both.weights,
        decision={"label_weights": weights, "is_median": False, "min_confidence": confidence},
    )
    predictor = Predictor(exported)
    assert predictor.rule.min_confidence == confidence
    np.testing.assert_allclose(predictor.predict_probabilities(texts), plain, atol=1e-7)
    products = plain * [weights[label] for label in labels]
    found = predictor.predict(texts)
    for row, product, prediction in zip(plain, products, found, strict=True):
        code = product.argmax()
        if product[code] / product.sum() >= confidence:
            assert (prediction.label, prediction.reason) == (labels[code], None)
        else:
            assert prediction.label is None
            assert prediction.probability is None
            assert prediction.reason == f"a confidence below {confidence:g}"
        assert list(prediction.probabilities.values()) == pytest.approx(row.tolist())
    assert {prediction.label is None for prediction in found} == {True, False}


def test_a_bias_is_part_of_the_exported_model(both: Trained) -> None:
    n_labels = len(Predictor(both.exported).labels)
    weights = replace(both.weights, bias=(0.7,) if n_labels == 2 else (0.7, -0.4, -0.3))
    shifted = replace(both, weights=weights)
    exported = convert_to_onnx(
        both.network, TOKENIZER, LABELS[n_labels], ngram_model=both.ngrams, weights=weights
    )
    texts = ["w1 w2 w3", "w4"]
    np.testing.assert_allclose(
        Predictor(exported).predict_probabilities(texts), shifted.score(texts), atol=1e-6
    )


def test_one_text_or_several(exported: bytes) -> None:
    predictor = Predictor(exported)
    texts = ["w1 w2 w3", "", "w4", "qqq zzz"]
    several = predictor.predict(texts)
    assert several == [predictor.predict(text) for text in texts]
    assert [prediction.label is None for prediction in several] == [False, True, False, True]
    assert several[1] == Prediction(None, {}, "no text")
    assert several[3].reason == "no word that the model knows"
    assert several[1].probability is None
    first = several[0]
    assert tuple(first.probabilities) == predictor.labels
    assert sum(first.probabilities.values()) == pytest.approx(1)
    assert first.probability == max(first.probabilities.values())
    assert first.probability == first.probabilities[first.label or ""]
    assert predictor.predict([]) == []
    assert predictor.facts.keys() == {"fact", "versions"}
    assert predictor.facts["fact"] == "true"
    versions = json.loads(predictor.facts["versions"])
    assert versions["imdb-sentiment"] == __version__
    assert {"keras", "tensorflow", "tokenizers"} < versions.keys()


def test_a_missing_value_is_no_text(exported: bytes) -> None:
    predictor: Any = Predictor(exported)
    for score in (predictor.predict, predictor.predict_probabilities):
        with pytest.raises(TypeError, match="text 1 is nan, not a string: pass '' for a missing"):
            score(["a", float("nan")])
        with pytest.raises(TypeError, match="texts is a int: pass a list of texts"):
            score(5)


@pytest.mark.parametrize(
    "table", [pd.DataFrame({"review": ["w1", "w2"]}), {"review": "w1"}, b"w1", np.array([["w1"]])]
)
def test_the_names_of_a_table_are_no_texts(table: Any, exported: bytes) -> None:
    predictor = Predictor(exported)
    for score in (predictor.predict, predictor.predict_probabilities):
        with pytest.raises(TypeError, match=r"pass a list of texts, such as table\['review'\]"):
            score(table)
    column = pd.Series(["w1", "w2"], [7, 8])
    assert predictor.predict(column) == predictor.predict(["w1", "w2"])


def test_a_single_text_is_no_list_of_texts(exported: bytes) -> None:
    predictor = Predictor(exported)
    with pytest.raises(TypeError, match="a single string: pass a list of texts"):
        predictor.predict_probabilities("w1 w2")
    assert predictor.predict(iter(["w1", "w2"])) == predictor.predict(["w1", "w2"])


def test_threads_share_it(exported: bytes) -> None:
    predictor = Predictor(exported, threads=1)
    texts = [f"w{i} w{i % 5} w{i % 3}" for i in range(28)] * 20
    together = predictor.predict_probabilities(texts)
    barrier = threading.Barrier(8)

    def ask(number: int) -> None:
        barrier.wait()
        for place in range(number, len(texts), 8):
            alone = predictor.predict_probabilities([texts[place]])[0]
            np.testing.assert_allclose(alone, together[place], atol=1e-6)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [None] * 8


def change(exported: bytes, **properties: str) -> bytes:
    """Return the model with other metadata, as the package onnx would write it."""
    model = onnx.load_from_string(exported)
    kept = {entry.key: entry.value for entry in model.metadata_props} | properties
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, kept)
    return bytes(model.SerializeToString())


def test_parts_that_do_not_belong_together_are_refused(both: Trained, exported: bytes) -> None:
    other = train_tokenizer(
        ["x"],
        TokenizerParameters(
            kind="words", vocabulary_size=28, sequence_length=6, script="auto", head_fraction=0.0
        ),
    )
    labels = json.dumps(tuple(reversed(Predictor(exported).labels)))
    for changed in (
        change(exported, tokenizer=other.to_str()),
        change(exported, labels=labels),
        change(exported, training_data_sha256="0"),
        exported + b"\x72\x00",
    ):
        with pytest.raises(ModelError, match="has been modified since its export"):
            Predictor(changed)
    plain = onnx.load_from_string(exported)
    del plain.metadata_props[:]
    with pytest.raises(ModelError, match="the digest at its end is missing: export the model"):
        Predictor(plain.SerializeToString())
    with pytest.raises(ModelError, match="the model lacks 'tokenizer'"):
        Predictor(seal(plain.SerializeToString()))
    with pytest.raises(ModelError, match="the file is not an ONNX model"):
        Predictor(seal(b"no model"))
    with pytest.raises(InputError, match=r"knows 30 tokens and the tokenizer 3"):
        convert_to_onnx(both.network, other, ("a", "b"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("labels", "{"),
        ("labels", "5"),
        ("labels", "[1, 2]"),
        ("labels", '["a"]'),
        ("labels", '["a", "b", "c", "d"]'),
        ("examples", '{"a": 1}'),
        ("tokenizer", "x"),
        ("head_length", "a"),
        ("max_ngram", "1.5"),
        ("decision", "[]"),
        ("decision", '{"label_weights": [1]}'),
        ("decision", '{"label_weights": ["x", "y"]}'),
        ("lineage", "x"),
        ("lineage", "[1]"),
    ],
)
def test_metadata_that_can_not_be_read_are_refused(exported: bytes, name: str, value: str) -> None:
    model = onnx.load_from_string(exported)
    facts = {entry.key: entry.value for entry in model.metadata_props if entry.key != "sha256"}
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, facts | {name: value})
    content = seal(model.SerializeToString())
    with pytest.raises(
        ModelError, match=r"the model's metadata can't be read .*: export the model again"
    ):
        Predictor(content)


def test_it_cuts_texts_as_the_training_did_or_refuses_to(exported: bytes) -> None:
    def name(script: str | None) -> bytes:
        model = onnx.load_from_string(exported)
        others = [entry for entry in model.metadata_props if entry.key not in ("script", "sha256")]
        del model.metadata_props[:]
        model.metadata_props.extend(others)
        if script:
            onnx.helper.set_model_props(
                model, {**{entry.key: entry.value for entry in others}, "script": script}
            )
        return seal(model.SerializeToString())

    with_ngrams = Predictor(exported).max_ngram > 0
    assert Predictor(exported).script == ("auto" if with_ngrams else "ascii")
    assert Predictor(name("spaces")).script == "spaces"
    assert Predictor(name(None)).script == "ascii"  # exported before there was a choice
    with pytest.raises(ModelError, match=r"exported by a newer version .* no rule 'syllables'"):
        Predictor(name("syllables"))


def test_names_from_a_model_steer_no_terminal(exported: bytes) -> None:
    def give(kind: str = "", **properties: str) -> bytes:
        model = onnx.load_from_string(exported)
        model.graph.node[0].op_type += kind
        kept = {entry.key: entry.value for entry in model.metadata_props} | properties
        del kept["sha256"], model.metadata_props[:]
        onnx.helper.set_model_props(model, kept)
        return seal(model.SerializeToString())

    described = Predictor(give(reviews_file="x.csv\x1b]0;taken\x07", made="\x9b2J")).describe()
    assert described.startswith(r"from \x9b2J, trained on x.csv\x1b]0;taken\x07")
    with pytest.raises(ModelError, match=r"the file is not an ONNX model .*\\x1b\]0;"):
        Predictor(give(kind="\x1b]0;"))


def test_a_model_reads_no_other_file(
    exported: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = onnx.load_from_string(exported)
    weights = max(model.graph.initializer, key=lambda weights: len(weights.raw_data))
    (tmp_path / ".env").write_bytes(weights.raw_data)
    onnx.external_data_helper.set_external_data(weights, ".env")
    weights.ClearField("raw_data")
    del model.metadata_props[-1]
    with pytest.raises(ModelError, match=r"the file is not an ONNX model .*\.env"):
        Predictor(seal(model.SerializeToString()))


def test_a_damaged_file_is_refused_by_name(exported: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    for content in (b"", b"no model", exported[: len(exported) // 2]):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"model\.onnx can't be used: "):
            Predictor.load(path)
    path.write_bytes(exported)
    assert Predictor.load(path).predict("w1").label in ("bad", "good", "so-so")
    with pytest.raises(FileNotFoundError):
        Predictor.load(tmp_path / "missing.onnx")


@pytest.fixture
def no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if onnxruntime parses a file."""

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("onnxruntime has parsed the file")

    monkeypatch.setattr("onnxruntime.InferenceSession", refuse)


@pytest.mark.usefixtures("no_session")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_refused_before_it_is_parsed(
    exported: bytes, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(exported) - 1))
    refused = "the digest at its end is missing|modified since its export"
    with pytest.raises(ModelError, match=refused):
        Predictor(exported[:place])
    if not -76 <= place - len(exported) < -64:  # the name of the last entry
        changed = bytearray(exported)
        changed[place] ^= data.draw(st.integers(1, 255))
        with pytest.raises(ModelError, match=refused):
            Predictor(bytes(changed))


def test_the_name_of_the_digest_may_not_change(exported: bytes) -> None:
    for place in range(len(exported) - 76, len(exported) - 64):
        changed = bytearray(exported)
        changed[place] ^= 1
        with pytest.raises(ModelError):
            Predictor(bytes(changed))


def test_the_digest_is_an_entry_of_the_metadata(exported: bytes) -> None:
    entry = onnx.load_from_string(exported).metadata_props[-1]
    assert (entry.key, entry.value) == ("sha256", hashlib.sha256(exported[:-76]).hexdigest())
    assert seal(exported[:-76]) == exported
    assert exported[-76:-64] == b"\x72\x4a\x0a\x06sha256\x12\x40"  # as in files of earlier versions


def test_it_needs_neither_tensorflow_nor_kedro_nor_pandas(exported: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(exported)
    script = (
        "import sys\n"
        "from imdb_sentiment.serving import Predictor\n"
        f"print(Predictor.load({str(path)!r}).predict('w1 w2').label)\n"
        "print({name.partition('.')[0] for name in sys.modules}"
        " & {'tensorflow', 'keras', 'kedro', 'pandas', 'sklearn', 'optuna', 'pydantic'})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    label, imported = done.stdout.splitlines()
    assert label in ("bad", "good", "so-so")
    assert imported == "set()"


def test_many_texts_are_scored_a_few_at_a_time(
    both: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor(both.exported)
    texts = make_texts(make_encoded(50, len(predictor.labels))) * 3
    whole = predictor.score_cleaned(texts)
    monkeypatch.setattr("imdb_sentiment.serving.predictor.MAX_TOKENS", 10)  # two or three texts
    np.testing.assert_allclose(predictor.score_cleaned(texts), whole, atol=1e-6)


class Recorder:
    """A session of onnxruntime that records the shapes of its inputs."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.shapes: list[dict[str, tuple[int, ...]]] = []

    def run(self, names: None, inputs: dict[str, npt.NDArray[Any]]) -> Any:
        self.shapes.append({name: value.shape for name, value in inputs.items()})
        return self.session.run(names, inputs)


def test_a_text_with_many_ngrams_is_scored_on_its_own(
    model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The padding of all others would take gigabytes."""
    predictor = Predictor.load(model_file)
    long = "w1 w2 " + " ".join(f"unheard{i}" for i in range(100))
    texts = ["w1 w2", long, *["w3 w4!", "w5 w6"] * 20]
    numbers = [len(hash_ngrams(text, predictor.max_ngram)) for text in texts]
    assert (min(numbers), max(numbers)) == (3, 303)
    alone = np.concatenate([predictor.score_cleaned([text]) for text in texts])
    recorder = Recorder(predictor._session)
    monkeypatch.setattr(predictor, "_session", recorder)
    monkeypatch.setattr("imdb_sentiment.serving.predictor.MAX_NGRAMS", 60)
    np.testing.assert_allclose(predictor.score_cleaned(texts), alone, atol=1e-6)
    shapes = [shape["ngrams"] for shape in recorder.shapes]
    assert shapes[-1] == (1, 303)
    assert all(rows * ngrams <= 60 for rows, ngrams in shapes[:-1])
    of_characters = [shape["characters"] for shape in recorder.shapes]
    assert of_characters[-1][1] > 60
    assert all(rows * ngrams <= 60 for rows, ngrams in of_characters[:-1])
    assert shapes[0] == (20, 3)
    assert sum(rows for rows, _ in shapes) == len(texts)
    assert all(
        shape["token_ids"] == (rows, 2)
        for shape, (rows, _) in zip(recorder.shapes, shapes, strict=True)
    )
