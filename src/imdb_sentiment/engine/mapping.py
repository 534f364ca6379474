"""A function of the items of a stream, called in this process or on the workers of a cluster."""

import contextlib
import pickle
import shutil
import tempfile
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, TypeVar

from imdb_sentiment.engine.cluster import (
    CONNECT_TIMEOUT,
    delayed_ctrl_c,
    lost_scheduler,
    open_client,
    share,
    submit,
)
from imdb_sentiment.errors import InputError

R = TypeVar("R")
Kept = TypeVar("Kept")
Summary = TypeVar("Summary")
Decision = TypeVar("Decision")

PROTOCOL = pickle.HIGHEST_PROTOCOL
PATIENCE = 120.0  # seconds that a call waits while there is no worker at all
POLL_INTERVAL = 1.0  # seconds after which Ctrl-C takes effect
# Items per worker that are being worked on or wait, so that no worker waits for the next one.
IN_FLIGHT = 2
FOLDER = "imdb_sentiment-results-of-workers-"  # how the names of their folders begin
COPY_BUFFER = 1 << 20  # bytes
MAX_AGE = 24 * 60 * 60  # seconds after which such a folder is what a killed run has left
ADVICE = "restart the scheduler if necessary, and repeat the command with --only-missing-outputs"


def map_in_order(
    function: Callable[..., R],
    items: Iterable[Any],
    *shared: Any,
    workers: int,
    scheduler_address: str | None,
    threads: int = 1,
) -> Iterator[R]:
    """Yield what a function returns for each item, in the order of the items.

    Items are read as they are needed, a few per worker, so that memory does not grow with their
    number. If a worker dies, Dask gives its items to another one.

    Args:
        function: Function of an item and of all of `shared`.
        items: The items, none of them None. What calls the function calls those that are functions
            without arguments, and uses what they return; this process does it for workers that
            don't see its files.
        shared: Further arguments, which are sent to each worker once.
        workers: Number of workers on this machine; a single one is this process, without Dask.
        scheduler_address: Address of the scheduler of a running cluster, which is used instead.
        threads: Number of threads in which this process, if it is the only one, calls the function.

    Raises:
        InputError: Dask is not installed, the scheduler can't be reached, several workers have died
            of one item, or there has been no worker for two minutes.

    """
    remaining = _begin(items)
    if remaining is None:  # no worker is started for nothing
        return
    with open_client(workers, scheduler_address, "processing", ADVICE) as client:
        if client is None:
            yield from _map_here(function, remaining, *shared, threads=threads)
            return
        with _open_folder() as folder:
            stand_ins = [share(client, value) for value in shared]
            yield from _map_in_order_there(client, folder, function, remaining, stand_ins)


@dataclass(frozen=True)
class PickledResult:
    """A result that a worker has pickled, for a file; this process need not look into it.

    Attributes:
        source: The pickle, or the path of a file that contains it.

    """

    source: bytes | str

    def load(self) -> Any:
        """Return the result; can be called once."""
        if isinstance(self.source, bytes):
            return pickle.loads(self.source)
        path = Path(self.source)
        with path.open("rb") as pickled:
            result = pickle.load(pickled)
        path.unlink()
        return result

    def move_to(self, file: IO[bytes]) -> None:
        """Append the pickle to a file; can be called once."""
        if isinstance(self.source, bytes):
            file.write(self.source)
            return
        path = Path(self.source)
        with path.open("rb") as pickled:
            shutil.copyfileobj(pickled, file, COPY_BUFFER)
        path.unlink()


def map_in_two_steps(
    first: Callable[[Any], tuple[Kept, Summary]],
    decide: Callable[[Summary], Decision],
    second: Callable[[Kept, Decision], R],
    items: Iterable[Any],
    *,
    workers: int,
    scheduler_address: str | None,
) -> Iterator[Any]:
    """Yield results that depend on all items before, most of whose work does not.

    Of each item, `first` makes something large that is kept where it is, and a summary of it. From
    the summaries, one after the other in the order of the items, `decide` finds in this process
    what depends on earlier items. With that, `second` makes the result of what was kept. So
    nothing large passes through this process, if the workers see its files: they leave their
    results in a folder for temporary files (`tempfile.gettempdir`) until the caller takes them.

    Args:
        first: Function of an item.
        decide: Function of a summary.
        second: Function of what was kept and the decision on it.
        items: The items, none of them None. Workers that see the files of this process call those
            that are functions without arguments, and use what they return.
        workers: As of `map_in_order`.
        scheduler_address: As of `map_in_order`.

    Yields:
        The results in the order of the items, from workers each as a `PickledResult`, which has to
        be used before the next one is taken.

    Raises:
        InputError: As `map_in_order` does.

    """
    remaining = _begin(items)
    if remaining is None:  # no worker is started for nothing
        return
    with open_client(workers, scheduler_address, "processing", ADVICE) as client:
        if client is None:
            for item in remaining:
                yield _call_both(first, decide, second, item)
            return
        with _open_folder() as folder:
            yield from _map_there(client, folder, (first, decide, second), remaining)


def _begin(items: Iterable[Any]) -> Iterator[Any] | None:
    """Return an iterator whose first item has been read; None if there is none."""
    remaining = iter(items)
    first = next(remaining, None)
    return None if first is None else chain([first], remaining)


def _call_both(
    first: Callable[[Any], tuple[Kept, Summary]],
    decide: Callable[[Summary], Decision],
    second: Callable[[Kept, Decision], R],
    item: Any,
) -> R:
    kept, summary = first(_read(item))
    return second(kept, decide(summary))


def _map_in_order_there(
    client: Any,
    folder: str,
    function: Callable[..., Any],
    items: Iterator[Any],
    stand_ins: list[Any],
) -> Iterator[Any]:
    """Do as `map_in_order` on the workers of a cluster."""

    def begin(item: Any) -> tuple[Any, Any]:
        data = pickle.dumps(item, protocol=PROTOCOL)
        return item, submit(client, _call, function, data, folder, *stand_ins)

    calls: deque[tuple[Any, Any]] = deque()
    prepare: Callable[[Any], Any] = partial(_leave_item, folder=folder)
    while True:
        free = IN_FLIGHT * max(1, len(client.nthreads())) - len(calls)
        calls.extend(begin(prepare(item)) for item in islice(items, max(0, free)))
        if not calls:
            return
        item, call = calls.popleft()
        found = _receive(client, call)
        if found is None:  # the worker does not see the file
            prepare = _read
            found = _receive(client, begin(_read(item))[1])
        _remove_item(item)
        yield PickledResult(found).load()


def _map_there(
    client: Any,
    folder: str,
    functions: tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]],
    items: Iterator[Any],
) -> Iterator[PickledResult]:
    """Do as `map_in_two_steps` on the workers of a cluster."""
    first, decide, second = functions

    def begin(item: Any) -> tuple[Any, Any, Any]:
        data = pickle.dumps(item, protocol=PROTOCOL)
        kept = submit(client, _call_first, first, data, folder)
        return item, kept, submit(client, _take_summary, kept, priority=1)

    begun: deque[tuple[Any, Any, Any]] = deque()
    ending: deque[tuple[Any, Any]] = deque()
    prepare: Callable[[Any], Any] = partial(_leave_item, folder=folder)
    while True:
        n_workers = max(1, len(client.nthreads()))
        free = IN_FLIGHT * n_workers - len(begun) - len(ending)
        begun.extend(begin(prepare(item)) for item in islice(items, max(0, free)))
        if begun:
            item, kept, summary = begun.popleft()
            found = _receive(client, summary)
            if found is None:  # the worker does not see the file
                prepare = _read
                item, kept, summary = begin(_read(item))
                found = _receive(client, summary)
            decision = pickle.dumps(decide(pickle.loads(found)), protocol=PROTOCOL)
            call = submit(client, _call_second, second, kept, decision, folder, priority=2)
            ending.append((item, call))
        if ending and (len(ending) > n_workers or not begun):
            item, call = ending.popleft()
            found = _receive(client, call)
            _remove_item(item)  # until now, the first step may be repeated
            yield PickledResult(found)
        elif not begun:
            return


@dataclass(frozen=True)
class _LeftItem:
    """An item in a file that the run has left for workers; a call returns it."""

    path: str

    def __call__(self) -> Any:
        return pickle.loads(Path(self.path).read_bytes())


def _leave_item(item: Any, folder: str) -> Any:
    """Return an item that workers who see the files of the run can read."""
    if callable(item):
        return item
    left = _leave(item, folder)
    return _LeftItem(left) if isinstance(left, str) else item


def _remove_item(item: Any) -> None:
    if isinstance(item, _LeftItem):
        Path(item.path).unlink(missing_ok=True)


def _call_first(
    first: Callable[[Any], tuple[Any, Any]], data: bytes, folder: str
) -> tuple[Any, bytes | None]:
    """Call the first function in a worker, unless that does not see the files of the run."""
    item = _read_there(pickle.loads(data), folder)
    if item is None:
        return None, None
    kept, summary = first(item)
    return kept, pickle.dumps(summary, protocol=PROTOCOL)


def _read_there(item: Any, folder: str) -> Any:
    """Return an item in a worker; None if that does not see the files of the run."""
    try:
        if callable(item):
            Path(folder).stat()
        return _read(item)
    except FileNotFoundError:
        return None


def _take_summary(result: tuple[Any, bytes | None]) -> bytes | None:
    return result[1]


def _call_second(
    second: Callable[[Any, Any], Any], result: tuple[Any, bytes], decision: bytes, folder: str
) -> bytes | str:
    """Call the second function in a worker."""
    return _leave(second(result[0], pickle.loads(decision)), folder)


def _leave(value: Any, folder: str) -> bytes | str:
    """Return the path of a file with what another process is to read, or its pickle."""
    path = Path(folder) / uuid.uuid4().hex  # another one if a call is repeated
    with contextlib.suppress(OSError):  # the folder is not there, or its disk is full
        with path.open("wb") as file:
            pickle.dump(value, file, protocol=PROTOCOL)
        return str(path)
    return pickle.dumps(value, protocol=PROTOCOL)


def _read(item: Any) -> Any:
    return item() if callable(item) else item


@contextlib.contextmanager
def _open_folder() -> Iterator[str]:
    """Yield the path of a temporary folder, and remove those of runs that were killed."""
    for left in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        with contextlib.suppress(OSError):  # gone already
            if time.time() - left.stat().st_mtime > MAX_AGE:
                shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=FOLDER, ignore_cleanup_errors=True) as folder:
        yield folder


def _map_here(
    function: Callable[..., R], items: Iterable[Any], *shared: Any, threads: int
) -> Iterator[R]:
    def call(item: Any) -> R:
        return function(_read(item), *shared)

    if threads == 1:
        yield from map(call, items)
        return
    calls: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            calls.append(pool.submit(call, item))
            if len(calls) > threads:
                yield calls.popleft().result()
        while calls:
            yield calls.popleft().result()


def _call(
    function: Callable[..., Any], data: bytes, folder: str, *shared: Any
) -> bytes | str | None:
    """Call a function in a worker, unless that does not see the files of the run.

    What travels, travels as bytes: Dask would pickle objects again at each station.
    """
    item = _read_there(pickle.loads(data), folder)
    return None if item is None else _leave(function(item, *shared), folder)


def _receive(client: Any, future: Any) -> Any:
    """Return the result of a call, or raise its exception."""
    import distributed

    # What is raised if the connection is lost; the status tells it, below.
    lost = (OSError, ValueError, distributed.CancelledError)
    has_worker_at = time.monotonic()
    while True:
        with delayed_ctrl_c(), contextlib.suppress(TimeoutError, *lost):
            distributed.wait(future, POLL_INTERVAL)
            if future.status == "finished":
                # If its worker dies before the result has arrived, the call is pending again.
                return future.result(timeout=CONNECT_TIMEOUT)
        with delayed_ctrl_c(), contextlib.suppress(*lost):
            if client.nthreads():
                has_worker_at = time.monotonic()
        if future.status == "cancelled":  # one that is "lost" with its worker is made again
            raise lost_scheduler(ADVICE)
        if time.monotonic() - has_worker_at > PATIENCE:
            raise InputError(
                "there is no Dask worker any more that could do the work: start some (with "
                "processing.workers, repeat the command with --only-missing-outputs)"
            )
        if future.status == "error":
            error = future.exception()
            if isinstance(error, distributed.KilledWorker):
                raise InputError(
                    "several workers have died, one after the other, of the same rows: give them "
                    "more memory, or read fewer rows at a time (chunksize in the catalog)"
                ) from error
            raise error
