"""Calls of a function for each item of a stream, in this process or on the workers of a cluster."""

import contextlib
import logging
import math
import pickle
import shutil
import tempfile
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from threading import Event
from typing import IO, Any, NamedTuple, Self, TypeVar

from imdb_sentiment.engine.cluster import (
    CONNECT_TIMEOUT,
    PATIENCE,
    count_workers,
    make_lost_scheduler_error,
    open_client,
    share,
    submit,
)
from imdb_sentiment.errors import InputError
from imdb_sentiment.interrupts import delayed_ctrl_c

logger = logging.getLogger(__name__)

R = TypeVar("R")
Kept = TypeVar("Kept")
Summary = TypeVar("Summary")
Decision = TypeVar("Decision")

PROTOCOL = pickle.HIGHEST_PROTOCOL
POLL_INTERVAL = 1.0  # seconds between two looks at a call, and at the number of workers
# Items per worker that are being processed or are waiting, so that no worker is ever idle.
IN_FLIGHT = 4
FOLDER = "imdb_sentiment-results-of-workers-"  # prefix of the names of temporary folders
COPY_BUFFER = 1 << 17  # bytes, few enough for the processor's cache
RECEIVER = "imdb_sentiment-receiver"  # prefix of the names of the threads that receive results
MAX_AGE = 24 * 60 * 60  # seconds after which such a folder counts as left by a killed run
RESTART = "restart the scheduler if necessary, and "
ADVICE = f"{RESTART}repeat the command"
ADVICE_IN_STEPS = f"{ADVICE} with --only-missing-outputs"


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
        items: The items, none of them None. An item may be a function without arguments that reads
            and returns the item itself: the worker calls it, or this process, if the worker can't
            see its files.
        shared: Further arguments, which are sent to each worker once.
        workers: Number of workers on this machine; a single one is this process, without Dask.
        scheduler_address: Address of the scheduler of a running cluster, which is used instead.
        threads: Number of threads in which this process, if it is the only one, calls the function.

    Raises:
        InputError: Dask is not installed, the scheduler can't be reached, several workers have died
            while they processed one item, or there has been no worker for two minutes.

    """
    remaining = _begin(items)
    if remaining is None:  # no worker is started for nothing
        return
    with _open_workers(workers, scheduler_address, ADVICE) as (client, folder):
        if client is None:
            yield from _map_here(function, remaining, *shared, threads=threads)
            return
        stand_ins = [share(client, value) for value in shared]

        def begin(data: bytes) -> tuple[Any, Any]:
            return None, submit(client, _call, function, data, folder, *stand_ins)

        with _Receiver(client, ADVICE) as receiver:
            calls = _Calls(client, folder, receiver, begin)
            while calls.fill(remaining):
                yield PickledResult(calls.take().found).load()


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
    """Yield results that depend on earlier items, although most of the work can run in parallel.

    On a worker, `first` turns an item into a large intermediate result, which stays there, and a
    summary. In this process, `decide` turns the summaries, in the order of the items, into
    decisions that may depend on earlier items. On the worker again, `second` combines the
    intermediate result and the decision. If the workers share a file system with this process, no
    large data pass through it: workers write their results to files in a temporary folder
    (`tempfile.gettempdir`), from which the caller reads them.

    Args:
        first: Function from an item to an intermediate result and its summary.
        decide: Function from a summary to a decision.
        second: Function from an intermediate result and its decision to the result.
        items: The items; see `map_in_order`.
        workers: Number of workers on this machine; see `map_in_order`.
        scheduler_address: Address of a running scheduler; see `map_in_order`.

    Yields:
        The results in the order of the items, from workers each as a `PickledResult`, which has to
        be used before the next one is taken.

    Raises:
        InputError: One of the reasons of `map_in_order`.

    """
    remaining = _begin(items)
    if remaining is None:  # no worker is started for nothing
        return
    with _open_workers(workers, scheduler_address, ADVICE_IN_STEPS) as (client, folder):
        if client is None:
            for item in remaining:
                yield _call_both(first, decide, second, item)
            return
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


class _Call(NamedTuple):
    """A call of the first, or only, function on a worker.

    Attributes:
        item: The item as the worker received it.
        kept: Dask's future of what the worker keeps, if there is a second function.
        found: The result of the call; until it is taken, its future, from `_Receiver`.

    """

    item: Any
    kept: Any
    found: Any


class _Receiver:
    """Receives results in a thread of its own, so that they are here when they are needed.

    Results are received one after the other, in the order in which they have been asked for. While
    one travels, this process decides on another, so that neither waits for the other.

    Args:
        client: Dask's client.
        advice: Advice in case the scheduler is gone, for messages.

    """

    def __init__(self, client: Any, advice: str) -> None:
        self._client = client
        self._advice = advice
        self._has_ended = Event()
        self._pool = ThreadPoolExecutor(1, RECEIVER)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._has_ended.set()
        self._pool.shutdown(cancel_futures=True)  # before the client is closed

    def ask_for(self, future: Any) -> Future[Any]:
        """Return a future of a call's result, or of its exception; `future` is Dask's."""
        return self._pool.submit(
            _receive, self._client, future, self._advice, self._has_ended.is_set
        )

    def receive(self, future: Any) -> Any:
        """Return a call's result before those that have been asked for; `future` is Dask's."""
        return _receive(self._client, future, self._advice)


def _wait_for(result: Future[Any]) -> Any:
    """Return a result, or raise its exception; Ctrl-C takes effect, on Windows too."""
    while not result.done():
        wait([result], POLL_INTERVAL)
    return result.result()


class _Calls:
    """The calls of the first, or only, function on workers, in the order of the items.

    Args:
        client: Dask's client.
        folder: Path of the folder from `_open_folder`.
        receiver: Receiver of the results of the calls.
        begin: Function that starts the call for a pickled item. It returns the future of what the
            worker keeps, and that of the result, which is None if the worker can't read the files
            of the run.

    """

    def __init__(
        self,
        client: Any,
        folder: str,
        receiver: _Receiver,
        begin: Callable[[bytes], tuple[Any, Any]],
    ) -> None:
        self._client = client
        self._receiver = receiver
        self._begin = begin
        self._prepare: Callable[[Any], Any] = partial(_leave_item, folder=folder)
        self._begun: deque[_Call] = deque()
        self._n_workers = 1
        self._counted_at = -math.inf

    def __len__(self) -> int:
        return len(self._begun)

    @property
    def n_workers(self) -> int:
        """Number of workers, counted at most once a second; at least 1, since some may come."""
        if time.monotonic() - self._counted_at > POLL_INTERVAL:
            self._n_workers = max(1, count_workers(self._client))
            self._counted_at = time.monotonic()
        return self._n_workers

    def fill(self, items: Iterator[Any], n_others: int = 0) -> int:
        """Begin as many calls as the workers can take; return the number of calls under way.

        Args:
            items: The items, of which only as many as needed are taken.
            n_others: Number of other calls under way.

        """
        free = IN_FLIGHT * self.n_workers - len(self) - n_others
        for item in islice(items, max(0, free)):
            self._begun.append(self._call(self._prepare(item)))
        return len(self)

    def take(self, *, keep_item: bool = False) -> _Call:
        """Wait for the first of the calls; if it may be repeated later, its item must be kept."""
        item, kept, asked_for = self._begun.popleft()
        found = _wait_for(asked_for)
        if found is None:
            item, kept, again = self.call_again(item)
            found = self._receiver.receive(again)
        if not keep_item:
            _remove_item(item)
        return _Call(item, kept, found)

    def call_again(self, item: Any) -> tuple[Any, Any, Any]:
        """Repeat a call whose worker could not read the files; others may be unable to, as well.

        Args:
            item: The item, which this process reads now, like all later ones.

        Returns:
            The item as a worker receives it, and the two futures from `begin`.

        """
        if self._prepare is not _read:
            logger.info(
                "A worker can't read the files of this run, so this process reads the table from "
                "here on. That is slower: see TMPDIR in docs/scaling.md"
            )
        self._prepare = _read
        read = _read(item)
        _remove_item(item)
        return read, *self._begin(pickle.dumps(read, protocol=PROTOCOL))

    def _call(self, item: Any) -> _Call:
        kept, found = self._begin(pickle.dumps(item, protocol=PROTOCOL))
        return _Call(item, kept, self._receiver.ask_for(found))


def _map_there(
    client: Any,
    folder: str,
    functions: tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]],
    items: Iterator[Any],
) -> Iterator[PickledResult]:
    """Do the work of `map_in_two_steps` on the workers of a cluster."""
    first, decide, second = functions

    def begin(data: bytes) -> tuple[Any, Any]:
        kept = submit(client, _call_first, first, data, folder)
        return kept, submit(client, _take_summary, kept, priority=1)

    def end(kept: Any, decision: bytes) -> Any:
        return submit(client, _call_second, second, kept, decision, folder, priority=2)

    with (
        _Receiver(client, ADVICE_IN_STEPS) as summaries,
        _Receiver(client, ADVICE_IN_STEPS) as results,
    ):
        calls = _Calls(client, folder, summaries, begin)
        ending: deque[tuple[Any, bytes, Future[Any]]] = deque()
        while calls.fill(items, len(ending)) or ending:
            if calls:
                call = calls.take(keep_item=True)
                decision = pickle.dumps(decide(pickle.loads(call.found)), protocol=PROTOCOL)
                ending.append((call.item, decision, results.ask_for(end(call.kept, decision))))
            if ending and (len(ending) > calls.n_workers or not calls):
                item, decision, asked_for = ending.popleft()
                found = _wait_for(asked_for)
                if found is None:  # the worker has died that could read the files
                    item, kept, _ = calls.call_again(item)
                    found = results.receive(end(kept, decision))
                _remove_item(item)  # until now, the first call may have been repeated
                yield PickledResult(found)


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
    """Call the first function in a worker, unless the worker can't read the files of the run."""
    item = _read_there(pickle.loads(data), folder)
    if item is None:
        return None, None
    kept, summary = first(item)
    return kept, pickle.dumps(summary, protocol=PROTOCOL)


def _read_there(item: Any, folder: str) -> Any:
    """Return an item in a worker; None if the worker can't read the files of the run."""
    if not callable(item):
        return item
    try:
        Path(folder).stat()
        return item()
    except OSError:  # also if the file itself can't be read: the run finds out why
        return None


def _take_summary(result: tuple[Any, bytes | None]) -> bytes | None:
    return result[1]


def _call_second(
    second: Callable[[Any, Any], Any],
    result: tuple[Any, bytes | None],
    decision: bytes,
    folder: str,
) -> bytes | str | None:
    """Call the second function in a worker, unless the worker of the first could not read."""
    if result[1] is None:
        return None
    return _leave(second(result[0], pickle.loads(decision)), folder)


def _leave(value: Any, folder: str) -> bytes | str:
    """Pickle a value to a file and return the path; return the pickle if that is impossible."""
    path = Path(folder) / uuid.uuid4().hex  # another one if a call is repeated
    try:
        with path.open("wb") as file:
            pickle.dump(value, file, protocol=PROTOCOL)
    except OSError:  # the folder is not there, or its disk is full
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        return pickle.dumps(value, protocol=PROTOCOL)
    return str(path)


def _read(item: Any) -> Any:
    return item() if callable(item) else item


@contextlib.contextmanager
def _open_workers(
    workers: int, scheduler_address: str | None, advice: str
) -> Iterator[tuple[Any, str]]:
    """Yield Dask's client, or None without workers, and the path of the folder of their files."""
    with contextlib.ExitStack() as stack:
        folder = ""
        if workers > 1 or scheduler_address is not None:
            # First, so that it is removed when the workers of this machine have ended.
            folder = stack.enter_context(_open_folder())
        yield (
            stack.enter_context(open_client(workers, scheduler_address, "processing", advice)),
            folder,
        )


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
    read = map(_read, items)
    if threads == 1:
        yield from (function(item, *shared) for item in read)
        return
    calls: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in read:
            calls.append(pool.submit(function, item, *shared))
            if len(calls) > threads:
                yield calls.popleft().result()
        while calls:
            yield calls.popleft().result()


def _call(
    function: Callable[..., Any], data: bytes, folder: str, *shared: Any
) -> bytes | str | None:
    """Call a function in a worker; return None if the worker can't read the files of the run.

    Arguments and results are sent as bytes, since Dask would pickle objects again at each hop.
    """
    item = _read_there(pickle.loads(data), folder)
    return None if item is None else _leave(function(item, *shared), folder)


def _receive(
    client: Any, future: Any, advice: str, has_ended: Callable[[], bool] = lambda: False
) -> Any:
    import distributed

    # Errors that a lost connection may raise; the status, which is checked below, tells for sure.
    lost = (OSError, ValueError, distributed.CancelledError)
    has_worker_at = time.monotonic()
    timeout = CONNECT_TIMEOUT
    while True:
        with delayed_ctrl_c(), client.as_current(), contextlib.suppress(TimeoutError, *lost):
            distributed.wait(future, POLL_INTERVAL)
            if future.status == "finished":
                # If its worker dies before the result has arrived, the call is pending again; if
                # the network is slow, there is more time at the next attempt.
                now, timeout = timeout, min(2 * timeout, PATIENCE)
                return future.result(timeout=now)
        if has_ended():  # nobody needs the result any more
            return None
        if future.status == "cancelled":  # one that is "lost" with its worker is made again
            raise make_lost_scheduler_error(advice)
        with delayed_ctrl_c(), contextlib.suppress(*lost):
            if count_workers(client):
                has_worker_at = time.monotonic()
        if time.monotonic() - has_worker_at > PATIENCE:
            raise InputError(
                f"no Dask worker has been available for {PATIENCE / 60:g} minutes: start workers, "
                f"unless processing.workers starts them, and {advice.removeprefix(RESTART)}"
            )
        if future.status == "error":
            error = future.exception()
            if isinstance(error, distributed.KilledWorker):
                raise InputError(
                    "several workers have died while processing the same rows: give them more "
                    "memory, or read fewer rows at a time (chunksize in conf/local/globals.yml)"
                ) from error
            raise error
