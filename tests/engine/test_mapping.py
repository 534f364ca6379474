import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from distributed import Client, LocalCluster, Status
from distributed.nanny import WorkerProcess

from helpers import Cluster, wait_until
from imdb_sentiment.engine import mapping
from imdb_sentiment.engine.mapping import (
    FOLDER,
    IN_FLIGHT,
    RECEIVER,
    PickledResult,
    map_in_order,
    map_in_two_steps,
)
from imdb_sentiment.errors import InputError
from item_functions import (
    add_slowly,
    append,
    call_second_blindly_once,
    die,
    double,
    finish_before_death,
    give,
    hang_once,
    hang_once_then_double,
    refuse,
    wait_for_ever,
)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "cluster", workers=2)
    yield cluster
    cluster.stop()


@pytest.fixture(params=["not there", "not readable"])
def elsewhere(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let the workers not see the files of the run."""
    folder = tmp_path / "elsewhere"
    if request.param == "not readable":
        folder.touch()
        folder /= "folder"
    monkeypatch.setattr(mapping, "_open_folder", lambda: nullcontext(str(folder)))


def map_at(address: str | None, function: Any, items: Any, *shared: Any) -> Iterator[Any]:
    return map_in_order(function, items, *shared, workers=1, scheduler_address=address)


@pytest.mark.parametrize("is_parallel", [False, True])
def test_results_are_in_the_order_of_the_items(*, is_parallel: bool, thread_cluster: str) -> None:
    address = thread_cluster if is_parallel else None
    items = (partial(give, item) if item % 2 else item for item in range(20))
    assert list(map_at(address, add_slowly, items, 1)) == list(range(1, 21))
    assert list(map_at(address, add_slowly, [], 1)) == []


def test_items_are_read_when_they_are_needed(thread_cluster: str) -> None:
    read: list[int] = []

    def items() -> Iterator[int]:
        for item in range(99):
            read.append(item)
            yield item

    results = map_at(thread_cluster, add_slowly, items(), 0)
    assert isinstance(results, Generator)
    for expected in range(3):
        assert next(results) == expected
        assert len(read) <= expected + 2 * IN_FLIGHT + 1
    assert any(thread.name.startswith(RECEIVER) for thread in threading.enumerate())
    results.close()
    wait_until(lambda: not any(x.name.startswith(RECEIVER) for x in threading.enumerate()))


@pytest.mark.parametrize("is_parallel", [False, True])
def test_an_error_stays_what_it_is(*, is_parallel: bool, thread_cluster: str) -> None:
    results = map_at(thread_cluster if is_parallel else None, refuse, range(9))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(InputError) as error:
        list(results)
    assert str(error.value) == "there is no column 'review'\nreviews:\n  text_column: ?"


def map_twice(
    address: str | None, first: Any, items: Any, workers: int = 1
) -> Iterator[tuple[int, int, int]]:
    """Map in two steps, of which the decision is the sum of the items so far."""
    total = 0

    def add(item: int) -> int:
        nonlocal total
        total += item
        return total

    results = map_in_two_steps(
        first, add, append, items, workers=workers, scheduler_address=address
    )
    return (result.load() if isinstance(result, PickledResult) else result for result in results)


@pytest.mark.parametrize("is_parallel", [False, True])
def test_decisions_are_made_in_the_order_of_the_items(
    *, is_parallel: bool, thread_cluster: str
) -> None:
    address = thread_cluster if is_parallel else None
    items = (partial(give, item) if item % 2 else item for item in range(20))
    found = [result[:2] for result in map_twice(address, double, items)]
    assert found == [(2 * item, item * (item + 1) // 2) for item in range(20)]
    assert list(map_twice(address, double, [])) == []


def test_items_and_results_are_in_temporary_files_until_they_are_taken(
    thread_cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left, young = (tmp_path / f"{FOLDER}{name}" for name in ("left", "young"))
    left.mkdir()
    (left / "result").touch()
    os.utime(left, (0, 0))
    young.mkdir()
    results = map_in_two_steps(
        double, give, append, range(30), workers=1, scheduler_address=thread_cluster
    )
    target = tmp_path / "target"
    with target.open("wb") as file:
        for result in results:
            assert isinstance(result, PickledResult)
            assert isinstance(result.source, str)
            assert Path(result.source).parent.parent == tmp_path
            result.move_to(file)
            assert not Path(result.source).exists()
            # What the two workers have in hand, and its results.
            assert len(list(Path(result.source).parent.iterdir())) <= 2 * 2 * IN_FLIGHT
    assert set(tmp_path.iterdir()) == {young, target}
    with target.open("rb") as file:
        assert [pickle.load(file)[:2] for _ in range(30)] == [(2 * n, n) for n in range(30)]


@pytest.mark.usefixtures("elsewhere")
def test_workers_that_do_not_see_the_files_are_sent_the_items(thread_cluster: str) -> None:
    read_in = list(map_at(thread_cluster, add_slowly, [threading.get_ident] * 9, 0))
    assert read_in == [threading.get_ident()] * 9


@pytest.mark.usefixtures("elsewhere")
def test_workers_that_do_not_see_the_files_are_sent_what_they_need(thread_cluster: str) -> None:
    read: list[int] = []

    def note(item: int) -> int:
        read.append(item)
        return -item

    items = (partial(give, item) for item in range(9))
    results = list(
        map_in_two_steps(double, note, append, items, workers=1, scheduler_address=thread_cluster)
    )
    assert read == list(range(9))
    for item, result in enumerate(results):
        assert isinstance(result, PickledResult)
        assert isinstance(result.source, bytes)
        assert result.load()[:2] == (2 * item, -item)


def test_a_first_step_that_is_repeated_where_the_files_are_not_seen_is_made_again(
    thread_cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapping, "_call_second", call_second_blindly_once)
    items = (partial(give, item) if item % 2 else item for item in range(12))
    found = [result[:2] for result in map_twice(thread_cluster, double, items)]
    assert found == [(2 * item, item * (item + 1) // 2) for item in range(12)]


def test_one_worker_is_this_process_and_needs_no_dask() -> None:
    code = (
        "import os, sys\n"
        "from imdb_sentiment.engine.mapping import map_in_order\n"
        "calls = map_in_order(lambda item: os.getpid(), [1], workers=1, scheduler_address=None)\n"
        "assert list(calls) == [os.getpid()]\n"
        "assert not {'dask', 'distributed'} & set(sys.modules)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_no_scheduler_at_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imdb_sentiment.engine.cluster.CONNECT_TIMEOUT", 0.5)
    with pytest.raises(InputError, match=r"no Dask scheduler at tcp.*processing\.scheduler_addr"):
        list(map_at("tcp://127.0.0.1:9", add_slowly, [1], 1))


@pytest.mark.cluster
def test_a_killed_worker_costs_no_item(tmp_path: Path) -> None:
    file = tmp_path / "pid"

    def kill() -> int:
        wait_until(lambda: file.exists() and file.read_text() != "")
        process = psutil.Process(int(file.read_text()))
        process.kill()
        return int(process.pid)

    killed = ThreadPoolExecutor(1).submit(kill)
    found = list(map_in_order(hang_once, range(12), tmp_path, workers=2, scheduler_address=None))
    assert [item for item, _ in found] == list(range(12))
    assert found[0][1] not in (killed.result(), os.getpid())


@pytest.mark.cluster
def test_a_result_that_is_lost_with_its_worker_is_made_again(tmp_path: Path) -> None:
    file = tmp_path / "1"

    def kill() -> None:
        wait_until(lambda: file.exists() and file.read_text() != "")
        time.sleep(0.5)  # until the scheduler knows of the result
        psutil.Process(int(file.read_text())).kill()
        (tmp_path / "killed").touch()

    killed = ThreadPoolExecutor(1).submit(kill)
    function = partial(finish_before_death, folder=tmp_path)
    found = list(map_in_order(function, range(4), workers=2, scheduler_address=None))
    assert found == [0, 1, 2, 3]
    killed.result()


@pytest.mark.cluster
def test_a_worker_killed_between_the_steps_costs_nothing(tmp_path: Path) -> None:
    file = tmp_path / "pid"

    def kill() -> None:
        wait_until(lambda: file.exists() and file.read_text() != "")
        psutil.Process(int(file.read_text())).kill()

    killed = ThreadPoolExecutor(1).submit(kill)
    first = partial(hang_once_then_double, folder=tmp_path)
    found = [result[:2] for result in map_twice(None, first, range(12), workers=2)]
    assert found == [(2 * item, item * (item + 1) // 2) for item in range(12)]
    killed.result()


@pytest.mark.cluster
@pytest.mark.parametrize("failures", [1, 3])
def test_workers_that_die_at_the_start_are_started_again(
    failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = []

    def start(**options: Any) -> LocalCluster:
        starts.append(options)
        if len(starts) <= failures:
            raise RuntimeError("Nanny failed to start.")
        return LocalCluster(**options)

    monkeypatch.setattr("distributed.LocalCluster", start)
    results = map_in_order(add_slowly, range(3), 1, workers=2, scheduler_address=None)
    if failures == 1:
        assert list(results) == [1, 2, 3]
        return
    with pytest.raises(InputError, match="the Dask workers died during startup, 3 times"):
        list(results)


@pytest.mark.cluster
def test_an_item_that_kills_every_worker_is_told() -> None:
    results = map_in_order(die, [1], workers=2, scheduler_address=None)
    with pytest.raises(InputError, match="several workers have died while processing"):
        list(results)


@pytest.mark.cluster
def test_workers_that_start_when_all_is_done_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Now and then, this happens in the test above; here, it happens to both workers."""
    kill, failed, clusters = WorkerProcess.kill, [], []

    def start(**options: Any) -> LocalCluster:
        clusters.append(LocalCluster(**options))
        return clusters[0]

    async def fail_once(process: WorkerProcess, **options: Any) -> None:
        if process not in failed:
            failed.append(process)
            raise AssertionError("can only join a started process")
        await kill(process, **options)

    monkeypatch.setattr("distributed.LocalCluster", start)
    monkeypatch.setattr(WorkerProcess, "kill", fail_once)
    results = map_in_order(add_slowly, range(3), 1, workers=2, scheduler_address=None)
    assert list(results) == [1, 2, 3]
    assert len(failed) == 2
    assert clusters[0].status == Status.closed
    assert not multiprocessing.active_children()


@pytest.mark.cluster
def test_a_cluster_without_workers_is_told(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imdb_sentiment.engine.mapping.PATIENCE", 0.5)
    for worker in cluster.workers:
        worker.kill()
    with Client(cluster.address) as client:
        wait_until(lambda: not client.nthreads())
    with pytest.raises(InputError, match="no Dask worker has been available"):
        list(map_at(cluster.address, add_slowly, [1], 1))


@pytest.mark.cluster
def test_ctrl_c_ends_the_wait_for_a_worker(cluster: Cluster, tmp_path: Path) -> None:
    def press() -> None:
        wait_until((tmp_path / "begun").exists)
        os.kill(os.getpid(), signal.SIGINT)

    results = map_at(cluster.address, partial(wait_for_ever, folder=tmp_path), range(9))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it
    try:
        pressed = ThreadPoolExecutor(1).submit(press)
        with pytest.raises(KeyboardInterrupt):
            next(results)
        pressed.result()
    finally:
        signal.signal(signal.SIGINT, before)
    assert not any(thread.name.startswith(RECEIVER) for thread in threading.enumerate())


@pytest.mark.cluster
def test_a_dead_scheduler_is_told(cluster: Cluster, tmp_path: Path) -> None:
    def items() -> Iterator[int]:
        yield 1
        wait_until((tmp_path / "begun").exists)
        cluster.scheduler.kill()

    results = map_at(cluster.address, partial(wait_for_ever, folder=tmp_path), items())
    with pytest.raises(InputError, match=r"lost the connection to the Dask .*repeat the command$"):
        list(results)
