"""Processes that run trials: this one, or the workers of a Dask cluster, one trial each."""

import contextlib
import os
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, RDBStorage

from imdb_sentiment.engine.cluster import (
    CONNECT_TIMEOUT,
    PATIENCE,
    make_lost_scheduler_error,
    open_client,
    share,
    submit,
)
from imdb_sentiment.errors import InputError, install_extra
from imdb_sentiment.interrupts import delayed_ctrl_c, remembered_ctrl_c

ADVICE = (
    "finished trials are kept; restart the scheduler if necessary, and run the same command "
    "again to continue"
)


class WorkerDied:
    """The result of a call whose process has died."""


class Workers:
    """Processes that call functions, each one at a time; this class uses the current process.

    A subclass calls the functions in other processes.
    """

    def __init__(self) -> None:
        self._results: dict[int, Any] = {}

    def share(self, value: Any) -> Any:
        """Return an argument for `start` that stands for a large value, and is sent only once."""
        return value

    def share_storage(self, storage: BaseStorage) -> BaseStorage:
        """Return a storage of studies, or a proxy, that the workers can reach.

        The scheduler of a running cluster holds what is not in a database: its workers may be on
        other machines, without the file of the studies.

        Raises:
            InputError: optuna-integration is not installed, or the scheduler can't open the file.

        """
        return storage

    def find_free_worker(self) -> Any:
        """Return a free worker, to be passed to `start`; None if there is none.

        Raises:
            InputError: The Dask scheduler can't be reached any more, or it has had no workers yet
                but those with several threads.

        """
        return None if self._results else os.getpid()

    def has_any(self) -> bool:
        """Return whether there are workers, free or not."""
        return True

    def start(self, worker: Any, key: int, function: Callable[..., Any], *arguments: Any) -> None:
        """Call a function on a free worker; `key` identifies the call."""
        with remembered_ctrl_c():
            self._results[key] = function(*arguments)

    def collect(self, timeout: float) -> dict[int, Any]:
        """Wait until a call has ended, at most `timeout` seconds.

        Returns:
            The results of all calls that have ended, by key: the value returned, the exception of a
            call that could not be made, or `WorkerDied`.

        Raises:
            InputError: The Dask scheduler can't be reached any more.

        """
        if not self._results:
            time.sleep(timeout)
        results, self._results = self._results, {}
        return results


class _DaskWorkers(Workers):
    """Calls functions on the workers of a Dask cluster.

    Each call is bound to one worker and ends with it. So the study records the death and retries
    the trial; Dask would repeat the call without the study's knowledge.
    """

    def __init__(self, client: Any, *, are_own: bool) -> None:
        self._client = client
        self._are_own = are_own  # started by this run, which starts others in place of dead ones
        self._calls: dict[int, tuple[Any, _Worker]] = {}
        self._has_had_worker = False  # one that can train; it may be restarting

    def share(self, value: Any) -> Any:
        return share(self._client, value)

    def has_any(self) -> bool:
        return self._are_own or bool(self._list_workers())

    def share_storage(self, storage: BaseStorage) -> BaseStorage:
        from sqlalchemy.exc import SQLAlchemyError

        is_database = isinstance(storage, RDBStorage) and not storage.url.startswith("sqlite")
        if self._are_own or is_database:
            return storage
        try:
            from optuna_integration import DaskStorage
        except ImportError as error:
            raise InputError(
                f"tuning.scheduler_address needs the package optuna-integration: "
                f"{install_extra('dask')}"
            ) from error
        try:
            with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
                proxy: BaseStorage = DaskStorage(storage, client=self._client)
        except SQLAlchemyError as error:
            reason = getattr(error, "orig", error)
            raise InputError(
                f"the Dask scheduler can't open the study ({reason}): start the scheduler in the "
                "folder of the project, on the machine of the run, or keep the study in a database "
                "such as PostgreSQL"
            ) from error
        return proxy

    def find_free_worker(self) -> Any:
        busy = {worker for _, worker in self._calls.values()}
        workers = self._list_workers()
        able = {worker: info for worker, info in workers.items() if info["nthreads"] == 1}
        self._has_had_worker |= bool(able)
        if workers and not self._has_had_worker:
            raise InputError(
                "the workers of the Dask cluster have several threads each, and Keras can't train "
                "two networks in one process: start them with --nthreads 1"
            )
        running = (worker for worker, info in able.items() if info["status"] == "running")
        return next((worker for worker in running if worker not in busy), None)

    def start(self, worker: Any, key: int, function: Callable[..., Any], *arguments: Any) -> None:
        options = {"workers": [worker.address], "allow_other_workers": False}
        future = submit(self._client, function, *arguments, **options)
        self._calls[key] = (future, worker)

    def collect(self, timeout: float) -> dict[int, Any]:
        import distributed

        if self._calls:
            # A lost connection is noticed below.
            lost = contextlib.suppress(OSError, ValueError, distributed.CancelledError)
            with delayed_ctrl_c(), lost:
                futures = [future for future, _ in self._calls.values()]
                distributed.wait(futures, timeout, return_when="FIRST_COMPLETED")
        else:
            time.sleep(timeout)
        workers = self._list_workers()
        results: dict[int, Any] = {}
        for key, (future, worker) in list(self._calls.items()):
            if future.status == "cancelled":
                raise make_lost_scheduler_error(ADVICE)
            if future.status == "error":
                error = future.exception()
                killed = isinstance(error, distributed.KilledWorker)
                results[key] = WorkerDied() if killed else error
            elif worker not in workers and future.status in ("pending", "lost"):
                results[key] = WorkerDied()
            elif future.status == "finished":
                # If its worker dies before the result has arrived, the call is pending again.
                with contextlib.suppress(TimeoutError):
                    results[key] = future.result(timeout=CONNECT_TIMEOUT)
            if key in results:
                del self._calls[key]
        return results

    def _list_workers(self) -> dict["_Worker", dict[str, Any]]:
        """Return all workers with what the scheduler knows about them."""
        try:
            # Not `Client.scheduler_info`, whose cache is sometimes empty or out of date.
            with delayed_ctrl_c():
                identity = self._client.sync(
                    self._client.scheduler.identity, n_workers=-1, callback_timeout=PATIENCE
                )
        except (AttributeError, OSError, RuntimeError) as error:
            raise make_lost_scheduler_error(ADVICE) from error
        return {
            _Worker(address, info["local_directory"]): info
            for address, info in identity["workers"].items()
        }


class _Worker(NamedTuple):
    """A Dask worker; one that restarts at the same address has another directory."""

    address: str
    directory: str


@contextlib.contextmanager
def open_workers(workers: int, scheduler_address: str | None) -> Iterator[Workers]:
    """Start workers, or connect to those of a running cluster, until the block ends.

    Args:
        workers: Number of workers on this machine, each with its share of the cores; a single one
            is this process.
        scheduler_address: Address of the scheduler of a running cluster, which is used instead.

    Yields:
        The workers.

    Raises:
        InputError: Dask is not installed, there is no scheduler at that address, or its workers
            have several threads each.

    """
    with open_client(workers, scheduler_address, "tuning", ADVICE) as client:
        if client is None:
            yield Workers()
            return
        found = _DaskWorkers(client, are_own=scheduler_address is None)
        found.find_free_worker()  # refuses workers with several threads
        yield found
