import contextlib
import errno
import inspect
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest
import yaml
from kedro.io import AbstractDataset, DatasetError
from kedro_datasets.json import JSONDataset

from helpers import PATIENCE, PROJECT
from imdb_sentiment.datasets import AtomicDataset, PickleStreamDataset, atomic
from imdb_sentiment.datasets.atomic import atomic_write
from imdb_sentiment.errors import InputError


class Unpicklable:
    def __reduce__(self) -> tuple[object, ...]:
        raise RuntimeError("half-way")


def test_atomic_write_keeps_the_suffix_and_leaves_nothing_else(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "new" / "model.keras") as partial:
        assert partial.suffix == ".keras"
        partial.write_text("whole")
        assert not (tmp_path / "new" / "model.keras").exists()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.keras"]


def test_a_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def spy(place: Any, name: str) -> None:
        real = getattr(place, name)

        def call(*args: Any) -> Any:
            done.append(name)
            return real(*args)

        monkeypatch.setattr(place, name, call)

    spy(os, "fsync")
    spy(Path, "replace")
    with atomic_write(tmp_path / "value") as partial:
        partial.write_text("x")
    assert done[:2] == ["fsync", "replace"]


@pytest.mark.parametrize("refusals", [1, 9])
def test_a_file_that_windows_does_not_replace_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusals: int
) -> None:
    replace = Path.replace
    remaining = iter(range(refusals))

    def refuse(self: Path, target: Path) -> Path:
        if next(remaining, None) is not None:
            raise PermissionError(13, "used by another process", str(self))
        return replace(self, target)

    monkeypatch.setattr(atomic, "IS_WINDOWS", True)
    monkeypatch.setattr(atomic, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(Path, "replace", refuse)
    path = tmp_path / "scored.csv"
    path.write_text("old")
    is_open = refusals > len(atomic.PAUSES)

    def write() -> None:
        with atomic_write(path) as partial:
            partial.write_text("new")

    if is_open:
        with pytest.raises(InputError, match=r"scored\.csv can't be replaced"):
            write()
    else:
        write()
    assert path.read_text() == ("old" if is_open else "new")
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    """The system names no file then, and otherwise the temporary one."""
    for of_system in (lambda _: None, str):
        with pytest.raises(OSError, match="full") as caught, atomic_write(tmp_path / "a") as path:
            raise OSError(errno.ENOSPC, "full", of_system(path))
        assert caught.value.filename == str(tmp_path / "a")
    # What is written may come from another file.
    with pytest.raises(OSError, match="full") as caught, atomic_write(tmp_path / "a"):
        raise OSError(errno.EACCES, "full", "input.csv")
    assert caught.value.filename == "input.csv"


def test_only_old_partial_files_are_removed(tmp_path: Path) -> None:
    """A newer one may be that of a long save; one that can't be removed does no harm."""
    for hours in (23, 25):
        path = tmp_path / f".value.{hours}.partial.json"
        path.touch()
        os.utime(path, (time.time() - 3600 * hours,) * 2)
    folder = tmp_path / ".value.1.partial.json"
    folder.mkdir()
    os.utime(folder, (0, 0))
    with atomic_write(tmp_path / "value.json") as partial:
        partial.write_text("{}")
    assert {path.name for path in tmp_path.iterdir()} == {
        *(".value.1.partial.json", ".value.23.partial.json", "value.json")
    }


def test_a_link_and_the_permissions_of_a_file_are_kept(tmp_path: Path) -> None:
    target, link = tmp_path / "other/target", tmp_path / "value.json"
    target.parent.mkdir()
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    with atomic_write(link) as partial:
        assert partial.suffix == ".json"
        partial.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in target.parent.iterdir()] == ["target"]


@pytest.mark.parametrize("kind", ["nowhere", "itself", "read-only"])
def test_another_link_is_replaced_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    target, link = tmp_path / "other/target", tmp_path / "value.json"
    target.parent.mkdir()
    if kind == "read-only":  # as in a store of versions
        target.write_text("old")
        target.chmod(0o444)
        access = os.access

        def check(path: Path, mode: int) -> bool:
            return access(path, mode) and bool(Path(path).stat().st_mode & 0o200)  # also for root

        monkeypatch.setattr(os, "access", check)
    link.symlink_to(link if kind == "itself" else target)
    with atomic_write(link) as partial:
        partial.write_text("new")
    assert not link.is_symlink()
    assert link.read_text() == "new"
    assert [path.read_text() for path in target.parent.iterdir()] == ["old"] * (kind == "read-only")


def test_permissions_that_can_not_be_set_end_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(shutil, "copymode", refuse)
    for value in ("old", "new"):
        with atomic_write(tmp_path / "value.json") as partial:
            partial.write_text(value)
    assert (tmp_path / "value.json").read_text() == "new"


def test_a_save_that_fails_keeps_the_old_value(tmp_path: Path) -> None:
    dataset = AtomicDataset(filepath=str(tmp_path / "value.pkl"), dataset="pickle.PickleDataset")
    dataset.save({"old": 1})
    with pytest.raises(Exception, match="half-way"):
        dataset.save([b"x" * 1_000_000, Unpicklable()])
    assert dataset.load() == {"old": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["value.pkl"]


def test_two_processes_do_not_write_to_the_same_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "value.txt"
    with atomic_write(path) as first, atomic_write(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # renamed last, and complete
    assert list(tmp_path.iterdir()) == [path]


def test_a_save_that_fails_keeps_the_old_value_elsewhere() -> None:
    dataset = AtomicDataset(filepath="memory:///atomic/value.pkl", dataset="pickle.PickleDataset")
    dataset.save({"old": 1})
    with pytest.raises(DatasetError, match="half-way"):
        dataset.save([b"x" * 1_000_000, Unpicklable()])
    assert dataset.load() == {"old": 1}


def test_options_of_the_nested_dataset_reach_the_other_file_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those that tell how a file is opened do not; the temporary file is opened with them."""
    given: list[dict[str, Any]] = []
    real = fsspec.filesystem

    def note(protocol: str, **options: Any) -> Any:
        given.append(options)
        return real(protocol)

    monkeypatch.setattr("fsspec.filesystem", note)
    opening = {"open_args_save": {"encoding": "utf-16"}}
    nested = {"type": "json.JSONDataset", "credentials": {"key": "a"}, "save_args": {"indent": 1}}
    nested["fs_args"] = {"anon": False, **opening}
    AtomicDataset(filepath="memory:///atomic/a.json", dataset=nested).save({"a": 1})
    assert given[0] == {"key": "a", "anon": False}
    assert real("memory").cat("/atomic/a.json").decode("utf-16") == '{\n "a": 1\n}'


VERSION = "2026-01-01T00.00.00.000Z"


def test_a_versioned_dataset_stays_versioned(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    entry = {"type": AtomicDataset, "filepath": str(path), "dataset": "json.JSONDataset"}
    entry["versioned"] = True
    dataset = AbstractDataset.from_config("metrics", entry, save_version=VERSION)
    assert not dataset.exists()
    dataset.save({"a": 1})
    assert dataset.exists()
    assert dataset.load() == {"a": 1}
    assert [file for file in path.rglob("*") if file.is_file()] == [path / VERSION / path.name]
    with pytest.raises(DatasetError, match="must not exist"):
        dataset.save({"a": 2})
    old = AbstractDataset.from_config("metrics", entry, load_version=VERSION)
    AbstractDataset.from_config("metrics", entry).save({"a": 3})
    assert old.load() == {"a": 1}
    assert AbstractDataset.from_config("metrics", entry).load() == {"a": 3}


def test_what_a_killed_run_left_is_no_record(tmp_path: Path) -> None:
    catalog = yaml.safe_load((PROJECT / "conf/base/catalog_reporting.yml").read_text())
    path = tmp_path / "record.json"
    one = catalog["run_record@one"] | {"filepath": str(path)}
    AbstractDataset.from_config("one", one, save_version=VERSION).save({"a": 1})
    with contextlib.suppress(KeyboardInterrupt), atomic_write(path / VERSION / path.name) as left:
        left.write_text("half")
        os.link(left, left.with_name(f".{left.name}.{left.name}"))  # survives the block
        raise KeyboardInterrupt
    everything = catalog["run_record@all"] | {"path": str(path)}
    records = AbstractDataset.from_config("all", everything).load()
    assert [(name, load()) for name, load in records.items()] == [(VERSION, {"a": 1})]
    assert AbstractDataset.from_config("one", one).load() == {"a": 1}


def test_a_preview_is_that_of_the_nested_dataset(tmp_path: Path) -> None:
    path = str(tmp_path / "table.csv")
    dataset = AtomicDataset(filepath=path, dataset="pandas.CSVDataset")
    dataset.save(pd.DataFrame({"a": [1, 2, 3]}))
    assert dataset.preview(nrows=2)["data"] == [[1], [2]]
    # Kedro-Viz looks for the type of a preview here.
    assert "TablePreview" in str(inspect.signature(dataset.preview).return_annotation)
    assert not hasattr(AtomicDataset(filepath=path, dataset="pickle.PickleDataset"), "preview")


def test_a_remote_file_is_saved_as_the_nested_dataset_does(tmp_path: Path) -> None:
    dataset = AtomicDataset(filepath="memory:///value.json", dataset="json.JSONDataset")
    dataset.save({"a": 1})
    assert dataset.exists()
    assert dataset.load() == {"a": 1}
    assert JSONDataset(filepath="memory:///value.json").load() == {"a": 1}


@pytest.mark.parametrize(
    ("nested", "message"),
    [
        ({"type": "json.JSONDataset", "versioned": True}, "next to `dataset`"),
        ({"type": "json.JSONDataset", "sep": ";"}, "sep"),
        ({"type": "json.NoDataset"}, "NoDataset"),
    ],
)
def test_a_wrong_nested_entry_is_refused_at_once(nested: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        AbstractDataset.from_config(
            "wrong", {"type": AtomicDataset, "filepath": "a.json", "dataset": nested}
        )


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
    deadline = time.monotonic() + PATIENCE
    while not any(path.stat().st_size > 0 for path in tmp_path.glob(".stream.*.partial.pkl")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert list(dataset.load()) == ["old"]


def test_what_killed_runs_left_is_removed_a_day_later(tmp_path: Path) -> None:
    old, new = (tmp_path / f".value.{name}.partial.json" for name in ("1234", "5678"))
    other = tmp_path / ".values.1234.partial.json"
    for path in (old, new, other):
        path.write_text("{")
    for path in (old, other):
        os.utime(path, (0, 0))
    AtomicDataset(filepath=str(tmp_path / "value.json"), dataset="json.JSONDataset").save({})
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [new.name, other.name, "value.json"]
    )


def test_an_error_names_the_file_of_the_catalog(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    with pytest.raises(DatasetError) as caught:
        AtomicDataset(filepath=str(path), dataset="json.JSONDataset").save({"a": object()})
    assert str(path) in str(caught.value)
    assert "partial" not in str(caught.value)
    assert not list(tmp_path.iterdir())
