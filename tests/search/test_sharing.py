"""Runs that share a study or continue one, in each kind of database."""

import multiprocessing
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from kedro.io import DatasetError
from optuna.trial import FrozenTrial, TrialState

from helpers import PATIENCE, wait_until
from imdb_sentiment.datasets import OptunaStorageDataset
from imdb_sentiment.errors import InputError
from imdb_sentiment.search import SharedStudy, list_begun_trials, open_workers
from objectives import hang_unless_told, log_slow_call, make_study, search
from postgres import run_postgres

SPAWN = multiprocessing.get_context("spawn")

Arguments = dict[str, Any]  # arguments of an OptunaStorageDataset


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Arguments]:
    with run_postgres() as server:
        credentials = {"username": server.username, "password": server.password}
        yield {"url": server.url, "credentials": credentials}


POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.postgres)


@pytest.fixture(params=["sqlite", POSTGRESQL])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Arguments:
    if request.param == "sqlite":
        return {"filepath": str(tmp_path / "study.db")}
    arguments: Arguments = request.getfixturevalue("postgresql")
    storage = OptunaStorageDataset(**arguments).load()
    for study in storage.get_all_studies():
        optuna.delete_study(study_name=study.study_name, storage=storage)
    return arguments


def open_study(database: Arguments, n_trials: int) -> SharedStudy:
    return make_study(OptunaStorageDataset(**database).load(), n_trials)


def run_logging(database: Arguments, n_trials: int, log: Path) -> None:
    search(open_study(database, n_trials), log_slow_call, log)


def run_hanging(database: Arguments, n_trials: int, folder: Path) -> None:
    search(open_study(database, n_trials), hang_unless_told, folder)


def states(study: SharedStudy) -> list[str]:
    return [trial.state.name for trial in study.trials()]


@pytest.mark.slow
def test_runs_make_its_trials_together(database: Arguments, tmp_path: Path) -> None:
    log = tmp_path / "log"
    runs = [
        SPAWN.Process(target=run_logging, args=(database, 15, log), daemon=True) for _ in range(4)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join(PATIENCE)
        assert run.exitcode == 0
    calls = [line.split() for line in log.read_text().splitlines()]
    assert len(calls) == 15  # no trials beyond the total
    assert len({number for number, _ in calls}) == 15
    assert len({process for _, process in calls}) > 1
    study = open_study(database, 15)
    assert len(study.counted()) == 15
    assert len({trial.params["x"] for trial in study.trials(TrialState.COMPLETE)}) == 15


@pytest.mark.slow
def test_a_killed_run_loses_nothing_and_its_trial_is_retried_at_once(
    database: Arguments, tmp_path: Path
) -> None:
    process = SPAWN.Process(target=run_hanging, args=(database, 3, tmp_path), daemon=True)
    process.start()
    wait_until((tmp_path / "0.pid").exists)
    process.kill()
    process.join(PATIENCE)
    (tmp_path / "go").touch()
    study = open_study(database, 3)
    assert states(study) == ["RUNNING"]
    search(study, hang_unless_told, tmp_path)
    assert states(study) == ["FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    first, retried = study.trials()[:2]
    assert first.params == retried.params
    assert retried.system_attrs["failed_trial"] == first.number

    whole = make_study(optuna.storages.InMemoryStorage(), 3)
    search(whole, hang_unless_told, tmp_path)
    assert [t.params for t in whole.trials()] == [t.params for t in study.trials()[1:]]


@pytest.mark.slow
def test_of_runs_with_other_data_that_begin_a_study_at_once_one_goes_on(
    database: Arguments,
) -> None:
    for attempt in range(6):
        name = f"study {attempt}"
        start = threading.Barrier(2)
        refused: list[str] = []

        def run(data: str, name: str = name, start: Any = start, refused: Any = refused) -> None:
            study = make_study(
                OptunaStorageDataset(**database).load(), 3, name=name, origin={"data": data}
            )
            start.wait(60)
            try:
                search(study, lambda *_: 0.5)
            except InputError:
                refused.append(data)

        runs = [threading.Thread(target=run, args=(data,)) for data in "ab"]
        for thread in runs:
            thread.start()
        for thread in runs:
            thread.join(PATIENCE)
        assert len(refused) == 1
        (other,) = {"a", "b"} - set(refused)
        study = make_study(
            OptunaStorageDataset(**database).load(), 3, name=name, origin={"data": other}
        )
        study.require_origin()
        assert study.optuna_study.user_attrs["data"] == other
        counted = study.counted()
        assert [trial.state.name for trial in counted] == ["COMPLETE"] * 3
        assert len({trial.user_attrs["origin"] for trial in counted}) == 1


def test_the_first_trial_of_a_run_with_other_data_is_not_taken_from_it(
    database: Arguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is queued after the other run has seen that there is no trial yet."""
    first, late = (
        make_study(OptunaStorageDataset(**database).load(), 2, origin={"data": data})
        for data in ("first", "late")
    )
    monkeypatch.setattr(first, "_start", lambda number: pytest.fail(f"{number} is queued"))
    list_trials = late.trials

    def queue_before(*states: TrialState) -> list[FrozenTrial]:
        if states == (TrialState.WAITING,) and not list_trials():
            with pytest.raises(pytest.fail.Exception, match="0 is queued"):
                first.begin_trial()
        return list_trials(*states)

    monkeypatch.setattr(late, "trials", queue_before)
    with pytest.raises(InputError, match=r"the data of the study '.*' and of this run differ, so"):
        late.begin_trial()
    assert states(first) == ["WAITING"]
    first.require_origin()


def test_a_trial_that_two_runs_queue_at_once_is_made_and_listed_once(
    database: Arguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (open_study(database, 2) for _ in range(2))
    enqueue = second.optuna_study.enqueue_trial

    def queue_after_the_other(*arguments: Any, **options: Any) -> None:
        monkeypatch.undo()
        assert first.begin_trial() is not None
        enqueue(*arguments, **options)

    monkeypatch.setattr(second.optuna_study, "enqueue_trial", queue_after_the_other)
    trial = second.begin_trial()
    assert trial is not None
    assert second.begin_trial() is None
    assert states(first) == ["RUNNING", "FAIL", "RUNNING"]
    begun = list_begun_trials(first.optuna_study)
    assert [(t.number, t.user_attrs["slot"]) for t in begun] == [(0, 0), (2, 1)]


def test_a_run_whose_slots_others_have_filled_with_other_data_is_refused(
    database: Arguments,
) -> None:
    storage = OptunaStorageDataset(**database).load()
    late = make_study(storage, 2, origin={"data": "late"})
    late.require_origin()  # there is no trial yet
    search(make_study(storage, 2, origin={"data": "early"}), lambda *_: 0.5)
    with pytest.raises(InputError, match=r"the data of the study '.*' and of this run differ, so"):
        search(late, lambda *_: 0.5)


@pytest.mark.cluster
@pytest.mark.parametrize("database", [POSTGRESQL], indirect=True)
def test_dask_workers_reach_it(database: Arguments, tmp_path: Path) -> None:
    with open_workers(2, None) as workers:
        study = open_study(database, 4)
        search(study, log_slow_call, tmp_path / "log", workers=workers)
    assert states(study) == ["COMPLETE"] * 4


def test_a_wrong_password_is_told_without_telling_the_password(postgresql: Arguments) -> None:
    wrong = postgresql["credentials"] | {"password": "wr0ng"}
    with pytest.raises(
        DatasetError, match=r"can't be opened \(.*password authentication.*\): check"
    ) as caught:
        OptunaStorageDataset(**postgresql | {"credentials": wrong}).load()
    assert isinstance(caught.value.__cause__, InputError)
    assert "wr0ng" not in str(caught.value)
