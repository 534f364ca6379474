from pathlib import Path

import numpy as np

from helpers import make_encoded, make_network
from imdb_sentiment.datasets import KerasModelDataset, TokenizerDataset
from imdb_sentiment.network.model import score_sequences
from imdb_sentiment.parameters import TokenizerParameters
from imdb_sentiment.text.tokenizer import TextEncoder, train_tokenizer


def test_a_tokenizer_encodes_the_same_after_reloading(tmp_path: Path) -> None:
    parameters = TokenizerParameters(
        kind="words", vocabulary_size=3, sequence_length=4, script="auto"
    )
    tokenizer = train_tokenizer(["a a a b b c d"], parameters)
    dataset = TokenizerDataset(filepath=str(tmp_path / "new/tokenizer.json"))
    dataset.save(tokenizer)
    texts = ["a d b", "c c c c b", ""]
    np.testing.assert_array_equal(
        TextEncoder(dataset.load()).encode(texts), TextEncoder(tokenizer).encode(texts)
    )
    assert "5 entries" in dataset.preview()


def test_a_model_predicts_the_same_after_reloading(tmp_path: Path) -> None:
    encoded = make_encoded(40)
    model = make_network()
    dataset = KerasModelDataset(filepath=str(tmp_path / "new/model.keras"))
    dataset.save(model)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.keras"]
    np.testing.assert_array_equal(
        score_sequences(dataset.load(), encoded.sequences),
        score_sequences(model, encoded.sequences),
    )
