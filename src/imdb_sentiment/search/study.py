"""A study that several runs may share, and any of them may leave at any moment."""

import contextlib
import copy
import functools
import itertools
import logging
import math
import os
import socket
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Concatenate, ParamSpec, Self, TypeVar

import optuna
import psutil
from optuna.distributions import BaseDistribution
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import (
    BaseStorage,
    InMemoryStorage,
    RDBStorage,
    RetryHeartbeatStaleTrialCallback,
)
from optuna.trial import FrozenTrial, TrialState

from imdb_sentiment.errors import InputError

logger = logging.getLogger(__name__)

SLOT = "slot"  # of a trial: which of the study's `n_trials` it is
OWNER = "owner"  # of a trial: which run has made it, or runs it
ALIVE = "alive"  # of a trial: when its run last was, where the storage has no heartbeats
ERROR = "error"  # of a trial whose objective raised: the reason
GIVEN_BACK = "given_back"  # of a trial that nobody wants to finish

SamplerFactory = Callable[[int], optuna.samplers.BaseSampler]

# Seconds that a run bears with a database that can't be reached, and between two attempts.
MAX_OUTAGE, PAUSE = 600.0, 5.0

# Seconds between two signs of life of a trial, and without one after which it is dead.
BEAT, GRACE = 60.0, 300.0

P = ParamSpec("P")
T = TypeVar("T")


def _outlast_outages(
    method: Callable[Concatenate["SharedStudy", P], T],
) -> Callable[Concatenate["SharedStudy", P], T]:
    """Repeat a method, which must bear that, until the study's database is back."""

    @functools.wraps(method)
    def call(study: "SharedStudy", /, *args: P.args, **kwargs: P.kwargs) -> T:
        give_up = time.monotonic() + MAX_OUTAGE
        while True:
            try:
                return method(study, *args, **kwargs)
            except StorageInternalError as error:
                reason = error.__cause__ or error
                if study.is_left or time.monotonic() > give_up:
                    raise InputError(
                        f"the study's database can't be reached ({reason}). Finished trials are "
                        "kept: the same command goes on from there"
                    ) from error
                logger.warning("The study's database can't be reached; trying again: %s", reason)
                time.sleep(PAUSE)

    return call


class SharedStudy:
    """An Optuna study in its storage, seen by one of the runs that work on it.

    The study has `n_trials` slots. A trial that has completed, was pruned, raised an error, or has
    died with its process more than `max_retries` times *counts*, and keeps its slot. One that died
    before that is recorded as failed and queued again, with the same slot and hyperparameters; one
    that was given back frees its slot. Each slot has a sampler with a seed of its own, so what is
    suggested again after an interruption is what was suggested before it.

    A death is found in three ways: Dask reports a lost worker at once (`loop.py`); a run that died
    on this machine is known by its process, so a restart need not wait; one on another machine by
    Optuna's heartbeat, or by ours where the storage has none (in Dask's).

    Args:
        storage: Where the study lives.
        name: Of the study; made if there is none.
        space: What to suggest for each trial.
        n_trials: Trials that are to count in all.
        max_retries: How often a trial may die before it counts as failed.
        make_sampler: From a slot, counted from 0, to a new sampler.
        pruner: Tells lost trials.

    Attributes:
        is_left: Whether this run is about to end, and waits for no database any more.

    """

    def __init__(
        self,
        storage: BaseStorage,
        name: str,
        space: dict[str, BaseDistribution],
        *,
        n_trials: int,
        max_retries: int,
        make_sampler: SamplerFactory,
        pruner: optuna.pruners.BasePruner,
    ) -> None:
        self.optuna_study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize",
            pruner=pruner,
            load_if_exists=True,
        )
        self.name = name
        self.is_left = False
        self.n_trials = n_trials
        self._storage = self.optuna_study._storage
        self._space = space
        self._make_sampler = make_sampler
        self._max_retries = max_retries
        self._owner = f"{_this_process()} {uuid.uuid4().hex}"
        self._retry = _Retry(max_retries, set(space), self._owner)
        if isinstance(storage, RDBStorage):
            storage.heartbeat_stale_trial_callback = self._retry
        self._heartbeats = _Heartbeats(storage)

    def __enter__(self) -> Self:
        self._heartbeats.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._heartbeats.stop()

    @_outlast_outages
    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Return the trials in these states, in the order in which they were made."""
        return self.optuna_study.get_trials(deepcopy=False, states=states or None)

    def counted(self) -> list[FrozenTrial]:
        """Return the trials that count, in the order in which they were made."""
        trials = self.trials()
        return [trial for trial in trials if self._counts(trial, trials)]

    def best(self) -> FrozenTrial | None:
        """Return the completed trial of the highest value, the earliest of equals."""
        completed = self.trials(TrialState.COMPLETE)
        return max(completed, key=lambda trial: trial.value or 0, default=None)

    def trials_since_best(self) -> int:
        """Return how many trials that count were made after the best one."""
        best = self.best()
        counted = self.counted()
        return sum(best is None or trial.number > best.number for trial in counted)

    @_outlast_outages
    def begin_trial(self) -> optuna.Trial | None:
        """Claim a trial: one that is queued, or a new one; suggest its hyperparameters.

        Returns:
            The trial, in the state RUNNING; None if each slot has a trial that counts or runs.

        """
        while True:
            queued = self.trials(TrialState.WAITING)
            if not queued:
                slot = _first_free(self._slots())
                if slot >= self.n_trials:
                    return None
                # Slot and owner are written along with the trial: it is never without them.
                attributes = {SLOT: slot, OWNER: self._owner}
                self.optuna_study.enqueue_trial({}, user_attrs=attributes)
                continue
            for trial in queued:
                if self._claim(trial._trial_id):
                    started = self._start(trial._trial_id)
                    if started is not None:
                        return started

    @_outlast_outages
    def finish_trial(
        self,
        trial: optuna.Trial,
        state: TrialState,
        value: float | None = None,
        error: str | None = None,
    ) -> None:
        """Record how a trial has ended."""
        self._heartbeats.remove(trial._trial_id)
        # Another run may have taken this one for dead, and the trial with it.
        with contextlib.suppress(UpdateFinishedTrialError):
            if error is not None:
                trial.set_user_attr(ERROR, error)
            complete = state == TrialState.COMPLETE
            self.optuna_study.tell(
                trial, value if complete else None, None if complete else state, True
            )

    @_outlast_outages
    def give_back(self, trial_id: int) -> None:
        """End a trial as if it had not been begun: it frees its slot, and nothing retries it."""
        self._give_back(trial_id)

    def abandon(self, trials: Iterable[optuna.Trial]) -> None:
        """Give trials back if the database can be reached; else the next run finds them dead.

        After that, nothing waits for the database.
        """
        self.is_left = True
        with contextlib.suppress(Exception):
            for trial in trials:
                self._give_back(trial._trial_id)

    @_outlast_outages
    def lose_trial(self, trial_id: int) -> None:
        """Record that a trial has died with its process, and queue it again if it may be."""
        self._heartbeats.remove(trial_id)
        with contextlib.suppress(UpdateFinishedTrialError):
            self._storage.set_trial_state_values(trial_id, state=TrialState.FAIL)
            self._retry(self.optuna_study, copy.deepcopy(self._storage.get_trial(trial_id)))

    @_outlast_outages
    def lose_dead_trials(self) -> None:
        """Find running trials whose process is gone, here or elsewhere."""
        for trial in self.trials(TrialState.RUNNING):
            owner = trial.user_attrs.get(OWNER, "")
            if owner == self._owner:
                if trial._trial_id not in self._heartbeats:  # an error came when it was begun
                    self.give_back(trial._trial_id)
            elif _is_dead(owner) or _is_silent(trial):
                self.lose_trial(trial._trial_id)
        self._heartbeats.catch_up()
        with _silent():
            optuna.storages.fail_stale_trials(self.optuna_study)

    def _give_back(self, trial_id: int) -> None:
        self._heartbeats.remove(trial_id)
        with contextlib.suppress(UpdateFinishedTrialError):
            self._storage.set_trial_user_attr(trial_id, GIVEN_BACK, True)
            self._storage.set_trial_state_values(trial_id, state=TrialState.FAIL)

    def _claim(self, trial_id: int) -> bool:
        # First, so that a machine that dies right after the claim is missed.
        self._heartbeats.add(trial_id)
        with contextlib.suppress(UpdateFinishedTrialError):
            if self._storage.set_trial_state_values(trial_id, state=TrialState.RUNNING):
                return True
        self._heartbeats.remove(trial_id)
        return False

    def _start(self, trial_id: int) -> optuna.Trial | None:
        try:
            self._storage.set_trial_user_attr(trial_id, OWNER, self._owner)
            slots = self._slots()
            number = self._storage.get_trial_number_from_id(trial_id)
            slot = slots[number]
            if slot >= self.n_trials or slot in (slots[n] for n in slots if n < number):
                self.give_back(trial_id)  # another run had queued one for that slot before
                return None
            self._storage.set_trial_user_attr(trial_id, SLOT, slot)  # a user's own may have none
            self.optuna_study.sampler = self._make_sampler(slot)
            trial = optuna.Trial(self.optuna_study, trial_id)
            for name, distribution in self._space.items():
                trial._suggest(name, distribution)
            return trial
        except UpdateFinishedTrialError:  # a retry, which another run takes for its first attempt
            self._heartbeats.remove(trial_id)
            return None
        except BaseException:
            self.give_back(trial_id)
            raise

    def _slots(self) -> dict[int, int]:
        """Return the slot of each trial that counts or is under way, by its number."""
        slots: dict[int, int] = {}
        trials = self.trials()
        for trial in trials:
            if self._counts(trial, trials) or self._is_under_way(trial):
                slot = trial.user_attrs.get(SLOT)
                slots[trial.number] = _first_free(slots) if slot is None else slot
        return slots

    def _is_under_way(self, trial: FrozenTrial) -> bool:
        if trial.state == TrialState.RUNNING:
            return OWNER in trial.user_attrs  # else it is none of ours, and may never end
        return trial.state == TrialState.WAITING

    def _counts(self, trial: FrozenTrial, trials: list[FrozenTrial]) -> bool:
        if trial.state != TrialState.FAIL:
            return trial.state.is_finished()
        return ERROR in trial.user_attrs or (
            GIVEN_BACK not in trial.user_attrs
            and len(trial.system_attrs.get("retry_history", ())) >= self._max_retries
            # The limit may have been higher when it died.
            and not any(trial.number in t.system_attrs.get("retry_history", ()) for t in trials)
        )


def _first_free(slots: dict[int, int]) -> int:
    taken = set(slots.values())
    return next(slot for slot in itertools.count() if slot not in taken)


def explain_failure(trial: FrozenTrial) -> str | None:
    """Return why a trial has failed; None if it has not."""
    if trial.state != TrialState.FAIL:
        return None
    if GIVEN_BACK in trial.user_attrs:
        return "interrupted"
    return str(trial.user_attrs.get(ERROR, "its process died"))


class _Retry:
    """What becomes of a trial whose process has died."""

    def __init__(self, max_retries: int, names: set[str], owner: str) -> None:
        self._names = names
        self._owner = owner
        with _silent():
            self._queue_again = RetryHeartbeatStaleTrialCallback(max_retry=max_retries)

    def __call__(self, study: optuna.Study, trial: FrozenTrial) -> None:
        if {ERROR, GIVEN_BACK} & trial.user_attrs.keys():
            return  # it had ended, all but for its state
        if not self._names <= trial.params.keys():
            return  # it had not begun: its slot is free, and will bring the same suggestions
        trial.set_user_attr(OWNER, self._owner)
        self._queue_again(study, trial)


class _Heartbeats:
    """A thread that tells the storage, for runs on other machines, which trials are alive."""

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage
        self._trial_ids: set[int] = set()
        self._stopped = threading.Event()
        self._last = time.time()

    def __contains__(self, trial_id: int) -> bool:
        return trial_id in self._trial_ids

    def start(self) -> None:
        self._stopped.clear()
        if self._interval != math.inf:
            threading.Thread(target=self._beat, name="heartbeats", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def add(self, trial_id: int) -> None:
        self._trial_ids.add(trial_id)
        self._record(trial_id)

    def remove(self, trial_id: int) -> None:
        self._trial_ids.discard(trial_id)

    def catch_up(self) -> None:
        """Beat now if a beat was missed: after the machine slept, the thread may still be late."""
        if time.time() - self._last > self._interval:
            self._beat_once()

    @property
    def _interval(self) -> float:
        if isinstance(self._storage, RDBStorage):
            return self._storage.heartbeat_interval or math.inf
        return math.inf if isinstance(self._storage, InMemoryStorage) else BEAT

    def _beat(self) -> None:
        while not self._stopped.wait(self._interval):
            self._beat_once()

    def _beat_once(self) -> None:
        self._last = time.time()
        for trial_id in tuple(self._trial_ids):
            self._record(trial_id)

    def _record(self, trial_id: int) -> None:
        try:
            if isinstance(self._storage, RDBStorage):
                if self._interval != math.inf:
                    self._storage.record_heartbeat(trial_id)
            elif self._interval != math.inf:
                self._storage.set_trial_user_attr(trial_id, ALIVE, time.time())
        except UpdateFinishedTrialError:
            pass
        except Exception as error:  # the next one may come through
            logger.warning("The study's storage took no heartbeat: %s", error)


def _this_process() -> str:
    """Return what tells this process from any other, also after a restart of the machine."""
    return f"{_machine()} {os.getpid()} {psutil.Process().create_time()}"


def _is_dead(owner: str) -> bool:
    """Return whether that run was on this machine and is gone."""
    machine, _, process = owner.partition(" ")
    if machine != _machine():
        return False
    pid, started, _ = process.split()
    if int(pid) == os.getpid():
        return not owner.startswith(_this_process())
    try:
        process_now = psutil.Process(int(pid))
        if process_now.status() == psutil.STATUS_ZOMBIE:
            return True
        difference = process_now.create_time() - float(started)
    except psutil.NoSuchProcess:
        return True
    return bool(abs(difference) > 60)  # noqa: PLR2004  # else another clock, not another process


def _is_silent(trial: FrozenTrial) -> bool:
    """Return whether a trial's run, by its clock and ours, has shown no sign of life for long."""
    last: float = trial.user_attrs.get(ALIVE, math.inf)
    return time.time() - last > GRACE


def _machine() -> str:
    """Return the name of what process numbers belong to: a machine or a container on it."""
    namespace = Path("/proc/self/ns/pid")
    container = namespace.readlink() if namespace.exists() else ""
    return f"{socket.gethostname()}/{uuid.getnode():x}/{container}"


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Hide that Optuna calls heartbeats and retries experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
