"""Where trials run: in this process, or one each in the processes of a Dask cluster."""

import contextlib
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage

from imdb_sentiment.errors import InputError

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 10.0  # seconds to find a scheduler


class Died:
    """What comes of a call whose process has died."""


class Workers(Protocol):
    """Calls functions, one at a time in each process."""

    def share(self, value: Any) -> Any:
        """Return what to give to `start` as an argument in the place of a large value."""

    def keep(self, storage: BaseStorage) -> BaseStorage:
        """Return a storage that works in each process, and lives where the cluster's centre is."""

    def has_room(self) -> bool:
        """Return whether a process is free."""

    def start(self, key: int, function: Callable[..., Any], *arguments: Any) -> None:
        """Call the function where there is room; `key` names the call."""

    def collect(self, timeout: float) -> dict[int, Any]:
        """Wait for calls to end, `timeout` seconds at most, and return their results by key."""


class _ThisProcess(Workers):
    """Calls functions where it is."""

    def __init__(self) -> None:
        self._results: dict[int, Any] = {}

    def share(self, value: Any) -> Any:
        return value

    def keep(self, storage: BaseStorage) -> BaseStorage:
        return storage

    def has_room(self) -> bool:
        return not self._results

    def start(self, key: int, function: Callable[..., Any], *arguments: Any) -> None:
        self._results[key] = function(*arguments)

    def collect(self, timeout: float) -> dict[int, Any]:
        if not self._results:
            time.sleep(timeout)
        results, self._results = self._results, {}
        return results


class _DaskWorkers(Workers):
    """Calls functions on the workers of a Dask cluster.

    Each call is bound to one worker. When that worker is gone, so is the call: unlike Dask's own
    retries, which would go unseen, this leaves it to the study to record the death.

    Args:
        client: Of the cluster.

    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._calls: dict[int, tuple[Any, str, str]] = {}  # future, worker's address and identity

    def share(self, value: Any) -> Any:
        import dask

        # A task rather than scattered data, which would be lost with the workers that hold them.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
            return self._client.submit(_identity, value, pure=False)

    def keep(self, storage: BaseStorage) -> BaseStorage:
        from optuna_integration import DaskStorage

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            kept: BaseStorage = DaskStorage(storage, client=self._client)
        return kept

    def has_room(self) -> bool:
        return bool(self._free_workers())

    def start(self, key: int, function: Callable[..., Any], *arguments: Any) -> None:
        address, identity = next(iter(self._free_workers().items()))
        future = self._client.submit(
            function, *arguments, workers=[address], allow_other_workers=False, pure=False
        )
        self._calls[key] = (future, address, identity)

    def collect(self, timeout: float) -> dict[int, Any]:
        import distributed

        if self._calls:
            with contextlib.suppress(distributed.TimeoutError, distributed.CancelledError):
                futures = [future for future, _, _ in self._calls.values()]
                distributed.wait(futures, timeout, return_when="FIRST_COMPLETED")
        else:
            time.sleep(timeout)
        workers = self._workers()
        results: dict[int, Any] = {}
        for key, (future, address, identity) in list(self._calls.items()):
            if future.status == "finished":
                results[key] = future.result()
            elif future.status == "error":
                error = future.exception()
                results[key] = Died() if isinstance(error, distributed.KilledWorker) else error
            elif future.status != "pending" or workers.get(address) != identity:
                future.cancel()
                results[key] = Died()
            else:
                continue
            del self._calls[key]
        return results

    def _free_workers(self) -> dict[str, str]:
        busy = {address for _, address, _ in self._calls.values()}
        return {a: identity for a, identity in self._workers().items() if a not in busy}

    def _workers(self) -> dict[str, str]:
        """Return the identity of the worker at each address; a restarted one has a new identity."""
        try:
            infos = self._client.scheduler_info(n_workers=-1)["workers"]
        except (OSError, RuntimeError, KeyError) as error:
            raise InputError(
                "the Dask scheduler is gone. Finished trials are kept: start the scheduler again, "
                "and the same command goes on from there"
            ) from error
        if any(info["nthreads"] > 1 for info in infos.values()):
            raise InputError(
                "a worker of the Dask cluster has more than one thread, and Keras can't train two "
                "networks in one process: start the workers with --nthreads 1"
            )
        return {address: info["id"] for address, info in infos.items()}


@contextlib.contextmanager
def open_workers(workers: int, scheduler_address: str | None) -> Iterator[Workers]:
    """Start workers, or connect to those of a running cluster, for as long as the block takes.

    Args:
        workers: How many to start on this machine, each with its share of the cores; one is this
            process.
        scheduler_address: Of a running cluster that is to be used instead.

    Yields:
        The workers.

    Raises:
        InputError: Dask is not installed, or there is no scheduler at that address.

    """
    if workers == 1 and scheduler_address is None:
        yield _ThisProcess()
        return
    try:
        import distributed
    except ImportError as error:
        raise InputError(
            'tuning.workers and tuning.scheduler_address need Dask: pip install -e ".[dask]"'
        ) from error
    with contextlib.ExitStack() as stack:
        try:
            client = stack.enter_context(
                distributed.Client(
                    scheduler_address or _start_cluster(workers, stack), timeout=CONNECT_TIMEOUT
                )
            )
        except OSError as error:
            raise InputError(
                f"there is no Dask scheduler at {scheduler_address}: start one with `dask "
                "scheduler`, or set tuning.scheduler_address to where it is"
            ) from error
        logger.info("Dask's dashboard: %s", client.dashboard_link)
        yield _DaskWorkers(client)


def _start_cluster(workers: int, stack: contextlib.ExitStack) -> Any:
    import distributed
    from dask.system import CPU_COUNT

    threads = str(max(1, CPU_COUNT // workers))
    return stack.enter_context(
        distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,  # of Dask: one trial at a time
            env={"TF_NUM_INTRAOP_THREADS": threads, "TF_NUM_INTEROP_THREADS": threads},
            silence_logs=logging.CRITICAL,  # a worker's death is ours to report
        )
    )


def _identity(value: Any) -> Any:
    return value
