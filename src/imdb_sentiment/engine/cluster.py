"""Opening a cluster of Dask: processes on this machine, or those of a running scheduler."""

import asyncio
import contextlib
import logging
import multiprocessing
import os
import pkgutil
import signal
import sys
import warnings
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

from imdb_sentiment.engine.package_digest import PACKAGE_DIGEST
from imdb_sentiment.errors import InputError, install_extra
from imdb_sentiment.interrupts import delayed_ctrl_c

logger = logging.getLogger(__name__)

PACKAGE = __name__.partition(".")[0]
CONNECT_TIMEOUT = 10.0  # seconds to connect to a scheduler, or to receive a result
PATIENCE = 120.0  # seconds to wait while there is no worker at all, or the scheduler is silent
START_ATTEMPTS = 3
ALLOWED_FAILURES = 10  # number of workers that may die before a call fails

WORKER_LOGGING = Path(__file__).with_name("worker_logging.yml")

# Kedro sets up logging when it is imported. A worker imports it at its start: an import by the
# first call would undo the forwarding of the log.
_WORKER_PRELOAD = "import kedro.framework.project"
# Packages that workers need, imported once by the process that they are forked from, which halves
# the processor time. This package is not among them: a project may have its own copy of it.
_FORKED = ["distributed", "kedro.framework.cli", "kedro.framework.project", "pandas", "tokenizers"]


@contextlib.contextmanager
def open_client(
    workers: int, scheduler_address: str | None, group: str, advice: str
) -> Iterator[Any]:
    """Start workers, or connect to those of a running cluster, until the block ends.

    Args:
        workers: Number of workers on this machine, each with its share of the cores; a single one
            is this process.
        scheduler_address: Address of the scheduler of a running cluster, which is used instead.
        group: The parameters that these two belong to, for messages.
        advice: Advice in case the connection to the scheduler is lost, for messages.

    Yields:
        Dask's client; None if this process does all the work, without Dask.

    Raises:
        InputError: Dask is not installed, there is no scheduler at that address, its workers have
            other code, the connection to it was lost, or workers die while they start.

    """
    if workers == 1 and scheduler_address is None:
        yield None
        return
    _import_distributed(group)
    stack = contextlib.ExitStack()
    try:
        with delayed_ctrl_c():
            client = _connect(workers, scheduler_address, group, stack)
        logger.info("Dask's dashboard: %s", client.dashboard_link)
        try:
            yield client
        except InputError:
            raise
        except Exception as error:
            # What the scheduler held may raise anything when the scheduler is gone.
            if client.status != "running" or type(error).__module__.startswith("distributed."):
                raise make_lost_scheduler_error(advice) from error
            raise
    finally:
        with delayed_ctrl_c():
            stack.close()


def require_scheduler(address: str, group: str) -> None:
    """Refuse an address without a scheduler, before the work that precedes its use.

    Args:
        address: Address of the scheduler of a running cluster.
        group: The parameters that it belongs to, for messages.

    Raises:
        InputError: Dask is not installed, or there is no scheduler.

    """
    _import_distributed(group)
    with _explained(address, group):
        _try_to_connect(address)


def make_lost_scheduler_error(advice: str) -> InputError:
    """Return the error of a lost connection; `advice` says what to do."""
    return InputError(f"lost the connection to the Dask scheduler: {advice}")


def submit(client: Any, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Let a worker call a function, and return the future of its result."""
    import dask

    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
        return client.submit(function, *arguments, pure=False, **options)


def share(client: Any, value: Any) -> Any:
    """Return an argument for `submit` that stands for a large value, and is sent only once."""
    # A task instead of scattered data, which would be lost with the workers that hold it.
    return submit(client, _identity, value)


def _connect(
    workers: int, scheduler_address: str | None, group: str, stack: contextlib.ExitStack
) -> Any:
    """Return a client of the cluster at that address, or of a new one on this machine."""
    import distributed

    address = scheduler_address or _start_cluster(workers, stack)
    with _explained(address, group):
        if scheduler_address:
            _try_to_connect(address)
        client = stack.enter_context(distributed.Client(address, timeout=CONNECT_TIMEOUT))
    if scheduler_address is None:
        client.forward_logging(PACKAGE, logging.getLogger(PACKAGE).getEffectiveLevel())
    else:
        _require_same_code(client)
    return client


@contextlib.contextmanager
def _explained(address: str, group: str) -> Iterator[None]:
    """Raise `InputError` if there is no scheduler at that address."""
    try:
        yield
    # What is no scheduler may answer with a size for which there is no memory.
    except (OSError, ValueError, MemoryError) as error:
        raise InputError(
            f"there is no Dask scheduler at {address}: start one with `dask scheduler`, or set "
            f"{group}.scheduler_address to its address (with the port of the scheduler, such as "
            "8786, not of its dashboard)"
        ) from error


def _try_to_connect(address: str) -> None:
    """Fail after a while if something else listens there, for which a client would wait forever."""
    with ThreadPoolExecutor(1) as pool:  # a notebook has an event loop of its own
        pool.submit(asyncio.run, _shake_hands(address)).result()


async def _shake_hands(address: str) -> None:
    from distributed.comm.core import connect
    from distributed.security import Security

    options = Security().get_connection_args("client")
    async with asyncio.timeout(CONNECT_TIMEOUT):
        connection = await connect(address, timeout=CONNECT_TIMEOUT, **options)
        await connection.close()


def _require_same_code(client: Any) -> None:
    """Refuse a cluster whose code would do something else than that of this run.

    A worker that lacks the project would end when it receives the first call, without saying why.

    Raises:
        InputError: The scheduler or a worker lacks the project, or a worker has other code.

    """
    # By a function of Python's own, which they all have.
    name = "imdb_sentiment.engine.package_digest:PACKAGE_DIGEST"
    wait: dict[str, Any] = {"callback_timeout": CONNECT_TIMEOUT}
    try:
        found = client.run(pkgutil.resolve_name, name, on_error="return", **wait)
        try:
            client.run_on_scheduler(pkgutil.resolve_name, name, **wait)
        except ImportError as error:
            found["the scheduler"] = error
    except TimeoutError:
        logger.warning(
            "The code of the Dask workers was not compared with that of this run: a worker or the "
            "scheduler has not answered for %g seconds",
            CONNECT_TIMEOUT,
        )
        return
    problems: dict[str, str] = {}
    for place, answer in found.items():
        if isinstance(answer, ImportError | AttributeError):
            problems[place] = f"can't import the project ({answer})"
        elif isinstance(answer, str) and answer != PACKAGE_DIGEST:
            problems[place] = "has different code from this run"
    if problems:
        place, problem = next(iter(problems.items()))
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InputError(
            f"{place}{more} {problem}: install the same version of the project and of its packages "
            "on all machines, and start their workers again"
        )


def count_workers(client: Any) -> int:
    """Return the number of workers; 0 if the scheduler does not answer in time."""
    try:
        return len(client.sync(client.scheduler.ncores, callback_timeout=CONNECT_TIMEOUT))
    except TimeoutError:
        return 0


def _import_distributed(group: str) -> None:
    """Import Dask without letting it override the log levels of conf/logging.yml."""
    before = {name: logging.getLogger(name).level for name in _list_dask_loggers()}
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"{group}.workers and {group}.scheduler_address need Dask: {install_extra('dask')}"
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
    settings = {
        # Otherwise Dask would remove the shared data from idle workers.
        "distributed.scheduler.active-memory-manager.start": False,
        # It also counts against a call that it merely waited for a worker that died.
        "distributed.scheduler.allowed-failures": ALLOWED_FAILURES,
    }
    # On macOS, libraries that the preloaded packages use can't be forked safely.
    if sys.platform == "linux":
        # Until the cluster ends, like the environment.
        method = {"distributed.worker.multiprocessing-method": "forkserver"}
        stack.enter_context(dask.config.set(method))
        distributed.utils.get_mp_context().set_forkserver_preload(_FORKED)
    with dask.config.set(settings), _blocked_ctrl_c(), warnings.catch_warnings():
        # The log has the address of the dashboard, which differs if another run uses its port.
        warnings.filterwarnings("ignore", r"Port \d+ is already in use", UserWarning)
        others = multiprocessing.active_children()
        for attempt in range(1, START_ATTEMPTS + 1):
            try:
                cluster = distributed.LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,  # Dask's threads: one trial at a time
                    memory_limit=0,  # a limit would pause workers forever
                    dashboard_address="127.0.0.1:8787",  # it asks for no password
                    preload=_WORKER_PRELOAD,
                    env={"TF_NUM_INTEROP_THREADS": threads},
                    silence_logs=False,  # conf/logging.yml has the level of Dask's log
                )
                stack.callback(_close, cluster, others)
                return str(cluster.scheduler_address)
            except RuntimeError as error:  # a worker that dies while it starts ends that of all
                logger.debug("The workers have not started", exc_info=True)
                if attempt == START_ATTEMPTS:
                    raise InputError(
                        f"the Dask workers died during startup, {attempt} times in a row (last "
                        f"error: {error.__cause__ or error}): start fewer workers, or give them "
                        "more memory; see the log in logs/ for details"
                    ) from error
    raise AssertionError  # the loop has ended above


def _close(cluster: Any, others: Collection[Any]) -> None:
    """Close a cluster of this machine, even while it starts workers in place of dead ones.

    If a worker dies right after it has started, Dask (seen in 2026.8.0) treats its replacement as
    running before that has a process. An assertion then fails, which aborts the shutdown halfway.

    Args:
        cluster: The cluster.
        others: Child processes that existed before the cluster.

    """
    import distributed

    event_loop = logging.getLogger("tornado.application")  # which reports the assertion, too
    was_disabled, event_loop.disabled = event_loop.disabled, True
    try:
        cluster.close()
    except AssertionError:
        logger.debug("Dask could not close a worker that was starting", exc_info=True)
        cluster.status = distributed.Status.failed  # otherwise it would wait for the first closing
        with contextlib.suppress(AssertionError):  # of a worker that was closed even earlier
            cluster.close()
        for worker in set(multiprocessing.active_children()) - set(others):
            worker.kill()
            worker.join(CONNECT_TIMEOUT)
    finally:
        event_loop.disabled = was_disabled


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
