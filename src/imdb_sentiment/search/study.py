"""A study that several runs may share, and any of them may leave at any moment."""

import contextlib
import logging
import os
import socket
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import optuna
import psutil
from optuna.distributions import BaseDistribution
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState

logger = logging.getLogger(__name__)

ERROR = "error"  # of a trial whose objective raised: the reason
OWNER = "owner"  # of a trial that was begun: the process that runs it
GIVEN_BACK = "given_back"  # of a trial that nobody wants to finish

SamplerFactory = Callable[[int], optuna.samplers.BaseSampler]


class SharedStudy:
    """An Optuna study in its storage, seen by one of the runs that work on it.

    A trial *counts* towards `n_trials` once it has completed, was pruned, raised an error, or has
    died with its process more than `max_retries` times. One that died before that is recorded as
    failed and queued again with the same hyperparameters. A death is found in three ways: Dask
    reports a lost worker at once (`loop.py`); a run that died on this machine is known by its
    process, so a restart need not wait; one on another machine by Optuna's heartbeat.

    Args:
        storage: Where the study lives.
        name: Of the study; made if there is none.
        n_trials: Trials that are to count in all.
        max_retries: How often a trial may die before it counts as failed.
        make_sampler: From a seed offset to a sampler. It is asked anew for each trial, with the
            number of trials before it, so an interrupted study goes on as if it had not been.
        pruner: Tells lost trials.

    """

    def __init__(
        self,
        storage: BaseStorage,
        name: str,
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
        self.storage = storage
        self.name = name
        self.n_trials = n_trials
        self._make_sampler = make_sampler
        self._max_retries = max_retries
        self._retry = _Retry(max_retries)
        if isinstance(storage, RDBStorage):
            storage.heartbeat_stale_trial_callback = self._retry
        self._owner = _this_process()
        self._heartbeats = _Heartbeats(storage)

    def __enter__(self) -> Self:
        self._heartbeats.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._heartbeats.stop()

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Return the trials in these states, in the order in which they were made."""
        return self.optuna_study.get_trials(deepcopy=False, states=states or None)

    def counted(self) -> list[FrozenTrial]:
        """Return the trials that count, in the order in which they were made."""
        return [trial for trial in self.trials() if self._counts(trial)]

    def best(self) -> FrozenTrial | None:
        """Return the completed trial of the highest value, the earliest of equals."""
        completed = self.trials(TrialState.COMPLETE)
        return max(completed, key=lambda trial: trial.value or 0, default=None)

    def trials_since_best(self) -> int:
        """Return how many trials that count were made after the best one."""
        best = self.best()
        counted = self.counted()
        return sum(best is None or trial.number > best.number for trial in counted)

    def begin_trial(self, space: dict[str, BaseDistribution]) -> optuna.Trial | None:
        """Claim a trial: one that is to be retried, or a new one with suggested hyperparameters.

        Args:
            space: What to suggest.

        Returns:
            The trial, in the state RUNNING; None if the trials that count, run or wait are enough.

        """
        trials = self.trials()
        ahead = sum(self._is_needed(trial) for trial in trials)
        queued = sum(trial.state == TrialState.WAITING for trial in trials)
        if not queued:
            if ahead >= self.n_trials:
                return None
            # Queued first, since that writes the owner along with the trial.
            self.optuna_study.enqueue_trial({}, user_attrs={OWNER: self._owner})
        self.optuna_study.sampler = self._make_sampler(ahead - queued)
        try:
            with (
                _silent()
            ):  # Optuna warns of heartbeats outside of its own loop; here they are ours
                trial = self.optuna_study.ask(fixed_distributions=space)
            trial.set_user_attr(OWNER, self._owner)
        except UpdateFinishedTrialError:
            return None  # a retry, which another run has just taken for its dead first attempt
        before = sum(self._is_needed(t) for t in self.trials() if t.number < trial.number)
        if before >= self.n_trials:  # another run has claimed the last one at the same time
            self.give_back(trial)
            return None
        self._heartbeats.add(trial._trial_id)
        return trial

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

    def give_back(self, trial: optuna.Trial) -> None:
        """End a trial as if it had not been begun: it neither counts nor is retried."""
        with contextlib.suppress(UpdateFinishedTrialError):
            trial.set_user_attr(GIVEN_BACK, True)
        self.finish_trial(trial, TrialState.FAIL)

    def lose_trial(self, trial: optuna.Trial | FrozenTrial) -> None:
        """Record that a trial has died with its process, and queue it again if it may be."""
        self._heartbeats.remove(trial._trial_id)
        with contextlib.suppress(UpdateFinishedTrialError):
            self.storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)
            self._retry(self.optuna_study, self.storage.get_trial(trial._trial_id))

    def lose_dead_trials(self) -> None:
        """Find running trials whose process is gone, here or elsewhere."""
        for trial in self.trials(TrialState.RUNNING):
            if _is_dead(trial.user_attrs.get(OWNER, "")):
                self.lose_trial(trial)
        with _silent():
            optuna.storages.fail_stale_trials(self.optuna_study)

    def _is_needed(self, trial: FrozenTrial) -> bool:
        if trial.state == TrialState.RUNNING:
            return OWNER in trial.user_attrs  # else it is none of ours, and may never end
        return trial.state == TrialState.WAITING or self._counts(trial)

    def _counts(self, trial: FrozenTrial) -> bool:
        if trial.state != TrialState.FAIL:
            return trial.state.is_finished()
        return ERROR in trial.user_attrs or (
            GIVEN_BACK not in trial.user_attrs
            and len(trial.system_attrs.get("retry_history", ())) >= self._max_retries
        )


def explain_failure(trial: FrozenTrial) -> str | None:
    """Return why a trial has failed; None if it has not."""
    if trial.state != TrialState.FAIL:
        return None
    if GIVEN_BACK in trial.user_attrs:
        return "interrupted"
    return str(trial.user_attrs.get(ERROR, "its process died"))


class _Retry:
    """What becomes of a trial whose process has died."""

    def __init__(self, max_retries: int) -> None:
        with _silent():
            self._queue_again = RetryHeartbeatStaleTrialCallback(max_retry=max_retries)

    def __call__(self, study: optuna.Study, trial: FrozenTrial) -> None:
        if not {ERROR, GIVEN_BACK} & trial.user_attrs.keys():
            self._queue_again(study, trial)


class _Heartbeats:
    """A thread that tells the storage, for runs on other machines, which trials are alive."""

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage if isinstance(storage, RDBStorage) else None
        self._trial_ids: set[int] = set()
        self._stopped = threading.Event()

    def start(self) -> None:
        self._stopped.clear()
        if self._storage is not None and self._storage.heartbeat_interval:
            threading.Thread(target=self._beat, name="heartbeats", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def add(self, trial_id: int) -> None:
        self._trial_ids.add(trial_id)
        self._record(trial_id)

    def remove(self, trial_id: int) -> None:
        self._trial_ids.discard(trial_id)

    def _beat(self) -> None:
        assert self._storage is not None
        while not self._stopped.wait(self._storage.heartbeat_interval):
            for trial_id in tuple(self._trial_ids):
                self._record(trial_id)

    def _record(self, trial_id: int) -> None:
        if self._storage is None or not self._storage.heartbeat_interval:
            return
        try:
            self._storage.record_heartbeat(trial_id)
        except StorageInternalError as error:  # the next one may come through
            logger.warning("The study's storage took no heartbeat: %s", error)


def _this_process() -> str:
    """Return what tells this process from any other, also after a restart of the machine."""
    return f"{_machine()} {os.getpid()} {psutil.Process().create_time()}"


def _is_dead(owner: str) -> bool:
    """Return whether that process ran on this machine and is gone."""
    machine, _, process = owner.partition(" ")
    if machine != _machine():
        return False
    pid, started = process.split()
    try:
        difference = psutil.Process(int(pid)).create_time() - float(started)
    except psutil.NoSuchProcess:
        return True
    return bool(abs(difference) > 60)  # noqa: PLR2004  # else another clock, not another process


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
