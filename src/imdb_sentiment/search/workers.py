"""Where trials run: in this process, or on the workers of a Dask cluster, one trial each."""

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
from typing import Any, NamedTuple

from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage

from imdb_sentiment.errors import InputError

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 10.0  # seconds to connect to a scheduler, or to receive a result

PACKAGE = __name__.partition(".")[0]
WORKER_LOGGING = Path(__file__).with_name("worker_logging.yml")

# Kedro sets up logging when it is imported. A worker imports it at its start: with the first trial,
# it would undo the forwarding of the log.
_WORKER_PRELOAD = "import kedro.framework.project"

_INSTALL_DASK = 'pip install -e ".[dask]"'


class WorkerDied:
    """The result of a call whose process has died."""


class Workers:
    """Processes that call functions, one at a time each; this class uses the current process.

    A subclass calls the functions in other processes.
    """

    def __init__(self) -> None:
        self._results: dict[int, Any] = {}

    def share(self, value: Any) -> Any:
        """Return an argument for `start` that stands for a large value, and is sent only once."""
        return value

    def share_storage(self, storage: BaseStorage) -> BaseStorage:
        """Return a proxy of a storage that works in every process; the scheduler holds the storage.

        Raises:
            InputError: optuna-integration is not installed.

        """
        return storage

    def find_free_worker(self) -> Any:
        """Return a free worker, to be passed to `start`; None if there is none."""
        return None if self._results else os.getpid()

    def start(self, worker: Any, key: int, function: Callable[..., Any], *arguments: Any) -> None:
        """Call a function on a free worker; `key` identifies the call."""
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

    def __init__(self, client: Any) -> None:
        self._client = client
        self._calls: dict[int, tuple[Any, _Worker]] = {}

    def share(self, value: Any) -> Any:
        import dask

        # A task instead of scattered data, which would be lost with the workers that hold it.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
            return self._client.submit(_identity, value, pure=False)

    def share_storage(self, storage: BaseStorage) -> BaseStorage:
        try:
            from optuna_integration import DaskStorage
        except ImportError as error:
            raise InputError(
                f"tuning.dask_storage needs the package optuna-integration: {_INSTALL_DASK}"
            ) from error
        with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
            proxy: BaseStorage = DaskStorage(storage, client=self._client)
        return proxy

    def find_free_worker(self) -> Any:
        busy = {worker for _, worker in self._calls.values()}
        running = self._list_workers(status="running")
        return next((worker for worker in running if worker not in busy), None)

    def start(self, worker: Any, key: int, function: Callable[..., Any], *arguments: Any) -> None:
        future = self._client.submit(
            function, *arguments, workers=[worker.address], allow_other_workers=False, pure=False
        )
        self._calls[key] = (future, worker)

    def collect(self, timeout: float) -> dict[int, Any]:
        import distributed

        if self._calls:
            # A lost connection is noticed below.
            lost = contextlib.suppress(OSError, ValueError, distributed.CancelledError)
            with _delayed_ctrl_c(), lost:
                futures = [future for future, _ in self._calls.values()]
                distributed.wait(futures, timeout, return_when="FIRST_COMPLETED")
        else:
            time.sleep(timeout)
        workers = self._list_workers()
        results: dict[int, Any] = {}
        for key, (future, worker) in list(self._calls.items()):
            if future.status in ("cancelled", "lost"):
                raise _lost_scheduler()
            if future.status == "error":
                error = future.exception()
                killed = isinstance(error, distributed.KilledWorker)
                results[key] = WorkerDied() if killed else error
            elif worker not in workers and future.status == "pending":
                results[key] = WorkerDied()
            elif future.status == "finished":
                # If its worker dies before the result has arrived, the call is pending again.
                with contextlib.suppress(TimeoutError):
                    results[key] = future.result(timeout=CONNECT_TIMEOUT)
            if key in results:
                del self._calls[key]
        return results

    def _list_workers(self, status: str | None = None) -> list["_Worker"]:
        try:
            # Not `Client.scheduler_info`, whose cache is sometimes empty or out of date.
            with _delayed_ctrl_c():
                identity = self._client.sync(self._client.scheduler.identity, n_workers=-1)
        except (AttributeError, OSError, RuntimeError) as error:
            raise _lost_scheduler() from error
        return [
            _Worker(address, info["local_directory"])
            for address, info in identity["workers"].items()
            if info["nthreads"] == 1 and status in (None, info["status"])
        ]


class _Worker(NamedTuple):
    """A Dask worker; one that restarts at the same address has another directory."""

    address: str
    directory: str


def _lost_scheduler() -> InputError:
    return InputError(
        "the Dask scheduler is gone, or the connection to it. Finished trials are kept: restart "
        "the scheduler if necessary, and the same command continues from there"
    )


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
    if workers == 1 and scheduler_address is None:
        yield Workers()
        return
    _import_distributed()
    stack = contextlib.ExitStack()
    try:
        with _delayed_ctrl_c():
            client = _connect(workers, scheduler_address, stack)
        logger.info("Dask's dashboard: %s", client.dashboard_link)
        try:
            yield _DaskWorkers(client)
        except InputError:
            raise
        except Exception as error:
            # A storage that the scheduler held may raise anything when the scheduler is gone.
            if client.status != "running" or type(error).__module__.startswith("distributed."):
                raise _lost_scheduler() from error
            raise
    finally:
        with _delayed_ctrl_c():
            stack.close()


def _connect(workers: int, scheduler_address: str | None, stack: contextlib.ExitStack) -> Any:
    """Return a client of the cluster at that address, or of a new one on this machine."""
    import distributed

    address = scheduler_address or _start_cluster(workers, stack)
    try:
        client = stack.enter_context(distributed.Client(address, timeout=CONNECT_TIMEOUT))
    except (OSError, ValueError) as error:
        raise InputError(
            f"there is no Dask scheduler at {address}: start one with `dask scheduler`, or set "
            "tuning.scheduler_address to its address"
        ) from error
    threads = client.nthreads().values()
    if threads and min(threads) > 1:
        raise InputError(
            "the workers of the Dask cluster have several threads each, and Keras can't train two "
            "networks in one process: start them with --nthreads 1"
        )
    if scheduler_address is None:
        client.forward_logging(PACKAGE, logging.getLogger(PACKAGE).getEffectiveLevel())
    return client


@contextlib.contextmanager
def _delayed_ctrl_c() -> Iterator[None]:
    """Delay Ctrl-C until the block ends; a second Ctrl-C takes effect immediately.

    While Dask waits, Ctrl-C may end in a traceback: `distributed.utils.sync` can try to cancel what
    has not begun.
    """
    usual = signal.default_int_handler
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not usual:  # somebody else handles it
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
    """Import Dask without letting it override the log levels of conf/logging.yml."""
    before = {name: logging.getLogger(name).level for name in _list_dask_loggers()}
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"tuning.workers and tuning.scheduler_address need Dask: {_INSTALL_DASK}"
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
    # Until the cluster ends, since it may start another worker in place of a dead one.
    stack.enter_context(
        _environment(KEDRO_LOGGING_CONFIG=str(WORKER_LOGGING), DASK_LOGGING__DISTRIBUTED="critical")
    )
    # Otherwise Dask would remove the shared data from idle workers.
    settings = {"distributed.scheduler.active-memory-manager.start": False}
    with dask.config.set(settings), _blocked_ctrl_c(), warnings.catch_warnings():
        # The log has the address of the dashboard, which differs if another run uses its port.
        warnings.filterwarnings("ignore", r"Port \d+ is already in use", UserWarning)
        cluster = stack.enter_context(
            distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=1,  # Dask's threads: one trial at a time
                memory_limit=0,  # a limit would pause workers forever
                dashboard_address="127.0.0.1:8787",  # it asks for no password
                preload=_WORKER_PRELOAD,
                env={"TF_NUM_INTEROP_THREADS": threads},
                silence_logs=False,  # conf/logging.yml has the level of Dask's log
            )
        )
    return str(cluster.scheduler_address)


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Set environment variables, and undo that and what Dask sets when the block ends."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextlib.contextmanager
def _blocked_ctrl_c() -> Iterator[None]:
    """Let processes and threads that are started in the block ignore Ctrl-C.

    A terminal sends it to all its processes, and the run ends its workers itself.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # started with the first process, it would unblock Ctrl-C
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _identity(value: Any) -> Any:
    return value
