import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from kedro.io import DatasetError
from optuna.trial import TrialState

from helpers import wait_until
from imdb_sentiment.datasets import OptunaStorageDataset
from imdb_sentiment.errors import InputError
from imdb_sentiment.search import open_workers
from objectives import hang_unless_told, log_slow_call, make_study, search
from postgres import Server, find_programs, run_server

PROGRAMS = find_programs()
pytestmark = pytest.mark.skipif(PROGRAMS is None, reason="PostgreSQL is not installed")
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    assert PROGRAMS is not None
    with run_server(PROGRAMS) as server:
        yield server


def open_storage(server: Server) -> optuna.storages.RDBStorage:
    credentials = {"username": server.username, "password": server.password}
    return OptunaStorageDataset(url=server.url, credentials=credentials).load()


@pytest.fixture
def storage(server: Server) -> optuna.storages.RDBStorage:
    storage = open_storage(server)
    for study in storage.get_all_studies():
        storage.delete_study(study._study_id)
    return storage


def run_logging(server: Server, n_trials: int, log: Path) -> None:
    search(make_study(open_storage(server), n_trials), log_slow_call, log)


def run_hanging(server: Server, n_trials: int, folder: Path) -> None:
    search(make_study(open_storage(server), n_trials), hang_unless_told, folder)


def test_machines_that_share_a_study_make_its_trials_together(
    server: Server, storage: optuna.storages.RDBStorage, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    machines = [SPAWN.Process(target=run_logging, args=(server, 15, log)) for _ in range(3)]
    for machine in machines:
        machine.start()
    for machine in machines:
        machine.join(120)
        assert machine.exitcode == 0
    calls = [line.split() for line in log.read_text().splitlines()]
    assert len(calls) == len({number for number, _ in calls}) == 15
    assert len({process for _, process in calls}) > 1
    study = make_study(storage, 15)
    assert len(study.counted()) == len(study.trials(TrialState.COMPLETE)) == 15


def test_a_killed_run_loses_nothing(
    server: Server, storage: optuna.storages.RDBStorage, tmp_path: Path
) -> None:
    process = SPAWN.Process(target=run_hanging, args=(server, 3, tmp_path))
    process.start()
    wait_until((tmp_path / "0.pid").exists)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    (tmp_path / "go").touch()
    study = make_study(storage, 3)
    search(study, hang_unless_told, tmp_path)
    states = [trial.state.name for trial in study.trials()]
    assert states == ["FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]


def test_dask_workers_reach_it(
    server: Server, storage: optuna.storages.RDBStorage, tmp_path: Path
) -> None:
    with open_workers(2, None) as workers:
        study = make_study(storage, 4)
        search(study, log_slow_call, tmp_path / "log", workers=workers)
    assert [trial.state.name for trial in study.trials()] == ["COMPLETE"] * 4


def test_a_wrong_password_is_told_without_telling_the_password(server: Server) -> None:
    credentials = {"username": server.username, "password": "wr0ng"}
    with pytest.raises(DatasetError, match=r"can't be opened.*password authentication") as caught:
        OptunaStorageDataset(url=server.url, credentials=credentials).load()
    assert isinstance(caught.value.__cause__, InputError)
    assert "wr0ng" not in str(caught.value)
