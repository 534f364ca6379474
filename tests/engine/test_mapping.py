import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from distributed import Client, LocalCluster

from helpers import Cluster, wait_until
from imdb_sentiment.engine.mapping import IN_FLIGHT, map_in_order
from imdb_sentiment.errors import InputError
from item_functions import add_slowly, die, hang_once, refuse, wait_for_ever


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "cluster", workers=2)
    yield cluster
    cluster.stop()


def map_at(address: str | None, function: Any, items: Any, *shared: Any) -> Iterator[Any]:
    return map_in_order(function, items, *shared, workers=1, scheduler_address=address)


@pytest.mark.parametrize("is_parallel", [False, True])
def test_results_are_in_the_order_of_the_items(*, is_parallel: bool, thread_cluster: str) -> None:
    address = thread_cluster if is_parallel else None
    assert list(map_at(address, add_slowly, iter(range(20)), 1)) == list(range(1, 21))
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
    results.close()


@pytest.mark.parametrize("is_parallel", [False, True])
def test_an_error_stays_what_it_is(*, is_parallel: bool, thread_cluster: str) -> None:
    results = map_at(thread_cluster if is_parallel else None, refuse, range(9))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(InputError) as error:
        list(results)
    assert str(error.value) == "there is no column 'review'\nreviews:\n  text_column: ?"


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
    with pytest.raises(InputError, match="the workers die while they start, 3 times"):
        list(results)


@pytest.mark.cluster
def test_an_item_that_kills_every_worker_is_told() -> None:
    results = map_in_order(die, [1], workers=2, scheduler_address=None)
    with pytest.raises(InputError, match="several workers have died, one after the other"):
        list(results)


@pytest.mark.cluster
def test_a_cluster_without_workers_is_told(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imdb_sentiment.engine.mapping.PATIENCE", 0.5)
    for worker in cluster.workers:
        worker.kill()
    with Client(cluster.address) as client:
        wait_until(lambda: not client.nthreads())
    with pytest.raises(InputError, match="no Dask worker any more"):
        list(map_at(cluster.address, add_slowly, [1], 1))


@pytest.mark.cluster
def test_a_dead_scheduler_is_told(cluster: Cluster, tmp_path: Path) -> None:
    def items() -> Iterator[int]:
        yield 1
        wait_until((tmp_path / "begun").exists)
        cluster.scheduler.kill()

    results = map_at(cluster.address, partial(wait_for_ever, folder=tmp_path), items())
    with pytest.raises(InputError, match=r"scheduler is gone.*--only-missing-outputs"):
        list(results)
