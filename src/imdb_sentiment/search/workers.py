"""Where trials run: in this process, or one each in the processes of a Dask cluster."""

import contextlib
import logging
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NamedTuple, Protocol, Self

from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage

from imdb_sentiment.errors import InputError

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 10.0  # seconds to find a scheduler


WORKER_LOGGING = Path(__file__).with_name("worker_logging.yml")

# Ctrl-C reaches all processes of a terminal; the run ends its workers itself. Kedro sets up logging
# when it is imported: later, with a trial, it would undo the forwarding.
_AT_START = """
import signal
import kedro.framework.project
signal.signal(signal.SIGINT, signal.SIG_IGN)
"""


class Died:
    """What comes of a call whose process has died."""


class Workers(Protocol):
    """Calls functions, one at a time in each process."""

    def share(self, value: Any) -> Any:
        """Return what to give to `start` as an argument in the place of a large value."""

    def keep(self, storage: BaseStorage) -> BaseStorage:
        """Return a storage that works in each process, and lives where the cluster's centre is."""

    def find_room(self) -> Any:
        """Return a free process, in whatever terms `start` takes it; None if there is none."""

    def start(self, room: Any, key: int, function: Callable[..., Any], *arguments: Any) -> None:
        """Call the function in a free process; `key` names the call."""

    def collect(self, timeout: float) -> dict[int, Any]:
        """Wait for calls to end, `timeout` seconds at most, and return their results by key.

        The result of a call that could not be made is the error.
        """


class _ThisProcess(Workers):
    """Calls functions where it is."""

    def __init__(self) -> None:
        self._results: dict[int, Any] = {}

    def share(self, value: Any) -> Any:
        return value

    def keep(self, storage: BaseStorage) -> BaseStorage:
        return storage

    def find_room(self) -> Any:
        return None if self._results else os.getpid()

    def start(self, room: Any, key: int, function: Callable[..., Any], *arguments: Any) -> None:
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
        ctrl_c: Asked before each wait.

    """

    def __init__(self, client: Any, ctrl_c: "_CtrlC") -> None:
        self._client = client
        self._ctrl_c = ctrl_c
        self._calls: dict[int, tuple[Any, _Room]] = {}

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

    def find_room(self) -> Any:
        self._ctrl_c.raise_if_pressed()
        taken = {room for _, room in self._calls.values()}
        return next(
            (room for room in self._list_rooms(status="running") if room not in taken), None
        )

    def start(self, room: Any, key: int, function: Callable[..., Any], *arguments: Any) -> None:
        future = self._client.submit(
            function, *arguments, workers=[room.address], allow_other_workers=False, pure=False
        )
        self._calls[key] = (future, room)

    def collect(self, timeout: float) -> dict[int, Any]:
        import distributed

        self._ctrl_c.raise_if_pressed()
        if self._calls:
            # What goes wrong with the connection shows below.
            with contextlib.suppress(OSError, ValueError, distributed.CancelledError):
                futures = [future for future, _ in self._calls.values()]
                distributed.wait(futures, timeout, return_when="FIRST_COMPLETED")
        else:
            time.sleep(timeout)
        rooms = self._list_rooms()
        results: dict[int, Any] = {}
        for key, (future, room) in list(self._calls.items()):
            if future.status in ("cancelled", "lost"):
                raise _lost_scheduler()
            if future.status == "error":
                error = future.exception()
                results[key] = Died() if isinstance(error, distributed.KilledWorker) else error
            elif room not in rooms and future.status == "pending":
                results[key] = Died()
            elif future.status == "finished":
                # Its worker may die before the result is here: then it is pending again.
                with contextlib.suppress(TimeoutError):
                    results[key] = future.result(timeout=CONNECT_TIMEOUT)
            if key in results:
                del self._calls[key]
        return results

    def _list_rooms(self, status: str | None = None) -> list["_Room"]:
        try:
            # Not `Client.scheduler_info`, whose cache is at times empty, at times out of date.
            infos = self._client.sync(self._client.scheduler.identity, n_workers=-1)["workers"]
        except (AttributeError, OSError, RuntimeError) as error:
            raise _lost_scheduler() from error
        return [
            _Room(address, info["local_directory"])
            for address, info in infos.items()
            if info["nthreads"] == 1 and status in (None, info["status"])
        ]


class _Room(NamedTuple):
    """A worker; one that was restarted at the same address has another directory."""

    address: str
    directory: str


def _lost_scheduler() -> InputError:
    return InputError(
        "the Dask scheduler is gone, or the connection to it. Finished trials are kept: start the "
        "scheduler again if need be, and the same command goes on from there"
    )


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
        InputError: Dask is not installed, there is no scheduler at that address, or its workers
            have several threads each.

    """
    if workers == 1 and scheduler_address is None:
        yield _ThisProcess()
        return
    distributed = _import_distributed()
    with contextlib.ExitStack() as stack:
        started_here = scheduler_address is None
        if started_here:
            scheduler_address = _start_cluster(workers, stack)
        try:
            client = stack.enter_context(
                distributed.Client(scheduler_address, timeout=CONNECT_TIMEOUT)
            )
        except (OSError, ValueError) as error:
            raise InputError(
                f"there is no Dask scheduler at {scheduler_address}: start one with `dask "
                "scheduler`, or set tuning.scheduler_address to where it is"
            ) from error
        threads = client.nthreads().values()
        if threads and min(threads) > 1:
            raise InputError(
                "the workers of the Dask cluster have several threads each, and Keras can't train "
                "two networks in one process: start them with --nthreads 1"
            )
        if started_here:
            client.forward_logging("imdb_sentiment")
        logger.info("Dask's dashboard: %s", client.dashboard_link)
        yield _DaskWorkers(client, stack.enter_context(_CtrlC()))


class _CtrlC:
    """Keeps Ctrl-C, within its block, from coming in the midst of one of Dask's own waits.

    Dask may answer that with a traceback of its own (distributed.utils.sync, whose `cancel` can
    come before there is anything to cancel). A second Ctrl-C does not wait.
    """

    def __init__(self) -> None:
        self._pressed = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(self, *_: object) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._previous)

    def _press(self, number: int, frame: FrameType | None) -> None:
        if self._pressed:
            raise KeyboardInterrupt
        self._pressed = True

    def raise_if_pressed(self) -> None:
        """Raise the KeyboardInterrupt that was held back."""
        if self._pressed:
            raise KeyboardInterrupt


def _import_distributed() -> ModuleType:
    """Import Dask, which sets the level of its own logger whatever conf/logging.yml says."""
    dask_logger = logging.getLogger("distributed")
    level = dask_logger.level
    try:
        import distributed
    except ImportError as error:
        raise InputError(
            'tuning.workers and tuning.scheduler_address need Dask: pip install -e ".[dask]"'
        ) from error
    dask_logger.setLevel(level)
    return distributed


def _start_cluster(workers: int, stack: contextlib.ExitStack) -> str:
    import dask
    import distributed
    from dask.system import CPU_COUNT

    threads = str(max(1, CPU_COUNT // workers))
    settings = {
        # Else the data would be taken from workers that do nothing at the moment.
        "distributed.scheduler.active-memory-manager.start": False,
        "distributed.nanny.pre-spawn-environ.KEDRO_LOGGING_CONFIG": str(WORKER_LOGGING),
        "distributed.nanny.pre-spawn-environ.DASK_LOGGING__DISTRIBUTED": "critical",
    }
    with dask.config.set(settings):
        cluster = stack.enter_context(
            distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=1,  # of Dask: one trial at a time
                memory_limit=0,  # a limit would pause workers, for good
                preload=_AT_START,
                env={"TF_NUM_INTEROP_THREADS": threads},
                silence_logs=False,  # conf/logging.yml says what Dask may log
            )
        )
    return str(cluster.scheduler_address)


def _identity(value: Any) -> Any:
    return value
