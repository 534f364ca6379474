import os
import platform
import subprocess
import sys
import threading

import pytest

from imdb_sentiment.network.tensorflow_setup import tensorflow_setup


@pytest.mark.parametrize(
    ("name", "default", "other"),
    [("TF_NUM_INTRAOP_THREADS", "1", "3"), ("NVIDIA_TF32_OVERRIDE", "0", "1")],
)
def test_an_operation_has_one_thread_and_full_precision_unless_told_otherwise(
    name: str, default: str, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(name, raising=False)
    with tensorflow_setup():
        assert os.environ[name] == default
    monkeypatch.setenv(name, other)
    with tensorflow_setup():
        assert os.environ[name] == other


def test_what_a_library_writes_is_not_seen(capfd: pytest.CaptureFixture[str]) -> None:
    with tensorflow_setup():
        os.write(2, b"no GPU")
    os.write(2, b"an error")
    assert capfd.readouterr().err == "an error"


def test_two_threads_do_not_lose_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    """If both were in the block, the second would take the silence of the first for stderr."""
    entered = [threading.Event(), threading.Event()]
    may_leave = [threading.Event(), threading.Event()]

    def stay(number: int) -> None:
        with tensorflow_setup():
            entered[number].set()
            may_leave[number].wait(60)

    threads = [threading.Thread(target=stay, args=(number,)) for number in range(2)]
    threads[0].start()
    entered[0].wait(60)
    threads[1].start()
    assert not entered[1].wait(0.2)
    for thread, event in zip(threads, may_leave, strict=True):
        event.set()
        thread.join(60)
    os.write(2, b"an error")
    assert capfd.readouterr().err == "an error"


ALLOCATE = """
import ctypes, resource
from imdb_sentiment.network.tensorflow_setup import tensorflow_setup
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
with tensorflow_setup():
    pass
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = ctypes.c_void_p(libc.malloc(2**26))
    ctypes.memset(block, 1, 2**26)
    libc.free(block)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is a setting of glibc")
def test_memory_that_was_freed_is_used_again() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALLOCATE],
        env={name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")},
        check=True,
        capture_output=True,
        text=True,
    )
    first, *others = map(int, done.stdout.split())
    assert first > 30  # page faults for 64 MB, with small or huge pages
    assert max(others) < first / 2
