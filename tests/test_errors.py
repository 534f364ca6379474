import errno
import pickle
from pathlib import Path

import pytest
from kedro.io import DatasetError

from imdb_sentiment.datasets import AtomicDataset
from imdb_sentiment.errors import InputError, find_input_error


def test_an_input_error_is_found_behind_others() -> None:
    error = InputError("say what to change")
    outer = DatasetError("Failed")
    outer.__cause__ = error
    assert find_input_error(outer) is error
    assert find_input_error(DatasetError("Failed")) is None
    assert find_input_error(ModuleNotFoundError("No module", name="torch")) is None
    mistake = ModuleNotFoundError("No module", name="imdb_sentiment.mistake")
    assert find_input_error(mistake) is None  # of the code, which keeps its traceback


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "a file in data/ can't be used: the disk is full"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "there is no permission"),
    ],
)
def test_what_the_disk_refuses_is_an_input_error(number: int, message: str) -> None:
    outer = DatasetError("Failed")
    outer.__cause__ = OSError(number, "strerror")
    assert message in str(find_input_error(outer))
    named = OSError(number, "strerror", "data/train.pkl")
    assert "data/train.pkl can't be used" in str(find_input_error(named))
    assert find_input_error(OSError(errno.EIO, "strerror")) is None


def test_a_pickle_of_another_version_is_an_input_error(tmp_path: Path) -> None:
    path = tmp_path / "train.pkl"
    path.write_bytes(b"cimdb_sentiment.encoded\nEncodedReviews\n.")
    with pytest.raises(ModuleNotFoundError):
        pickle.loads(path.read_bytes())
    with pytest.raises(DatasetError) as caught:
        AtomicDataset(filepath=str(path), dataset="pickle.PickleDataset").load()
    found = find_input_error(caught.value)
    assert found is not None
    assert "another version" in str(found)
