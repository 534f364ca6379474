import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from kedro.io import DatasetError
from optuna.storages import BaseStorage

from imdb_sentiment.datasets import OptunaStorageDataset
from imdb_sentiment.errors import InputError, find_input_error
from imdb_sentiment.search import choose_best_trials
from objectives import make_study


def test_ctrl_c_waits_for_the_end_of_a_transaction(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    storage = OptunaStorageDataset(filepath=str(path)).load()
    trial = optuna.create_study(storage=storage).ask()

    def press(_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    sqlalchemy.event.listen(storage.engine, "commit", press)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            trial.report(0.5, 1)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    sqlalchemy.event.remove(storage.engine, "commit", press)
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # the file is not locked
    assert storage.get_trial(trial._trial_id).intermediate_values == {1: 0.5}


def test_a_folder_may_have_marks_in_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "Jürgens Projekt #1 100% %20 {neu}? [a]"
    storage = OptunaStorageDataset(filepath=str(folder / "study.db")).load()
    optuna.create_study(storage=storage, study_name="one")
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    with closing(sqlite3.connect(folder / "study.db")) as file:
        assert file.execute("SELECT study_name FROM studies").fetchall() == [("one",)]


@pytest.mark.parametrize(
    ("url", "credentials"),
    [
        ("postgresql//me:SECRET@HOST/NAME", {}),
        ("postgresql://me:SECRET@HOST:port/NAME", {}),
        ("postgresql+psycopg://HOST/NAME", {"user": "me", "password": "SECRET"}),
    ],
)
def test_an_url_that_can_not_be_used_is_an_error_that_says_what_to_do(
    url: str, credentials: dict[str, str]
) -> None:
    dataset = OptunaStorageDataset(url=url, credentials=credentials)
    with pytest.raises(DatasetError, match=r"write url as in .* username and password") as error:
        dataset.load()
    assert "SECRET" not in str(error.value)
    assert "SECRET" not in repr(dataset)


def damage(path: Path, start: int) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:start] + bytes(len(content) - start))


@pytest.mark.parametrize("start", [4096, 16384])
def test_a_damaged_file_that_is_opened_is_an_error_that_says_what_to_do(
    start: int, tmp_path: Path
) -> None:
    path = tmp_path / "study.db"
    dataset = OptunaStorageDataset(filepath=str(path))
    dataset.load()
    damage(path, start)
    said = r"can't be opened .*restore the file, or delete it to"
    with pytest.raises((InputError, DatasetError), match=said):
        dataset.load()


@pytest.mark.parametrize("version", ["v9.9.9", "v3.0.0.d"])
def test_tables_of_another_version_are_an_error_that_says_what_to_do(
    version: str, tmp_path: Path
) -> None:
    path = tmp_path / "study.db"
    dataset = OptunaStorageDataset(filepath=str(path))
    dataset.load()
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("UPDATE alembic_version SET version_num = ?", (version,))
    said = r"can't be used \(The runtime optuna version .*set filepath, or url"
    with pytest.raises((InputError, DatasetError), match=said) as error:
        dataset.load()
    assert find_input_error(error.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql+psycopg://HOST/NAME", {"connect_timeout": 10}),
        ("postgresql+psycopg://HOST/NAME?connect_timeout=60", None),
        ("mysql+pymysql://HOST/NAME", None),
    ],
)
def test_a_server_that_does_not_answer_is_not_waited_for(
    url: str, expected: dict[str, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict[str, Any]] = []

    def open_storage(url: str, *, engine_kwargs: dict[str, Any], heartbeat_interval: int) -> None:
        given.append(engine_kwargs)

    monkeypatch.setattr(optuna.storages, "RDBStorage", open_storage)
    OptunaStorageDataset(url=url).load()
    assert given[0].get("connect_args") == expected


@pytest.mark.parametrize(
    "use",
    [
        lambda storage: make_study(storage, 1),
        lambda storage: choose_best_trials(storage, "a study", {}),
    ],
    ids=["search", "start_from"],
)
def test_a_file_that_is_damaged_while_it_is_open_is_an_error_that_says_what_to_do(
    use: Callable[[BaseStorage], object], tmp_path: Path
) -> None:
    path = tmp_path / "study.db"
    storage = OptunaStorageDataset(filepath=str(path)).load()
    damage(path, 4096)
    storage.engine.dispose()  # what has been read from the file before
    with pytest.raises(InputError, match=r"can't be used .*restore the file, or delete it to"):
        use(storage)
