"""Where trials run: in this process, or one each in the processes of a Dask cluster."""

import contextlib
import logging
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, Protocol

from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage

from imdb_sentiment.errors import InputError

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 10.0  # seconds to find a scheduler


WORKER_LOGGING = Path(__file__).with_name("worker_logging.yml")

# Kedro sets up logging when it is imported: later, with a trial, it would undo the forwarding.
_AT_START = "import kedro.framework.project"


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

    """

    def __init__(self, client: Any) -> None:
        self._client = client
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

        if self._calls:
            # What goes wrong with the connection shows below.
            closed = contextlib.suppress(OSError, ValueError, distributed.CancelledError)
            with _ctrl_c_held_back(), closed:
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
            with _ctrl_c_held_back():
                identity = self._client.sync(self._client.scheduler.identity, n_workers=-1)
        except (AttributeError, OSError, RuntimeError) as error:
            raise _lost_scheduler() from error
        return [
            _Room(address, info["local_directory"])
            for address, info in identity["workers"].items()
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
    _import_distributed()
    stack = contextlib.ExitStack()
    try:
        with _ctrl_c_held_back():
            client = _connect(workers, scheduler_address, stack)
        logger.info("Dask's dashboard: %s", client.dashboard_link)
        try:
            yield _DaskWorkers(client)
        except InputError:
            raise
        except Exception as error:
            # What a storage on the scheduler raises when that is gone may be anything.
            if client.status != "running" or type(error).__module__.startswith("distributed."):
                raise _lost_scheduler() from error
            raise
    finally:
        with _ctrl_c_held_back():
            stack.close()


def _connect(workers: int, scheduler_address: str | None, stack: contextlib.ExitStack) -> Any:
    """Return a client of a cluster, which is started if there is none."""
    import distributed

    address = scheduler_address or _start_cluster(workers, stack)
    try:
        client = stack.enter_context(distributed.Client(address, timeout=CONNECT_TIMEOUT))
    except (OSError, ValueError) as error:
        raise InputError(
            f"there is no Dask scheduler at {address}: start one with `dask scheduler`, or set "
            "tuning.scheduler_address to where it is"
        ) from error
    threads = client.nthreads().values()
    if threads and min(threads) > 1:
        raise InputError(
            "the workers of the Dask cluster have several threads each, and Keras can't train two "
            "networks in one process: start them with --nthreads 1"
        )
    if scheduler_address is None:
        client.forward_logging("imdb_sentiment")
    return client


@contextlib.contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Keep Ctrl-C until the block ends, and raise it then; a second one does not wait.

    Dask's own waits may answer it with a traceback (distributed.utils.sync, whose `cancel` can come
    before there is anything to cancel).
    """
    usual = signal.default_int_handler
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not usual:  # somebody else sees to it
        yield
        return
    pressed = False

    def press(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    signal.signal(signal.SIGINT, press)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if pressed:
        raise KeyboardInterrupt


def _import_distributed() -> None:
    """Import Dask, which sets the levels of its own loggers whatever conf/logging.yml says."""
    before = {name: logging.getLogger(name).level for name in _list_dask_loggers()}
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise InputError(
            'tuning.workers and tuning.scheduler_address need Dask: pip install -e ".[dask]"'
        ) from error
    for name in _list_dask_loggers():
        logging.getLogger(name).setLevel(before.get(name, logging.NOTSET))


def _list_dask_loggers() -> list[str]:
    return [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]


def _start_cluster(workers: int, stack: contextlib.ExitStack) -> str:
    import dask
    import distributed
    from dask.system import CPU_COUNT

    threads = str(max(1, CPU_COUNT // workers))
    # From the birth of a worker to its end, and of one that takes a dead one's place.
    stack.enter_context(
        _environment(KEDRO_LOGGING_CONFIG=str(WORKER_LOGGING), DASK_LOGGING__DISTRIBUTED="critical")
    )
    # Else the data would be taken from workers that do nothing at the moment.
    settings = {"distributed.scheduler.active-memory-manager.start": False}
    with dask.config.set(settings), _ctrl_c_blocked(), warnings.catch_warnings():
        # The log says where the dashboard is, which another run may have driven from its place.
        warnings.filterwarnings("ignore", r"Port \d+ is already in use", UserWarning)
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


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Set environment variables for as long as the block takes, in which Dask sets some too."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextlib.contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """Keep Ctrl-C from processes and threads that are started in the block, for good.

    It reaches all processes of a terminal, and the run ends its workers itself.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # with the first process, it would let Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _identity(value: Any) -> Any:
    return value
