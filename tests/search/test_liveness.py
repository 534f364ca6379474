import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from optuna.storages import RDBStorage

from helpers import wait_until
from imdb_sentiment.search.liveness import Heartbeats, describe_this_process, is_dead

MACHINE = describe_this_process().split()[0]


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """Yield a process that lives until it is killed."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def test_this_process_is_alive_and_an_earlier_one_with_its_number_is_not() -> None:
    started = psutil.Process().create_time()
    assert not is_dead(describe_this_process())
    assert not is_dead(f"{describe_this_process()} 0")
    assert is_dead(f"{MACHINE} {os.getpid()} {started - 1}")


@pytest.mark.parametrize(
    ("earlier", "dead"), [(0, False), (50, False), (-50, False), (70, True), (-70, True)]
)
def test_another_process_with_its_number_has_another_start(
    earlier: float, dead: bool, child: subprocess.Popen[bytes]
) -> None:
    started = psutil.Process(child.pid).create_time()
    assert is_dead(f"{MACHINE} {child.pid} {started - earlier} 0") is dead


def test_a_machine_without_a_network_is_known_again(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then each process has another random number instead of a hardware address."""
    monkeypatch.setattr(uuid, "getnode", lambda: 0x01_0000_0000_07)
    owner = f"{describe_this_process().split()[0]} {child.pid} 0"
    monkeypatch.setattr(uuid, "getnode", lambda: 0x01_0000_0000_08)
    assert is_dead(owner)
    monkeypatch.setattr(uuid, "getnode", lambda: 0x02_0000_0000_08)  # the address of a container
    assert not is_dead(owner)


def test_a_run_that_has_ended_is_dead_even_if_nobody_has_noticed(
    child: subprocess.Popen[bytes],
) -> None:
    process = psutil.Process(child.pid)
    owner = f"{MACHINE} {child.pid} {process.create_time()}"
    child.kill()
    wait_until(lambda: process.status() == psutil.STATUS_ZOMBIE)
    assert is_dead(owner)
    child.wait()
    assert is_dead(owner)
    # What runs on another machine can't be told from here.
    assert not is_dead(f"elsewhere/{owner}")


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_after_the_machine_slept_others_may_be_alive_though_silent(tmp_path: Path) -> None:
    """The storage may be on this machine. The thread wakes first, and the run has no trial."""
    storage = RDBStorage(f"sqlite:///{tmp_path}/study.db", heartbeat_interval=1)
    heartbeats = Heartbeats(storage)
    with heartbeats:
        assert not heartbeats.may_lack_those_of_others()
        heartbeats._last -= 1000
        wait_until(heartbeats.may_lack_those_of_others)
