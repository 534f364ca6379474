from pathlib import Path

import numpy as np
import pytest

from helpers import make_encoded, make_network
from imdb_sentiment.datasets import KerasModelDataset
from imdb_sentiment.evaluation.logits import to_probabilities
from imdb_sentiment.network.model import score_logits

RNG = np.random.default_rng(0)
SEQUENCES = RNG.uniform(-1, 1, size=(5, 6, 3)).astype(np.float32)
LENGTHS = (6, 4, 1, 3, 2)
MASK = np.arange(6) >= 6 - np.array(LENGTHS)[:, np.newaxis]


@pytest.mark.parametrize("kind", ["max", "mean", "max_mean"])
def test_pooling_is_over_the_words_alone(kind: str) -> None:
    from imdb_sentiment.network.layers import SequencePooling

    layer = SequencePooling(kind)
    pooled = np.asarray(layer(SEQUENCES, mask=MASK))
    assert pooled.shape == layer.compute_output_shape(SEQUENCES.shape)
    for row, length in enumerate(LENGTHS):
        words = SEQUENCES[row, 6 - length :]
        largest, mean = words.max(axis=0), words.mean(axis=0)
        both = np.concatenate([largest, mean])
        expected = {"max": largest, "mean": mean, "max_mean": both}[kind]
        np.testing.assert_allclose(pooled[row], expected, atol=1e-6)
        unpadded = np.asarray(layer(words[np.newaxis]))
        np.testing.assert_allclose(unpadded[0], expected, atol=1e-6)


def test_a_review_without_words_gives_numbers() -> None:
    from imdb_sentiment.network.layers import SequencePooling

    for kind in ("max", "mean", "max_mean"):
        layer = SequencePooling(kind)
        assert np.isfinite(np.asarray(layer(SEQUENCES, mask=np.zeros_like(MASK)))).all()


def test_an_unknown_kind_is_refused() -> None:
    from imdb_sentiment.network.layers import SequencePooling

    with pytest.raises(ValueError, match="max, mean, max_mean"):
        SequencePooling("median")


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("max", marks=pytest.mark.slow),
        pytest.param("mean", marks=pytest.mark.slow),
        "max_mean",
    ],
)
def test_a_model_with_pooling_predicts_the_same_after_reloading(kind: str, tmp_path: Path) -> None:
    encoded = make_encoded(40, 3)
    model = make_network(n_labels=3, pooling=kind, bidirectional=True)
    dataset = KerasModelDataset(filepath=str(tmp_path / "model.keras"))
    dataset.save(model)
    np.testing.assert_array_equal(
        to_probabilities(score_logits(dataset.load(), encoded.sequences)),
        to_probabilities(score_logits(model, encoded.sequences)),
    )
