"""Detection of dead runs: on this machine by their process, on others by their heartbeats."""

import logging
import math
import os
import socket
import threading
import time
import uuid
from pathlib import Path

import psutil
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.trial import FrozenTrial

logger = logging.getLogger(__name__)

HEARTBEAT = "alive"  # user attribute of a trial: time of its last heartbeat, unless Optuna keeps it

# For storages without heartbeats of their own: seconds between two heartbeats of a trial, and
# seconds without a heartbeat after which the trial counts as dead.
HEARTBEAT_INTERVAL, GRACE_PERIOD = 60.0, 300.0
# A process that seems to have started this many seconds earlier or later is another process with
# the same number; a smaller difference comes from an adjusted clock.
START_TIME_TOLERANCE = 60.0
_IS_RANDOM = 1 << 40  # bit of `uuid.getnode()` that no hardware address has


class Heartbeats:
    """A thread that reports to runs on other machines which trials are alive, through the storage.

    It runs while a `with` block lasts, if the storage can be shared with other machines.

    Optuna sends heartbeats only from `Study.optimize`. `RDBStorage` records them itself; in other
    shared storages, such as Dask's, they are a user attribute of the trial.

    Args:
        storage: Storage of the study.

    """

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage
        self._trial_ids: dict[int, int] = {}  # by the number of the trial
        self._stopped = threading.Event()
        self._last = time.time()
        self._last_outage = -math.inf

    def __contains__(self, number: int) -> bool:
        return number in self._trial_ids

    def __enter__(self) -> None:
        self._stopped.clear()
        self._last = time.time()
        if self._interval != math.inf:
            threading.Thread(target=self._run, name="heartbeats", daemon=True).start()

    def __exit__(self, *exception: object) -> None:
        self._stopped.set()

    def add(self, number: int, trial_id: int) -> None:
        """Send heartbeats of a trial, the first one at once."""
        self._trial_ids[number] = trial_id
        self._send(trial_id)

    def remove(self, number: int) -> None:
        """Send no more heartbeats of a trial."""
        self._trial_ids.pop(number, None)

    def catch_up(self) -> None:
        """Send overdue heartbeats now: after the machine slept, the thread may still wait."""
        if time.time() - self._last > self._interval:
            self._send_all()

    def note_outage(self) -> None:
        """Note that the storage can't be reached now."""
        self._last_outage = time.monotonic()

    def may_lack_those_of_others(self) -> bool:
        """Return whether other runs may be alive though silent, since an outage has just ended."""
        return time.monotonic() - self._last_outage < GRACE_PERIOD

    @property
    def _interval(self) -> float:
        if isinstance(self._storage, RDBStorage):
            return self._storage.heartbeat_interval or math.inf
        return math.inf if isinstance(self._storage, InMemoryStorage) else HEARTBEAT_INTERVAL

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            self._send_all()

    def _send_all(self) -> None:
        now = time.time()
        if now - self._last > 2 * self._interval:
            self.note_outage()  # the storage may be on the machine that slept
        self._last = now
        for trial_id in tuple(self._trial_ids.values()):
            self._send(trial_id)

    def _send(self, trial_id: int) -> None:
        if self._interval == math.inf:
            return
        try:
            if isinstance(self._storage, RDBStorage):
                self._storage.record_heartbeat(trial_id)
            else:
                self._storage.set_trial_user_attr(trial_id, HEARTBEAT, time.time())
        except UpdateFinishedTrialError:
            pass
        except Exception as error:  # the next one may succeed
            self.note_outage()
            reason = find_reason(error)
            logger.warning("The study's storage can't record a heartbeat: %s", reason)


def find_reason(error: Exception) -> BaseException:
    """Return the error of the database, without Optuna's words and the statement in SQL."""
    cause = error.__cause__ or error
    reason: BaseException = getattr(cause, "orig", cause)
    return reason


def is_silent(trial: FrozenTrial) -> bool:
    """Return whether the last heartbeat is too long ago; never where Optuna records them."""
    last: float = trial.user_attrs.get(HEARTBEAT, math.inf)
    return time.time() - last > GRACE_PERIOD


def describe_this_process() -> str:
    """Return a description of this process that no other has, even after a reboot."""
    return f"{_describe_machine()} {os.getpid()} {psutil.Process().create_time()}"


def is_dead(owner: str) -> bool:
    """Return whether a run of this machine has ended.

    Args:
        owner: Description of that run from `describe_this_process`; more words may follow.

    Returns:
        True if its process has ended, even if its number now belongs to another process; False if
        it is alive, or belongs to another machine.

    """
    machine, _, process = owner.partition(" ")
    if machine != _describe_machine():
        return False
    pid, started, *_ = process.split()
    if int(pid) == os.getpid():
        return not owner.startswith(describe_this_process())
    try:
        now = psutil.Process(int(pid))
        if now.status() == psutil.STATUS_ZOMBIE:
            return True
        difference = now.create_time() - float(started)
    except psutil.NoSuchProcess:
        return True
    return bool(abs(difference) > START_TIME_TOLERANCE)


def _describe_machine() -> str:
    """Return the machine and the container to which a process number belongs."""
    namespace = Path("/proc/self/ns/pid")
    container = namespace.readlink() if namespace.exists() else ""
    address = f"{uuid.getnode():x}"
    boot = Path("/proc/sys/kernel/random/boot_id")
    if uuid.getnode() & _IS_RANDOM and boot.exists():  # without a network, another per process
        address = boot.read_text().strip()
    return f"{socket.gethostname()}/{address}/{container}"
