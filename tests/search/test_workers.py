import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
from dask.system import CPU_COUNT
from distributed import LocalCluster, Scheduler, SpecCluster, Worker
from optuna.trial import TrialState
from optuna_integration import DaskStorage

from helpers import PATIENCE, Cluster, wait_until
from imdb_sentiment.datasets import OptunaStorageDataset
from imdb_sentiment.errors import InputError
from imdb_sentiment.network.training import count_threads
from imdb_sentiment.search import SharedStudy, open_workers
from imdb_sentiment.search.workers import Workers
from objectives import (
    CountedOnArrival,
    hang_unless_told,
    log_a_line,
    log_slow_call,
    make_study,
    raise_below_half,
    search,
    use_counted,
    wait_for_file,
)


@pytest.fixture(scope="module")
def two() -> Iterator[Workers]:
    """Yield a local cluster with two workers."""
    with open_workers(2, None) as workers:
        yield workers


@pytest.fixture
def storage(tmp_path: Path) -> optuna.storages.RDBStorage:
    return OptunaStorageDataset(filepath=str(tmp_path / "study.db")).load()


def states(study: SharedStudy) -> list[str]:
    return sorted(trial.state.name for trial in study.trials())


def when_it_hangs(folder: Path, number: int, strike: Callable[[], None]) -> Future[None]:
    """Call `strike` in a thread as soon as that trial of `hang_unless_told` runs."""

    def wait() -> None:
        file = folder / f"{number}.pid"
        wait_until(lambda: file.exists() and file.read_text() != "")
        strike()

    return ThreadPoolExecutor(1).submit(wait)


def call(workers: Workers, function: Any, *arguments: Any) -> Any:
    workers.start(workers.find_free_worker(), 0, function, *arguments)
    while not (results := workers.collect(1)):
        pass
    return results[0]


def test_one_worker_is_this_process_and_needs_no_dask() -> None:
    code = (
        "import os, sys\n"
        "from imdb_sentiment.search import open_workers\n"
        "with open_workers(1, None) as workers:\n"
        "    workers.start(workers.find_free_worker(), 7, os.getpid)\n"
        "    assert workers.collect(0) == {7: os.getpid()}\n"
        "assert not {'dask', 'distributed'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_trials_run_in_both_processes_with_their_share_of_the_cores(
    two: Workers, storage: optuna.storages.RDBStorage, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    study = make_study(storage, 8)
    search(study, log_slow_call, log, workers=two)
    numbers, processes = zip(*(line.split() for line in log.read_text().splitlines()), strict=True)
    assert sorted(map(int, numbers)) == list(range(8))
    assert len(set(processes)) == 2
    assert str(os.getpid()) not in processes
    for trial in study.trials():
        assert trial.value == trial.params["x"]
    assert call(two, count_threads) == max(1, CPU_COUNT // 2)


def test_nobody_else_can_reach_the_cluster(two: Workers) -> None:
    """Neither the scheduler nor the dashboards of Dask ask for a password."""
    this = psutil.Process()
    listening = {
        connection.laddr.ip
        for process in (this, *this.children(recursive=True))
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_the_data_reach_each_worker_once(
    two: Workers, storage: optuna.storages.RDBStorage, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    search(make_study(storage, 8), use_counted, CountedOnArrival(log), workers=two)
    used = log.with_suffix(".used").read_text().split()
    arrived = [process for process in log.read_text().split() if process in used]
    assert len(used) == 8
    assert len(arrived) == len(set(used)) == 2


def test_trials_end_there_as_they_do_here(
    two: Workers, storage: optuna.storages.RDBStorage
) -> None:
    here = make_study(optuna.storages.InMemoryStorage(), 6)
    search(here, raise_below_half)
    there = make_study(storage, 6)
    search(there, raise_below_half, workers=two)
    for mine, theirs in zip(here.trials(), there.trials(), strict=True):
        assert theirs.params == mine.params
        assert (theirs.state, theirs.value) == (mine.state, mine.value)
        assert theirs.user_attrs.get("error") == mine.user_attrs.get("error")
    assert set(states(there)) == {"COMPLETE", "FAIL"}


def test_a_killed_worker_costs_one_retry(
    two: Workers, storage: optuna.storages.RDBStorage, tmp_path: Path
) -> None:
    def kill() -> None:
        os.kill(int((tmp_path / "1.pid").read_text()), signal.SIGKILL)
        (tmp_path / "go").touch()

    strike = when_it_hangs(tmp_path, 1, kill)
    study = make_study(storage, 6)
    search(study, hang_unless_told, tmp_path, workers=two)
    strike.result(60)
    assert states(study) == ["COMPLETE"] * 6 + ["FAIL"]
    (lost,) = study.trials(TrialState.FAIL)
    assert lost.number == 1
    (retried,) = (t for t in study.trials() if t.system_attrs.get("failed_trial") == 1)
    assert retried.params == lost.params
    assert len(study.counted()) == 6


@pytest.mark.cluster
def test_what_workers_log_comes_by_way_of_the_run(
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours = logging.getLogger("imdb_sentiment")
    monkeypatch.setattr(ours, "handlers", [caplog.handler])
    monkeypatch.setattr(ours, "propagate", False)
    with caplog.at_level(logging.DEBUG, "imdb_sentiment"), open_workers(2, None) as workers:
        call(workers, log_a_line)
        wait_until(lambda: "an epoch of" in caplog.text)
        search(make_study(optuna.storages.InMemoryStorage(), 9), raise_below_half, workers=workers)
        wait_until(lambda: 'raise ValueError(f"{x:.3f} is too low")' in caplog.text)
    (line,) = (r.getMessage() for r in caplog.records if r.name == "imdb_sentiment.objectives")
    assert line != f"an epoch of {os.getpid()}"
    # Workers share the run's terminal, where they would break the progress bar.
    assert "".join(capfd.readouterr()) == ""


def test_ctrl_c_waits_until_dask_is_done(two: Workers, tmp_path: Path) -> None:
    go = tmp_path / "go"

    def interrupt() -> None:
        wait_until(lambda: signal.getsignal(signal.SIGINT) is not signal.default_int_handler)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.5)
        go.touch()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        two.start(two.find_free_worker(), 0, wait_for_file, go)
        threading.Timer(0.3, interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            two.collect(60)
        assert go.exists()
        assert two.collect(60) == {0: None}
        with pytest.raises(KeyboardInterrupt):  # immediately, because Dask is idle
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("two")  # which uses the default port of Dask's dashboard
def test_a_cluster_leaves_nothing_behind() -> None:
    code = """
import logging, os
from imdb_sentiment.search import open_workers

def describe():
    levels = {name: logging.getLogger(name).level for name in loggers}
    return dict(os.environ), levels, logging.root.level

if __name__ == "__main__":
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    loggers = ["distributed", "distributed.client", "distributed.scheduler", "distributed.gc"]
    before = describe()
    with open_workers(2, None) as workers:
        assert logging.getLogger("distributed.client").getEffectiveLevel() == logging.CRITICAL
        workers.start(workers.find_free_worker(), 0, os.kill, os.getpid(), 0)
        while not workers.collect(1):
            pass
    assert describe() == before
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "cluster", workers=2)
    yield cluster
    cluster.stop()


def test_a_running_cluster_is_used_and_may_keep_the_study(cluster: Cluster, tmp_path: Path) -> None:
    with open_workers(1, cluster.address) as workers:
        # This storage exists only in the scheduler's memory.
        study = make_study(workers.share_storage(optuna.storages.InMemoryStorage()), 6)
        search(study, log_slow_call, tmp_path / "log", workers=workers)
        assert states(study) == ["COMPLETE"] * 6
    processes = {line.split()[1] for line in (tmp_path / "log").read_text().splitlines()}
    assert len(processes) == 2
    assert str(os.getpid()) not in processes


def test_a_study_on_the_scheduler_misses_runs_of_other_machines(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imdb_sentiment.search.liveness.HEARTBEAT_INTERVAL", 0.2)
    monkeypatch.setattr("imdb_sentiment.search.liveness.GRACE_PERIOD", 2)
    monkeypatch.setattr("imdb_sentiment.search.study.is_dead", lambda owner: False)
    with open_workers(1, cluster.address) as workers:
        storage = workers.share_storage(optuna.storages.InMemoryStorage())
        theirs, ours = make_study(storage, 1), make_study(storage, 1)
        with ours.heartbeats:  # otherwise, it seems to have slept
            with theirs.heartbeats:
                trial = theirs.begin_trial()
                assert trial is not None
                time.sleep(3)
                ours.record_dead_trials()
                assert states(ours) == ["RUNNING"]
            give_up = time.monotonic() + 60  # on a busy machine, late heartbeats look like sleep
            while states(ours) == ["RUNNING"] and time.monotonic() < give_up:
                time.sleep(0.5)
                ours.record_dead_trials()
        assert states(ours) == ["FAIL", "WAITING"]


@pytest.mark.parametrize("kept_by", ["workers", "scheduler"])
def test_a_dead_scheduler_ends_the_run_and_loses_nothing(
    kept_by: str,
    cluster: Cluster,
    storage: optuna.storages.RDBStorage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(n_trials: int) -> None:
        with open_workers(1, cluster.address) as workers:
            kept = storage if kept_by == "workers" else workers.share_storage(storage)
            study = make_study(kept, n_trials)
            search(study, hang_unless_told, tmp_path, workers=workers)

    (tmp_path / "go").touch()
    run(2)
    (tmp_path / "go").unlink()
    strike = when_it_hangs(tmp_path, 3, cluster.scheduler.kill)
    with pytest.raises(
        InputError, match=r"lost the connection to the Dask scheduler: finished trials are kept"
    ):
        run(4)
    strike.result(60)
    study = make_study(storage, 4)
    assert len(study.counted()) == 2
    (tmp_path / "go").touch()
    if kept_by == "scheduler":  # the run, this process, could not release its trial
        monkeypatch.setattr("imdb_sentiment.search.liveness.GRACE_PERIOD", 1)
    search(study, hang_unless_told, tmp_path)
    assert len(study.counted()) == 4
    assert states(study).count("COMPLETE") == 4
    if kept_by == "workers":  # no trial caused this, so none used up a retry
        assert not any("retry_history" in trial.system_attrs for trial in study.trials())


def test_workers_may_leave_and_join(
    cluster: Cluster, storage: optuna.storages.RDBStorage, tmp_path: Path
) -> None:
    def leave() -> None:
        for worker in cluster.workers:
            worker.terminate()
        for worker in cluster.workers:
            worker.wait(60)
        cluster.add_worker()
        (tmp_path / "go").touch()

    strike = when_it_hangs(tmp_path, 1, leave)
    study = make_study(storage, 4)
    with open_workers(1, cluster.address) as workers:
        search(study, hang_unless_told, tmp_path, workers=workers)
    strike.result(60)
    assert all(worker.poll() is not None for worker in cluster.workers[:2])
    assert states(study) == ["COMPLETE"] * 4 + ["FAIL"] * 2
    assert len(study.counted()) == 4


def test_no_scheduler_at_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imdb_sentiment.engine.cluster.CONNECT_TIMEOUT", 0.5)
    with (
        pytest.raises(InputError, match="no Dask scheduler at tcp"),
        open_workers(1, "tcp://127.0.0.1:9"),
    ):
        pass


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("preload", "reason"),
    [
        ("import os; os._exit(1)", "Nanny failed to start worker process"),
        ("import no_such_module", "No module named 'no_such_module'"),
    ],
)
def test_workers_that_die_while_they_start_are_told(
    preload: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imdb_sentiment.engine.cluster._WORKER_PRELOAD", preload)
    told = rf"the Dask workers died during startup, 3 times in a row \(last error: {reason}\)"
    with pytest.raises(InputError, match=told), open_workers(2, None):
        pass


def test_threads_of_this_process_can_be_workers() -> None:
    """A cluster without processes of its own, which is up in a moment."""
    here = make_study(optuna.storages.InMemoryStorage(), 6)
    search(here, raise_below_half)
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
        ) as cluster,
        open_workers(1, cluster.scheduler_address) as workers,
    ):
        there = make_study(workers.share_storage(optuna.storages.InMemoryStorage()), 6)
        search(there, raise_below_half, workers=workers)
        found = [(trial.params, trial.state, trial.value) for trial in there.trials()]
    assert found == [(trial.params, trial.state, trial.value) for trial in here.trials()]


def test_workers_of_several_threads_are_refused() -> None:
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0"
        ) as threaded,
        pytest.raises(InputError, match="--nthreads 1"),
        open_workers(1, threaded.scheduler_address),
    ):
        pass


def test_workers_of_several_threads_are_refused_if_they_join_later() -> None:
    study = make_study(optuna.storages.InMemoryStorage(), 1)
    with (
        LocalCluster(
            n_workers=0, threads_per_worker=2, processes=False, dashboard_address=":0"
        ) as threaded,
        open_workers(1, threaded.scheduler_address) as workers,
    ):
        threaded.scale(1)
        with pytest.raises(InputError, match="--nthreads 1"):
            search(study, raise_below_half, workers=workers, timeout=PATIENCE)


@pytest.mark.slow
def test_a_search_waits_for_its_only_worker_of_one_thread(
    storage: optuna.storages.RDBStorage, tmp_path: Path
) -> None:
    study = make_study(storage, 1)
    one, two = ({"cls": Worker, "options": {"nthreads": number}} for number in (1, 2))
    scheduler = {"cls": Scheduler, "options": {"dashboard_address": ":0"}}

    def close() -> None:
        mixed.sync(mixed.workers["one"].close, executor_wait=False)

    with (
        SpecCluster({"one": one, "two": two}, scheduler, worker=one) as mixed,
        open_workers(1, mixed.scheduler_address) as workers,
    ):
        struck = when_it_hangs(tmp_path, 0, close)
        search(study, hang_unless_told, tmp_path, workers=workers, timeout=3)
        struck.result()
        assert states(study) == ["FAIL", "WAITING"]
        (tmp_path / "go").touch()
        mixed.scale(3)
        search(study, hang_unless_told, tmp_path, workers=workers, timeout=PATIENCE)
    assert states(study) == ["COMPLETE", "FAIL"]


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r'pip install -e "\.\[dask\]"'), open_workers(2, None):
        pass


def test_only_a_running_cluster_needs_a_proxy_of_a_file(
    two: Workers,
    storage: optuna.storages.RDBStorage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert two.share_storage(storage) is storage
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
        ) as cluster,
        open_workers(1, cluster.scheduler_address) as workers,
    ):
        assert isinstance(workers.share_storage(storage), DaskStorage)
        shutil.rmtree(tmp_path)  # as if the scheduler ran on a machine without this folder
        with pytest.raises(InputError, match=r"scheduler can't open the study \(unable to open"):
            workers.share_storage(storage)
        monkeypatch.setitem(sys.modules, "optuna_integration", None)
        with pytest.raises(InputError, match=r'optuna-integration: pip install -e "\.\[dask\]"'):
            workers.share_storage(storage)
        monkeypatch.setattr(storage, "url", "postgresql+psycopg://HOST/DATABASE")
        assert workers.share_storage(storage) is storage
