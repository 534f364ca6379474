import errno
import pickle
from pathlib import Path

import pytest
from kedro.io import DatasetError

from imdb_sentiment import __version__, errors
from imdb_sentiment.datasets import AtomicDataset
from imdb_sentiment.errors import InputError, find_input_error, install_extra, require_column


def test_an_input_error_is_found_behind_others() -> None:
    error = InputError("say what to change")
    outer = DatasetError("Failed")
    outer.__cause__ = error
    assert find_input_error(outer) is error
    assert find_input_error(DatasetError("Failed")) is None
    assert find_input_error(ModuleNotFoundError("No module", name="torch")) is None
    mistake = ModuleNotFoundError("No module", name="imdb_sentiment.mistake")
    assert find_input_error(mistake) is None  # of the code, which keeps its traceback


def test_an_extra_is_installed_from_the_sources_or_the_wheel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert install_extra("serve") == 'pip install -e ".[serve]"'
    monkeypatch.setattr(errors, "__file__", "/usr/lib/python3/site-packages/package/errors.py")
    wheel = f"imdb_sentiment-{__version__}-py3-none-any.whl"
    assert install_extra("serve") == f'pip install "{wheel}[serve]"'


def test_a_message_does_not_steer_the_terminal() -> None:
    label = "\x1b[31mred\x07\x9b1m\r\n\u202egnp\u2028"
    message = str(InputError(f"unknown label: {label} \u00e9 \U0001f600 \u0628\u200c\u0627"))
    assert message == (
        r"unknown label: \x1b[31mred\x07\x9b1m\r\n\u202egnp\u2028"
        " \u00e9 \U0001f600 \u0628\u200c\u0627"
    )


def test_the_nearest_column_is_proposed() -> None:
    with pytest.raises(InputError, match="no column 'reviw'") as error:
        require_column("reviw", ["id", "review"], "mine.csv", "inference.text_column")
    assert error.value.parameters == {"inference.text_column": "review"}
    copy = pickle.loads(pickle.dumps(error.value))  # as from a worker
    assert (str(copy), copy.parameters) == (str(error.value), error.value.parameters)


def test_a_missing_column_among_many_is_one_short_line() -> None:
    names = [f"column {number} {'x' * 200}" for number in range(10_000)]
    with pytest.raises(InputError) as error:
        require_column("review", names, "mine.csv", "reviews.text_column")
    assert len(str(error.value)) < 1500
    assert "and 9,980 more" in str(error.value)
    assert "--params reviews.text_column=NAME" in str(error.value)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "a file in data/ can't be used: the disk is full"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "permission denied"),
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
