import contextlib
import itertools
import math
import multiprocessing
import signal
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import psycopg
import pytest
import sqlalchemy
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState, create_trial

from helpers import wait_until
from imdb_sentiment.datasets import OptunaStorageDataset
from imdb_sentiment.errors import InputError
from imdb_sentiment.search import (
    OtherStudyError,
    SharedStudy,
    choose_best_trials,
    lacks_trials,
    make_pruner,
    measure_seconds,
)
from imdb_sentiment.search.progress import SearchProgress
from imdb_sentiment.search.study import ORIGIN, OWNER, SLOT
from imdb_sentiment.search.workers import Workers
from objectives import (
    SPACE,
    hang_unless_told,
    make_study,
    raise_below_half,
    search,
)

SPAWN = multiprocessing.get_context("spawn")


def memory() -> optuna.storages.BaseStorage:
    return optuna.storages.InMemoryStorage()


def sqlite(folder: Path) -> optuna.storages.RDBStorage:
    return OptunaStorageDataset(filepath=str(folder / "study.db")).load()


def states(study: SharedStudy) -> list[str]:
    return [trial.state.name for trial in study.trials()]


def test_a_trial_that_had_failed_is_not_retried_if_its_run_dies_before_it_says_so() -> None:
    study = make_study(memory(), 1)
    trial = study.begin_trial()
    assert trial is not None
    trial.set_user_attr("error", "no memory")
    study.record_death(trial.number)
    assert states(study) == ["FAIL"]
    assert len(study.counted()) == 1


def test_a_retried_trial_belongs_to_the_run_that_queued_it() -> None:
    storage = memory()
    first, second = make_study(storage, 1), make_study(storage, 1)
    trial = first.begin_trial()
    assert trial is not None
    second.record_death(trial.number)
    died, again = second.trials()
    assert died.user_attrs["owner"] != again.user_attrs["owner"]


def test_the_slot_of_a_trial_that_was_never_begun_is_used_again() -> None:
    study = make_study(memory(), 1)
    trial = study.begin_trial()
    assert trial is not None
    study.heartbeats.remove(trial.number)  # as after an error
    study.record_dead_trials()
    assert study.begin_trial() is not None


def test_a_trial_that_raises_counts_and_does_not_end_the_study() -> None:
    study = make_study(memory(), 10)
    search(study, raise_below_half)
    assert len(study.trials()) == 10
    for trial in study.trials():
        failed = trial.params["x"] < 0.5
        assert (trial.state == TrialState.FAIL) == failed
        assert ("too low" in trial.user_attrs.get("error", "")) == failed
    assert {"FAIL", "COMPLETE"} == set(states(study))


def test_the_log_says_where_a_trial_has_raised(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "imdb_sentiment")
    study = make_study(memory(), 10)
    search(study, raise_below_half)
    failed = [f"Trial {trial.number} has failed" for trial in study.trials(TrialState.FAIL)]
    (level,) = {record.levelname for record in caplog.records if record.exc_info}
    assert level == "DEBUG"  # for the file, as the console has a line on each failure
    assert [record.message for record in caplog.records if record.exc_info] == failed
    assert caplog.text.count('raise ValueError(f"{x:.3f} is too low")') == len(failed)


def test_a_value_that_is_no_number_is_a_failure() -> None:
    study = make_study(memory(), 1)
    search(study, lambda trial, data: math.nan)
    assert study.trials()[0].user_attrs["error"] == "the objective's value is nan"


def test_pruned_trials_count() -> None:
    def objective(trial: optuna.Trial, _: object) -> float:
        for step in range(3):
            trial.report(trial.params["x"], step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return float(trial.params["x"])

    pruner = optuna.pruners.MedianPruner(n_startup_trials=2)
    study = make_study(memory(), 12, pruner=pruner)
    search(study, objective)
    assert len(study.counted()) == len(study.trials()) == 12
    pruned = study.trials(TrialState.PRUNED)
    completed = study.trials(TrialState.COMPLETE)
    assert pruned
    assert len(completed) > 2
    # Each pruned trial was worse than half of the trials completed before it.
    for trial in pruned:
        before = sorted(t.params["x"] for t in completed if t.number < trial.number)
        assert trial.params["x"] < before[len(before) // 2]


def test_patience_ends_the_search() -> None:
    study = make_study(memory(), 50)
    search(study, lambda trial, data: -trial.number, patience=4)
    assert len(study.trials()) == 5  # the first trial is the best
    search(study, lambda trial, data: -trial.number, patience=4)
    assert len(study.trials()) == 5  # also after a restart


def test_timeout_ends_the_search() -> None:
    def objective(trial: optuna.Trial, _: object) -> float:
        time.sleep(0.2)
        return 1.0

    study = make_study(memory(), 50)
    search(study, objective, timeout=0.5)
    assert 1 <= len(study.trials()) <= 4
    assert set(states(study)) == {"COMPLETE"}


def test_ctrl_c_gives_the_running_trial_back() -> None:
    def objective(trial: optuna.Trial, _: object) -> float:
        if trial.number == 1:
            raise KeyboardInterrupt
        return float(trial.params["x"])

    storage = memory()
    study = make_study(storage, 3, max_retries=0)
    with pytest.raises(KeyboardInterrupt):
        search(study, objective)
    assert states(study) == ["COMPLETE", "FAIL"]
    assert len(study.counted()) == 1
    search(make_study(storage, 3), objective)
    assert len(study.counted()) == 3
    # The interrupted trial is suggested again.
    assert study.trials()[1].params == study.trials()[2].params


def test_ctrl_c_that_the_objective_loses_ends_the_search_after_the_trial() -> None:
    def objective(trial: optuna.Trial, _: object) -> float:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        return float(trial.params["x"])

    study = make_study(memory(), 3)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            search(study, objective)
    finally:
        signal.signal(signal.SIGINT, before)
    assert states(study) == ["FAIL"]


def run_hanging(folder: Path, n_trials: int, max_retries: int) -> None:
    search(make_study(sqlite(folder), n_trials, max_retries=max_retries), hang_unless_told, folder)


def kill_during_trial(folder: Path, number: int, max_retries: int) -> None:
    process = SPAWN.Process(target=run_hanging, args=(folder, 3, max_retries), daemon=True)
    process.start()
    wait_until((folder / f"{number}.pid").exists)
    process.kill()
    process.join(60)


@pytest.mark.slow
def test_a_trial_that_dies_too_often_counts_as_failed(tmp_path: Path) -> None:
    kill_during_trial(tmp_path, 0, max_retries=1)
    kill_during_trial(tmp_path, 1, max_retries=1)
    (tmp_path / "go").touch()
    study = make_study(sqlite(tmp_path), 3, max_retries=1)
    search(study, hang_unless_told, tmp_path)
    assert states(study) == ["FAIL", "FAIL", "COMPLETE", "COMPLETE"]
    assert [trial.number for trial in study.counted()] == [1, 2, 3]
    # With a higher limit, it is the same trial that is tried again, whatever the sampler suggests.
    study = make_study(
        sqlite(tmp_path), 3, make_sampler=lambda n: optuna.samplers.RandomSampler(seed=n + 100)
    )
    search(study, hang_unless_told, tmp_path)
    assert states(study) == ["FAIL", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert study.trials()[4].params == study.trials()[1].params
    assert study.trials()[4].system_attrs["retry_history"] == [0, 1]


def test_an_interrupted_retry_is_made_again_even_if_the_limit_is_lowered() -> None:
    storage = optuna.storages.InMemoryStorage()
    study = make_study(storage, 1, max_retries=1)
    for end in (study.record_death, study.give_back):
        trial = study.begin_trial()
        assert trial is not None
        end(trial.number)
    first, interrupted = study.trials()
    assert first.params == interrupted.params
    study = make_study(
        storage, 1, max_retries=0, make_sampler=lambda n: optuna.samplers.RandomSampler(seed=100)
    )
    trial = study.begin_trial()
    assert trial is not None
    assert trial.params == first.params


@pytest.mark.parametrize("queued", [{}, {"x": 0.5}])
@pytest.mark.parametrize("begun", [(), ("x",), ("y",)])
def test_a_trial_that_dies_before_it_has_all_hyperparameters_begins_again_with_the_same(
    queued: dict[str, float], begun: tuple[str, ...]
) -> None:
    space: dict[str, optuna.distributions.BaseDistribution] = {
        name: optuna.distributions.FloatDistribution(0.0, 1.0) for name in ("y", "x")
    }

    def begin(study: SharedStudy) -> dict[str, float]:
        trial = study.begin_trial()
        assert trial is not None
        return trial.params

    def open_study(storage: optuna.storages.BaseStorage) -> SharedStudy:
        study = SharedStudy(
            storage,
            "a study",
            space,
            origin={},
            n_trials=1,
            max_retries=2,
            make_sampler=lambda n: optuna.samplers.RandomSampler(seed=n),
            pruner=optuna.pruners.NopPruner(),
        )
        if queued and not study.trials():
            study.optuna_study.enqueue_trial(queued)
        return study

    whole = begin(open_study(memory()))
    storage = memory()
    study = open_study(storage)
    if not queued:
        study.optuna_study.enqueue_trial({})
    died = study.optuna_study.ask()
    died.set_user_attr(SLOT, 0)
    for name in begun:
        died.suggest_float(name, 0.0, 1.0)
    study.record_death(died.number)
    assert begin(open_study(storage)) == whole


def test_a_lost_trial_that_a_user_queued_out_of_range_stops_no_run() -> None:
    storage = optuna.storages.InMemoryStorage()
    study = make_study(storage, 1)
    study.optuna_study.enqueue_trial({"x": 2.0})
    trial = study.begin_trial()
    assert trial is not None
    study.record_death(trial.number)
    again = make_study(storage, 1).begin_trial()
    assert again is not None
    assert again.params == {"x": 2.0}


@pytest.mark.slow
def test_a_trial_of_a_machine_that_fell_silent_is_retried(tmp_path: Path) -> None:
    storage = sqlite(tmp_path)
    storage.heartbeat_interval = 60
    elsewhere = make_study(storage, 2)
    trial = elsewhere.begin_trial()
    assert trial is not None
    trial.set_user_attr(OWNER, "another machine 1 1.0 0")

    study = make_study(storage, 2)
    study.record_dead_trials()
    assert states(study) == ["RUNNING"]  # it may still be alive
    storage.heartbeat_interval = 1  # heartbeats are now overdue, or about to be
    search(study, lambda trial, data: 1.0)
    assert states(study) == ["FAIL", "COMPLETE", "COMPLETE"]
    assert len(study.counted()) == 2


def test_a_heart_beats_while_a_trial_runs(tmp_path: Path) -> None:
    storage = sqlite(tmp_path)
    storage.heartbeat_interval = 1

    def read_beat(trial: optuna.Trial) -> object:
        with storage.engine.connect() as connection:
            query = sqlalchemy.text("select heartbeat from trial_heartbeats where trial_id = :id")
            return connection.execute(query, {"id": trial._trial_id}).scalar_one()

    def objective(trial: optuna.Trial, _: object) -> float:
        trial.set_user_attr(OWNER, "another machine 1 1.0 0")
        first = read_beat(trial)
        wait_until(lambda: read_beat(trial) != first)
        make_study(sqlite(tmp_path), 1).record_dead_trials()
        other = sqlite(tmp_path)
        other.heartbeat_interval = 1
        make_study(other, 1).record_dead_trials()
        return 1.0

    study = make_study(storage, 1)
    search(study, objective)
    assert states(study) == ["COMPLETE"]


WRITES = (
    "create_new_trial",
    "set_trial_param",
    "set_trial_state_values",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
)


class Unreliable(optuna.storages.InMemoryStorage):
    """A storage that raises `error` at each write for whose number `fails` is true."""

    def __init__(self, error: BaseException, fails: Callable[[int], bool]) -> None:
        super().__init__()
        self.error = error
        self.fails = fails
        self.n_writes = 0

    def __getattribute__(self, name: str) -> Any:
        if name in WRITES:
            self.n_writes += 1
            if self.fails(self.n_writes - 1):
                raise self.error
        return super().__getattribute__(name)


def report_twice(trial: optuna.Trial, _: object) -> float:
    for step in range(2):
        trial.report(trial.params["x"], step)
    return float(trial.params["x"])


def test_a_run_may_die_before_any_write(monkeypatch: pytest.MonkeyPatch) -> None:
    # Trials that this process left behind count as dead in the next run.
    monkeypatch.setattr("imdb_sentiment.search.study.is_dead", lambda owner: True)

    class Killed(BaseException):
        pass

    whole = make_study(memory(), 4)
    search(whole, report_twice)
    expected = [(trial.params, trial.value) for trial in whole.trials()]
    for last in range(200):
        storage = Unreliable(Killed(), lambda number, last=last: number >= last)  # type: ignore[misc]
        try:
            search(make_study(storage, 4), report_twice)
            break  # the search has no more writes than that
        except Killed:
            storage.fails = lambda number: False
        study = make_study(storage, 4)
        search(study, report_twice)
        completed = study.trials(TrialState.COMPLETE)
        assert study.counted() == completed
        assert [(trial.params, trial.value) for trial in completed] == expected
        assert set(states(study)) <= {"COMPLETE", "FAIL"}
    assert 20 < last < 199


def test_a_queued_trial_that_another_run_is_claiming_is_left_to_it() -> None:
    """The other run has not recorded yet that it is the owner."""
    storage = memory()
    study = make_study(storage, 1)
    owner = {OWNER: study._owner}
    study.optuna_study.enqueue_trial({"x": 0.5}, user_attrs=owner)
    (trial,) = study.trials()
    storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
    study.record_dead_trials()
    assert states(study) == ["RUNNING"]


def test_after_a_failed_claim_nobody_keeps_the_trial_alive() -> None:
    class Unsure(optuna.storages.InMemoryStorage):
        def set_trial_state_values(self, *arguments: Any, **options: Any) -> bool:
            super().set_trial_state_values(*arguments, **options)
            raise OSError("the connection was lost")

    study = make_study(Unsure(), 1)
    with pytest.raises(OSError, match="lost"):
        study.begin_trial()
    assert states(study) == ["RUNNING"]
    assert study.trials()[0].number not in study.heartbeats


def test_a_retry_is_not_as_silent_as_the_trial_that_died() -> None:
    storage = optuna.storages.InMemoryStorage()
    study = make_study(storage, 1)
    trial = study.begin_trial()
    assert trial is not None
    trial.set_user_attr("alive", 0.0)  # the time of its last heartbeat
    other = make_study(storage, 1)
    other.record_dead_trials()
    assert states(study) == ["FAIL", "WAITING"]
    assert "alive" not in study.trials()[1].user_attrs


def test_a_trial_whose_death_another_run_records_as_it_is_begun_is_left_to_it() -> None:
    """The other run has read it before it had its new owner."""

    class Shared(optuna.storages.InMemoryStorage):
        was_changed = False

        def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
            super().set_trial_user_attr(trial_id, key, value)
            if key == ORIGIN and not self.was_changed:
                self.was_changed = True
                other.record_death(0)

    storage = Shared()
    other, study = make_study(storage, 2), make_study(storage, 2)
    search(study, report_twice)
    assert storage.was_changed
    assert len(study.counted()) == len(study.trials(TrialState.COMPLETE)) == 2
    assert study.trials()[0].state == TrialState.FAIL


def test_a_database_may_be_away_for_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("imdb_sentiment.search.study.PAUSE", 0)
    storage = Unreliable(StorageInternalError(), lambda number: number % 29 > 26)
    study = make_study(storage, 6, max_retries=9)
    search(study, report_twice)
    assert len(study.counted()) == len(study.trials(TrialState.COMPLETE)) == 6

    caplog.clear()
    failures = itertools.count()
    study = make_study(storage, 7)
    storage.fails = lambda number: next(failures) < 30
    assert study.begin_trial()
    warned = [record for record in caplog.records if "can't be reached" in record.message]
    assert len(warned) == 1  # per minute

    monkeypatch.setattr("imdb_sentiment.search.study.MAX_OUTAGE", 0)
    storage.fails = lambda number: True
    with pytest.raises(InputError, match=r"database can't be reached.*trials are kept"):
        search(make_study(storage, 8), report_twice)


def test_after_an_outage_the_trials_of_other_runs_are_not_taken_for_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No run could send heartbeats, and this one is the first to reach the database again."""
    theirs, ours = (make_study(sqlite(tmp_path), 2) for _ in range(2))
    assert theirs.begin_trial() is not None
    list_trials, errors = ours.optuna_study.get_trials, [StorageInternalError()]

    def fail_once(**arguments: Any) -> Any:
        if errors:
            raise errors.pop()
        return list_trials(**arguments)

    monkeypatch.setattr("imdb_sentiment.search.study.PAUSE", 0)
    monkeypatch.setattr(ours.optuna_study, "get_trials", fail_once)
    with sqlite(tmp_path).engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE trial_heartbeats SET heartbeat = datetime(heartbeat, '-150 seconds')"
        )
    ours.record_dead_trials()
    assert states(ours) == ["RUNNING"]
    monkeypatch.setattr("imdb_sentiment.search.liveness.GRACE_PERIOD", 0)  # it is over
    ours.record_dead_trials()
    assert states(ours) == ["FAIL", "WAITING"]


@pytest.mark.slow
def test_a_full_disk_is_no_outage(tmp_path: Path) -> None:
    """The file of the database can't grow any more; nobody waits for that to end by itself."""
    storage = sqlite(tmp_path)
    study = make_study(storage, 10_000)
    with storage.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()

    def limit(connection: Any, _: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages + 5}")

    sqlalchemy.event.listen(storage.engine, "connect", limit)
    storage.engine.dispose()
    with pytest.raises(InputError, match=r"can't be used.*disk is full\): fix this, then run"):
        search(study, report_twice)
    sqlalchemy.event.remove(storage.engine, "connect", limit)
    storage.engine.dispose()
    finished = len(study.counted())
    search(make_study(storage, finished + 1), report_twice)
    assert len(study.counted()) == finished + 1


@pytest.mark.parametrize(
    "problem",
    [
        psycopg.errors.InsufficientPrivilege,
        psycopg.errors.ReadOnlySqlTransaction,
        psycopg.errors.StringDataRightTruncation,
    ],
)
def test_what_postgresql_refuses_is_no_outage(problem: type[psycopg.Error]) -> None:
    """A user without rights, or who can only read, or a name that is too long for its column."""
    error = StorageInternalError()
    error.__cause__ = sqlalchemy.exc.DBAPIError("INSERT", {}, problem("refused"))
    study = make_study(Unreliable(error, lambda number: number < 1000), 2)
    with pytest.raises(InputError, match=r"can't be used \(refused\): fix this, then run"):
        search(study, report_twice)


def test_a_file_of_studies_that_is_deleted_meanwhile_is_no_outage(tmp_path: Path) -> None:
    storage = sqlite(tmp_path)

    def delete(*_: object) -> float:
        (tmp_path / "study.db").unlink()
        return 1.0

    with pytest.raises(InputError, match="deleted or replaced: run the same command again"):
        search(make_study(storage, 2), delete)


def test_a_clock_that_is_set_back_makes_no_negative_times() -> None:
    now = datetime(2026, 11, 27, 12, 0, 0)
    trial = optuna.trial.create_trial(value=1)
    trial.datetime_start, trial.datetime_complete = now, now - timedelta(hours=1)
    assert measure_seconds(trial) == 0
    trial.datetime_complete = now + timedelta(seconds=90)
    assert measure_seconds(trial) == 90
    trial.datetime_complete = None
    assert measure_seconds(trial) is None


def test_it_is_known_whether_a_search_would_go_on() -> None:
    study = make_study(memory(), 5, max_retries=0)
    trial = study.begin_trial()
    assert trial is not None
    study.record_death(trial.number)
    search(study, lambda trial, _: -trial.number)
    copy = study.copy_into_memory()
    assert not lacks_trials(copy, 5, 0, None)
    assert lacks_trials(copy, 6, 0, None)
    assert lacks_trials(copy, 5, 1, None)  # the trial that died is retried
    assert not lacks_trials(copy, 6, 0, 3)
    assert lacks_trials(copy, 6, 0, 4)


def interrupt(*_: object) -> float:
    raise KeyboardInterrupt


def test_a_search_that_was_stopped_in_its_first_trial_can_be_corrected(tmp_path: Path) -> None:
    storage = sqlite(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        search(make_study(storage, 2, origin={"protocol": "wrong"}), interrupt)
    study = make_study(storage, 2, origin={"protocol": "right"})
    search(study, report_twice)
    assert len(study.counted()) == 2
    assert study.optuna_study.user_attrs["protocol"] == "right"
    with pytest.raises(OtherStudyError, match=r"the protocol of the study .* differ"):
        search(make_study(storage, 2, origin={"protocol": "wrong"}), report_twice)


def test_a_stopped_trial_that_pruners_would_compare_belongs_to_its_study() -> None:
    def interrupt_later(trial: optuna.Trial, _: object) -> float:
        trial.report(0.5, step=0)
        raise KeyboardInterrupt

    storage = memory()
    with pytest.raises(KeyboardInterrupt):
        search(make_study(storage, 2, origin={"protocol": "one"}), interrupt_later)
    with pytest.raises(OtherStudyError, match=r"the protocol of the study .* differ"):
        search(make_study(storage, 2, origin={"protocol": "other"}), report_twice)


def test_a_search_that_is_in_its_first_trial_is_not_changed_by_another(tmp_path: Path) -> None:
    storage = sqlite(tmp_path)
    first = make_study(storage, 2, origin={"protocol": "one"})
    assert first.begin_trial() is not None
    with pytest.raises(OtherStudyError, match=r"the protocol of the study .* differ"):
        search(make_study(storage, 2, origin={"protocol": "other"}), report_twice)


def test_choices_that_optuna_ties_to_a_study_are_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    storage = memory()
    with pytest.raises(KeyboardInterrupt):
        search(make_study(storage, 1, origin={"search space": 0}), interrupt)
    monkeypatch.setitem(SPACE, "x", CategoricalDistribution([0.25, 0.5]))
    with pytest.raises(OtherStudyError, match=r"the search space of the study .* differ"):
        search(make_study(storage, 1, origin={"search space": 1}), report_twice)


def test_a_study_of_other_data_starts_from_the_best_trials() -> None:
    storage = memory()
    search(make_study(storage, 6, origin={"data": "few rows"}), raise_below_half)
    others = make_study(storage, 6, origin={"data": "more rows"})
    with pytest.raises(OtherStudyError, match=r"the data of the study 'a study' .* differ"):
        search(others, raise_below_half)
    best = choose_best_trials(storage, "a study", SPACE)
    values = sorted((trial.value for trial in others.trials() if trial.value), reverse=True)
    assert best == [{"x": value} for value in values]
    given = dict(enumerate(best[:2]))
    following = make_study(storage, 4, name="a study 2", origin={"data": "more rows"}, given=given)
    search(following, lambda trial, data: trial.params["x"])
    tried = [trial.params for trial in following.trials()]
    assert tried[:2] == best[:2]
    assert len(tried) == 4


def test_a_given_trial_that_was_interrupted_is_tried_again() -> None:
    def objective(trial: optuna.Trial, _: object) -> float:
        if trial.number == 0:
            raise KeyboardInterrupt
        return float(trial.params["x"])

    storage = memory()
    given = {0: {"x": 0.25}, 2: {"x": 0.75}}
    with pytest.raises(KeyboardInterrupt):
        search(make_study(storage, 3, given=given), objective)
    study = make_study(storage, 3, given=given)
    search(study, objective)
    assert [trial.params for trial in study.counted()][::2] == [*given.values()]


@pytest.mark.parametrize(
    ("space", "chosen"),
    [
        ({"n": IntDistribution(1, 9)}, [{"n": 7}, {"n": 3}, {"n": 2}]),
        ({"n": IntDistribution(1, 9, step=2)}, [{"n": 7}, {"n": 3}]),
        ({"n": IntDistribution(3, 6), "new": FloatDistribution(0, 1)}, [{"n": 3}]),
        ({"n": IntDistribution(1, 9), "f": FloatDistribution(0, 0.5)}, [{"n": 2, "f": 0.5}]),
        ({"c": CategoricalDistribution(["b"])}, [{"c": "b"}]),
        ({"n": FloatDistribution(7.5, 9)}, []),
        ({"other": FloatDistribution(0, 1)}, []),
    ],
)
def test_only_trials_of_the_present_search_space_are_chosen(
    space: dict[str, BaseDistribution], chosen: list[dict[str, Any]]
) -> None:
    storage = memory()
    study = optuna.create_study(storage=storage, study_name="old", direction="maximize")
    everything = {
        "n": IntDistribution(1, 9),
        "f": FloatDistribution(0, 2),
        "c": CategoricalDistribution(["a", "b"]),
    }
    for n, f, c, value in [(2, 0.5, "b", 0.1), (7, 1.5, "b", 0.9), (3, 0.9, "b", 0.5)]:
        params = {"n": n, "f": f, "c": c}
        trial = create_trial(params=params, distributions=everything, value=value)
        study.add_trial(trial)
    assert choose_best_trials(storage, "old", space) == chosen
    with pytest.raises(InputError, match=r"no study 'none', which tuning\.start_from names"):
        choose_best_trials(storage, "none", space)


def test_a_run_that_ends_waits_for_no_database() -> None:
    storage = Unreliable(StorageInternalError(), lambda number: False)
    study = make_study(storage, 1)
    storage.fails = lambda number: True
    study.leave([])
    with pytest.raises(InputError, match="database can't be reached"):
        study.begin_trial()


def test_a_lower_limit_of_retries_takes_no_trial_away() -> None:
    storage = memory()
    study = make_study(storage, 3)
    trial = study.begin_trial()
    assert trial is not None
    study.record_death(trial.number)
    search(study, report_twice)
    longer = make_study(storage, 4, max_retries=0)
    search(longer, report_twice)
    assert len(longer.counted()) == len(longer.trials(TrialState.COMPLETE)) == 4


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("NopPruner", {}),
        ("MedianPruner", {}),
        ("PercentilePruner", {"percentile": 25.0}),
        ("HyperbandPruner", {"min_resource": 1, "max_resource": 9}),
        ("SuccessiveHalvingPruner", {}),
    ],
)
def test_pruners_end_lost_trials(name: str, arguments: dict[str, Any]) -> None:
    def objective(trial: optuna.Trial, _: object) -> float:
        rng = np.random.default_rng(trial.number)
        for step in range(9):
            trial.report(trial.params["x"] + rng.normal(scale=0.05), step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return float(trial.params["x"])

    study = make_study(
        memory(),
        30,
        pruner=make_pruner(name, arguments),
        make_sampler=lambda n: optuna.samplers.RandomSampler(seed=n),
    )
    search(study, objective)
    assert len(study.counted()) == 30
    pruned = study.trials(TrialState.PRUNED)
    assert (len(pruned) > 0) is (name != "NopPruner")
    if pruned:
        lost, kept = (
            np.mean([trial.params["x"] for trial in trials])
            for trials in (pruned, study.trials(TrialState.COMPLETE))
        )
        assert lost < kept


def test_a_user_may_queue_hyperparameters() -> None:
    storage = memory()
    study = make_study(storage, 3)
    study.optuna_study.enqueue_trial({"x": 0.125})
    search(study, report_twice)
    assert len(study.counted()) == 3
    assert study.trials()[0].params == {"x": 0.125}


def test_a_resumed_search_shows_the_best_value_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = memory()
    search(make_study(storage, 2), report_twice)
    shown: list[tuple[int, float | None]] = []

    def update(_: SearchProgress, done: int, best: float | None) -> str:
        shown.append((done, best))
        return ""

    monkeypatch.setattr(SearchProgress, "update", update)
    study = make_study(storage, 3)
    best = study.best()
    assert best is not None
    search(study, report_twice)
    assert shown[0] == (2, best.value)
    assert [done for done, _ in shown] == [2, 3]


def test_a_loss_is_minimised() -> None:
    study = make_study(optuna.storages.InMemoryStorage(), 4, direction="minimize")
    search(study, lambda trial, _: float(trial.params["x"]))
    values = [trial.value for trial in study.trials()]
    best = study.best()
    assert best is not None
    assert best.value == min(value for value in values if value is not None)
    assert study.trials_since_best() == 3 - best.number


def test_a_study_without_trials_keeps_its_direction() -> None:
    storage = optuna.storages.InMemoryStorage()
    make_study(storage, 1, direction="minimize")
    with pytest.raises(OtherStudyError, match=r"for another metric"):
        search(make_study(storage, 1), lambda trial, _: 1.0)
    optuna.create_study(storage=storage, study_name="two", directions=["minimize", "maximize"])
    with pytest.raises(OtherStudyError, match=r"for another metric"):
        search(make_study(storage, 1, name="two"), lambda trial, _: 1.0)


@pytest.mark.parametrize("has_any", [True, False])
def test_it_is_said_what_the_search_waits_for(
    *, has_any: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Late(Workers):
        refusals = 2

        def has_any(self) -> bool:
            return has_any

        def find_free_worker(self) -> Any:
            self.refusals -= 1
            return None if self.refusals >= 0 else super().find_free_worker()

    monkeypatch.setattr("imdb_sentiment.search.loop.POLL_INTERVAL", 0.01)
    study = make_study(optuna.storages.InMemoryStorage(), 2)
    with caplog.at_level("INFO", "imdb_sentiment"):
        search(study, report_twice, workers=Late())
    assert len(study.counted()) == 2
    assert caplog.text.count("waiting for workers or other runs") == has_any
    assert caplog.text.count("The cluster has no workers: start some") == (not has_any)
