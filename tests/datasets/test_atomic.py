import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kedro.io import Version

from imdb_sentiment.datasets import AtomicJSONDataset, AtomicPickleDataset, PickleStreamDataset
from imdb_sentiment.datasets.atomic import atomic_write


class Unpicklable:
    def __reduce__(self) -> tuple[object, ...]:
        raise RuntimeError("half-way")


def test_atomic_write_keeps_the_suffix_and_leaves_nothing_else(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "new" / "model.keras") as partial:
        assert partial.suffix == ".keras"
        partial.write_text("whole")
        assert not (tmp_path / "new" / "model.keras").exists()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.keras"]


def test_a_save_that_fails_keeps_the_old_value(tmp_path: Path) -> None:
    dataset = AtomicPickleDataset(filepath=str(tmp_path / "value.pkl"))
    dataset.save({"old": 1})
    with pytest.raises(Exception, match="half-way"):
        dataset.save([b"x" * 1_000_000, Unpicklable()])
    assert dataset.load() == {"old": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["value.pkl"]


def test_a_versioned_dataset_stays_versioned(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    dataset = AtomicJSONDataset(
        filepath=str(path), version=Version(None, "2026-01-01T00.00.00.000Z")
    )
    dataset.save({"a": 1})
    assert dataset.load() == {"a": 1}
    assert [file.name for file in path.rglob("*") if file.is_file()] == ["metrics.json"]


def test_a_stream_iterates_more_than_once(tmp_path: Path) -> None:
    dataset = PickleStreamDataset(filepath=str(tmp_path / "stream.pkl"))
    dataset.save(iter([1, [2], "three"]))
    stream = dataset.load()
    assert list(stream) == [1, [2], "three"]
    assert list(stream) == [1, [2], "three"]


def test_an_empty_stream_is_a_stream(tmp_path: Path) -> None:
    dataset = PickleStreamDataset(filepath=str(tmp_path / "stream.pkl"))
    dataset.save(iter([]))
    assert list(dataset.load()) == []


def test_a_missing_stream_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="does not exist"):
        PickleStreamDataset(filepath=str(tmp_path / "stream.pkl")).load()


def test_a_killed_process_leaves_the_old_stream(tmp_path: Path) -> None:
    dataset = PickleStreamDataset(filepath=str(tmp_path / "stream.pkl"))
    dataset.save(iter(["old"]))
    code = f"""
import itertools
from imdb_sentiment.datasets import PickleStreamDataset
PickleStreamDataset(filepath={str(tmp_path / "stream.pkl")!r}).save(
    b"x" * 1000 for _ in itertools.count()
)
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    partial = tmp_path / ".stream.partial.pkl"
    deadline = time.monotonic() + 60
    while not (partial.exists() and partial.stat().st_size > 0):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert list(dataset.load()) == ["old"]
