import hashlib
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers import make_encoded, small_hyperparameters
from imdb_sentiment import __version__
from imdb_sentiment.errors import InputError
from imdb_sentiment.network.export import convert_to_onnx, seal
from imdb_sentiment.network.model import KerasModel, score_sequences
from imdb_sentiment.network.training import train_model
from imdb_sentiment.parameters import TokenizerParameters
from imdb_sentiment.serving import ModelError, Prediction, Predictor, explain_silence
from imdb_sentiment.text.cleaning import clean_text
from imdb_sentiment.text.tokenizer import encode_texts, train_tokenizer
from services import WORDS, make_tokenizer

TOKENIZER = make_tokenizer()
LABELS = {2: ("bad", "good"), 3: ("bad", "good", "so-so")}


@pytest.fixture(scope="module", params=[2, 3])
def both(request: pytest.FixtureRequest) -> tuple[KerasModel, bytes]:
    small = small_hyperparameters(
        units=5, dropout_rate=0.2, learning_rate=0.05, batch_size=8, epochs=3
    )
    model, _ = train_model(make_encoded(100, request.param), small, seed=1)
    return model, convert_to_onnx(model, TOKENIZER, LABELS[request.param], facts={"fact": "true"})


@pytest.fixture(scope="module")
def exported(both: tuple[KerasModel, bytes]) -> bytes:
    return both[1]


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from([*WORDS, "other", "<br />", "&amp;"])).map(" ".join)))
def test_it_answers_as_the_trained_network(
    both: tuple[KerasModel, bytes], texts: list[str]
) -> None:
    model, exported = both
    sequences = encode_texts(TOKENIZER, [clean_text(text) for text in texts])
    expected = score_sequences(model, sequences)
    found = Predictor(exported).predict_probabilities(texts)
    silent = ~sequences.any(axis=1)
    np.testing.assert_allclose(found[~silent], expected[~silent], atol=1e-6)
    assert np.isnan(found[silent]).all()


def test_one_text_or_several(exported: bytes) -> None:
    predictor = Predictor(exported)
    texts = ["w1 w2 w3", "", "w4", "unheard of"]
    several = predictor.predict(texts)
    assert several == [predictor.predict(text) for text in texts]
    assert [prediction.label is None for prediction in several] == [False, True, False, True]
    assert several[1] == Prediction(None, {})
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


def test_silence_is_explained() -> None:
    assert explain_silence(" <br> ") == "no text"
    assert explain_silence("unheard of") == "no word that the model knows"


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


def test_parts_that_do_not_belong_together_are_refused(
    both: tuple[KerasModel, bytes], exported: bytes
) -> None:
    other = train_tokenizer(
        ["x"], TokenizerParameters(kind="words", vocabulary_size=28, sequence_length=6)
    )
    labels = json.dumps(tuple(reversed(Predictor(exported).labels)))
    for changed in (
        change(exported, tokenizer=other.to_str()),
        change(exported, labels=labels),
        change(exported, training_data_sha256="0"),
        exported + b"\x72\x00",
    ):
        with pytest.raises(ModelError, match="changed since its export"):
            Predictor(changed)
    plain = onnx.load_from_string(exported)
    del plain.metadata_props[:]
    with pytest.raises(ModelError, match="does not end in the digest of an exported model"):
        Predictor(plain.SerializeToString())
    with pytest.raises(ModelError, match="it lacks 'tokenizer'"):
        Predictor(seal(plain.SerializeToString()))
    with pytest.raises(ModelError, match="it is not an ONNX model"):
        Predictor(seal(b"no model"))
    with pytest.raises(InputError, match=r"knows 30 tokens and the tokenizer 3"):
        convert_to_onnx(both[0], other, ("a", "b"))


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
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_refused_before_it_is_parsed(
    exported: bytes, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(exported) - 1))
    refused = "does not end in the digest|changed since its export"
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
    exported: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor(exported)
    sequences = np.repeat(make_encoded(50).sequences, 3, axis=0)
    whole = predictor.score_sequences(sequences)
    monkeypatch.setattr("imdb_sentiment.serving.predictor.MAX_TOKENS", 10)  # two or three texts
    np.testing.assert_allclose(predictor.score_sequences(sequences), whole, atol=1e-6)
