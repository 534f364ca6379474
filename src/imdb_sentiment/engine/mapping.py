"""A function of the items of a stream, called in this process or on the workers of a cluster."""

import contextlib
import pickle
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import Any, TypeVar

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

PROTOCOL = pickle.HIGHEST_PROTOCOL
PATIENCE = 120.0  # seconds that a call waits while there is no worker at all
POLL_INTERVAL = 1.0  # seconds after which Ctrl-C takes effect
# Items per worker that are being worked on or wait, so that no worker waits for the next one.
IN_FLIGHT = 2
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
        items: The items, none of them None, which this process reads.
        shared: Further arguments, which are sent to each worker once.
        workers: Number of workers on this machine; a single one is this process, without Dask.
        scheduler_address: Address of the scheduler of a running cluster, which is used instead.
        threads: Number of threads in which this process, if it is the only one, calls the function.

    Raises:
        InputError: Dask is not installed, the scheduler can't be reached, several workers have died
            of one item, or there has been no worker for two minutes.

    """
    remaining = iter(items)
    first = next(remaining, None)
    if first is None:  # no worker is started for nothing
        return
    remaining = chain([first], remaining)
    with open_client(workers, scheduler_address, "processing", ADVICE) as client:
        if client is None:
            yield from _map_here(function, remaining, *shared, threads=threads)
            return
        stand_ins = [share(client, value) for value in shared]
        calls: deque[Any] = deque()
        while True:
            free = IN_FLIGHT * max(1, len(client.nthreads())) - len(calls)
            for item in islice(remaining, max(0, free)):
                data = pickle.dumps(item, protocol=PROTOCOL)
                calls.append(submit(client, _call, function, data, *stand_ins))
            if not calls:
                return
            yield pickle.loads(_receive(client, calls.popleft()))


def _map_here(
    function: Callable[..., R], items: Iterable[Any], *shared: Any, threads: int
) -> Iterator[R]:
    if threads == 1:
        for item in items:
            yield function(item, *shared)
        return
    calls: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            calls.append(pool.submit(function, item, *shared))
            if len(calls) > threads:
                yield calls.popleft().result()
        while calls:
            yield calls.popleft().result()


def _call(function: Callable[..., Any], data: bytes, *shared: Any) -> bytes:
    """Call a function in a worker.

    Items and results travel as bytes: Dask would pickle objects again at each station.
    """
    return pickle.dumps(function(pickle.loads(data), *shared), protocol=PROTOCOL)


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
        if future.status in ("cancelled", "lost"):
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
