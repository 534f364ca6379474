"""Model files made by version 0.1.0, with the probabilities that it gave: they load and score."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import PROJECT
from imdb_sentiment.datasets import KerasModelDataset
from imdb_sentiment.evaluation.logits import to_probabilities
from imdb_sentiment.network.model import score_logits
from imdb_sentiment.serving import Predictor

DATA = PROJECT / "tests/data"


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    return dict(json.loads((DATA / "model_0.1.0.json").read_text("utf-8")))


def test_an_old_onnx_model_scores_the_same(expected: dict[str, Any]) -> None:
    predictions = Predictor.load(DATA / "model_0.1.0.onnx").predict(expected["texts"])
    for prediction, before in zip(predictions, expected["text_probabilities"], strict=True):
        assert prediction.probabilities == pytest.approx(before, abs=1e-6)


def test_an_old_onnx_model_reads_the_end_of_a_long_text(expected: dict[str, Any]) -> None:
    predictor = Predictor.load(DATA / "model_0.1.0.onnx")
    words = sorted(set(predictor.tokenizer.get_vocab()) - {"[PAD]", "[UNK]"})[:9]
    whole, end = predictor.predict([" ".join(words), " ".join(words[-6:])])
    assert whole == end
    assert whole.label is not None


def test_an_old_keras_model_scores_the_same(expected: dict[str, Any]) -> None:
    """It names a layer by its old module, `imdb_sentiment.layers`."""
    path: Path = DATA / "model_0.1.0.keras"
    model = KerasModelDataset(filepath=str(path)).load()
    found = to_probabilities(score_logits(model, np.array(expected["token_ids"], np.uint8)))
    np.testing.assert_allclose(found, expected["probabilities"], atol=1e-6)
