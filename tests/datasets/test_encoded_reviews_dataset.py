import pickle
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from helpers import make_encoded
from imdb_sentiment.datasets import EncodedReviewsDataset
from imdb_sentiment.text.encoded_reviews import EncodedReviews


def save(path: Path, encoded: EncodedReviews, sizes: list[int]) -> EncodedReviews:
    """Save reviews in portions of these sizes, and load them."""
    dataset = EncodedReviewsDataset(filepath=str(path))
    ends = np.cumsum(sizes)
    dataset.save(
        encoded.take(np.arange(end - size, end)) for size, end in zip(sizes, ends, strict=True)
    )
    return dataset.load()


@pytest.mark.parametrize("sizes", [[12], [5, 0, 7], [0, 12], [0]])
def test_portions_become_one_set_on_the_disk(sizes: list[int], tmp_path: Path) -> None:
    encoded = make_encoded(sum(sizes))
    path = tmp_path / "set.npy"
    found = save(path, encoded, sizes)
    for name in ("sequences", "codes", "rows", "groups"):
        expected, array = getattr(encoded, name), getattr(found, name)
        np.testing.assert_array_equal(array, expected, strict=True)
        assert isinstance(array, np.memmap) or not array.size
    assert (found.labels, found.vocabulary_size) == (encoded.labels, encoded.vocabulary_size)
    assert found.fingerprint() == encoded.fingerprint()
    other = tmp_path / "whole.npy"
    EncodedReviewsDataset(filepath=str(other)).save(encoded)
    assert path.read_bytes() == other.read_bytes()


def test_numpy_reads_the_sequences(tmp_path: Path) -> None:
    encoded = make_encoded(4)
    save(tmp_path / "set.npy", encoded, [1, 3])
    sequences = np.load(tmp_path / "set.npy", mmap_mode="r", allow_pickle=False)
    np.testing.assert_array_equal(sequences, encoded.sequences)


def test_sets_on_the_disk_add_there(tmp_path: Path) -> None:
    first, second = make_encoded(5), make_encoded(3, seed=1)
    both = save(tmp_path / "first.npy", first, [5]) + save(tmp_path / "second.npy", second, [3])
    assert isinstance(both.sequences, np.memmap)
    assert both.fingerprint() == (first + second).fingerprint()
    with pytest.raises(ValueError, match="dimensions"):
        both + make_encoded(2, length=9)


def test_a_full_disk_is_an_error_when_sets_on_the_disk_are_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written through a map of the file, it would end the process with SIGBUS."""
    saved = save(tmp_path / "first.npy", make_encoded(5), [5])
    monkeypatch.setattr(tempfile, "TemporaryFile", partial(open, "/dev/full", "wb"))
    with pytest.raises(OSError, match="No space left"):
        saved + saved


def test_another_process_gets_what_is_on_the_disk(tmp_path: Path) -> None:
    found = save(tmp_path / "set.npy", make_encoded(5), [5])
    assert pickle.loads(pickle.dumps(found)).fingerprint() == found.fingerprint()
    (tmp_path / "set.npy").unlink()  # as a later run replaces it
    assert found.fingerprint() == make_encoded(5).fingerprint()
