from pathlib import Path

import numpy as np
import pytest

from helpers import make_encoded, make_network
from imdb_sentiment.datasets import DocumentDataset, KerasModelDataset, TokenizerDataset
from imdb_sentiment.evaluation.logits import to_probabilities
from imdb_sentiment.network.model import score_logits
from imdb_sentiment.parameters import TokenizerParameters
from imdb_sentiment.text.tokenizer import TextEncoder, train_tokenizer


def test_a_tokenizer_encodes_the_same_after_reloading(tmp_path: Path) -> None:
    parameters = TokenizerParameters(
        kind="words", vocabulary_size=3, sequence_length=4, script="auto", head_fraction=0.0
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
        to_probabilities(score_logits(dataset.load(), encoded.sequences)),
        to_probabilities(score_logits(model, encoded.sequences)),
    )


@pytest.mark.parametrize(
    ("name", "document", "preview"),
    [
        ("card.md", "# Café\n\n| a | b_c |\n", "# Café\n\n| a | b_c |\n"),
        (
            "report.html",
            "<html><head><title>no</title><style>p {}</style></head><body><nav>Data</nav>"
            "<h1>Good\n  enough?</h1><script>var a = '<p>no</p>';</script>"
            "<p>Yes, <b>it</b> is: 1 &lt; 2.<svg><text>no</text></svg></p>"
            "<table><tr><th>accuracy</th><td>0.9</td></tr></table>"
            "<pre>kedro run\nkedro viz run</pre></body></html>",
            "Good enough?\nYes, it is: 1 < 2.\naccuracy 0.9\nkedro run\nkedro viz run",
        ),
    ],
)
def test_a_document_is_previewed_as_text(
    name: str, document: str, preview: str, tmp_path: Path
) -> None:
    dataset = DocumentDataset(filepath=str(tmp_path / name))
    dataset.save(document)
    assert dataset.load() == document
    assert dataset.preview() == preview
