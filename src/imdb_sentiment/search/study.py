"""A study that several runs may share, and that any of them may leave at any moment."""

import contextlib
import copy
import functools
import hashlib
import itertools
import json
import logging
import math
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
)
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from imdb_sentiment.errors import InputError
from imdb_sentiment.search.liveness import (
    HEARTBEAT,
    Heartbeats,
    describe_this_process,
    find_reason,
    is_dead,
    is_silent,
)

logger = logging.getLogger(__name__)

# User attributes of a trial.
SLOT = "slot"  # number of its slot, among the `n_trials` of the study
OWNER = "owner"  # the run that has created it, or runs it
ORIGIN = "origin"  # digest of the origin, which all trials of the study have in common
ERROR = "error"  # the reason why its objective has failed
GIVEN_BACK = "given_back"  # why its run has ended it; it is not retried, and its slot is free
# Values of `GIVEN_BACK`.
INTERRUPTED, NOT_BEGUN = "interrupted", "not begun"
# System attributes of a retry, written by Optuna's `RetryHeartbeatStaleTrialCallback`.
RETRIED_TRIAL = "failed_trial"  # number of the first trial that has died; only retries have it
RETRY_HISTORY = "retry_history"  # numbers of all trials that have died

# System attribute of a trial that was queued: its hyperparameters, written by Optuna.
QUEUED_PARAMETERS = "fixed_params"

# Seconds for which a run waits for a database that can't be reached, and between two attempts.
MAX_OUTAGE, PAUSE = 600.0, 5.0
SECONDS_BETWEEN_WARNINGS = 60.0

P = ParamSpec("P")
T = TypeVar("T")


def _retry_during_outages(
    method: Callable[Concatenate["SharedStudy", P], T],
) -> Callable[Concatenate["SharedStudy", P], T]:
    """Retry a method until the study's database can be reached; it must be safe to call twice."""

    @functools.wraps(method)
    def call(study: "SharedStudy", /, *args: P.args, **kwargs: P.kwargs) -> T:
        give_up = time.monotonic() + MAX_OUTAGE
        warn_at = -math.inf
        while True:
            try:
                with _explain_lasting_problems():
                    return method(study, *args, **kwargs)
            except StorageInternalError as error:
                reason = find_reason(error)
                if study.is_leaving or time.monotonic() > give_up:
                    raise InputError(
                        f"the study's database can't be reached ({reason}). Finished trials are "
                        "kept: run the same command again to continue"
                    ) from error
                study.heartbeats.note_outage()
                if time.monotonic() >= warn_at:
                    warn_at = time.monotonic() + SECONDS_BETWEEN_WARNINGS
                    logger.warning(
                        "The study's database can't be reached; trying again: %s", reason
                    )
                time.sleep(PAUSE)

    return call


@contextlib.contextmanager
def _explain_lasting_problems() -> Iterator[None]:
    """Raise `InputError` if the database has a problem that waiting can't solve."""
    try:
        yield
    except StorageInternalError as error:
        reason = find_reason(error)
        if problem := _find_lasting_problem(reason):
            raise InputError(f"the study's database can't be used ({reason}): {problem}") from error
        raise


def _find_lasting_problem(reason: BaseException) -> str:
    """Return what to do about a problem that waiting can't solve; else empty.

    SQLite has names for its errors, and PostgreSQL codes of the SQL standard, which begin with a
    class: 22 is for values that do not fit, 42 for missing rights and tables; 25006 is for
    writing to a read-only database.
    """
    code = str(getattr(reason, "sqlstate", "") or getattr(reason, "pgcode", ""))
    match getattr(reason, "sqlite_errorname", "") or (code if code == "25006" else code[:2]):
        case "SQLITE_READONLY_DBMOVED":
            return "its file has been deleted or replaced: run the same command again"
        case "SQLITE_FULL" | "SQLITE_READONLY" | "SQLITE_PERM" | "22" | "25006" | "42":
            return "fix this, then run the same command again; finished trials are kept"
        case "SQLITE_CORRUPT" | "SQLITE_NOTADB":
            return "restore the file, or delete it to search from the beginning"
    return ""


def find_best_trial(study: optuna.Study) -> FrozenTrial | None:
    """Return the completed trial with the best value, the first one if there are ties."""
    completed = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    choose = max if study.direction == StudyDirection.MAXIMIZE else min
    return choose(completed, key=lambda trial: trial.value or 0, default=None)


class OtherStudyError(InputError):
    """The trials of a study can't be compared with those of this run.

    Attributes:
        reason: What differs.

    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}: run the same command again, which then uses another study")
        self.reason = reason


class SharedStudy:
    """An Optuna study in its storage, as one of the runs that work on it sees it.

    The study has `n_trials` slots. A trial *counts*, and keeps its slot, if it has completed, was
    pruned, raised an error, or died with its process more than `max_retries` times. A trial that
    died fewer times is recorded as failed and queued again, with the same slot and hyperparameters.
    A trial that was given back frees its slot. Each slot has a sampler of its own, so after an
    interruption the same hyperparameters are suggested again if they depend on its seed alone.

    Dead trials are found in three ways: Dask reports a lost worker immediately (`loop.py`); a run
    that died on this machine is found by its process, so a restart need not wait; a run on another
    machine is found by its missing heartbeats.

    Args:
        storage: Storage of the study.
        name: Name of the study, which is created if it does not exist.
        space: Distribution of each hyperparameter that is searched.
        origin: Properties that all trials of the study have in common, such as the fingerprint of
            the data, as JSON values by their name. Trials of another origin are refused.
        n_trials: Total number of trials that are to count.
        max_retries: Maximum number of retries of a trial that dies; then it counts as failed.
        make_sampler: Function from a slot, counted from 0, to a new sampler.
        pruner: Pruner of the study.
        given: Hyperparameters of some slots, by slot; the sampler suggests what they leave open,
            and those of all other slots.
        direction: Whether the objective's values are to be maximised or minimised.
        metric: Name of the objective's values, for Optuna's dashboard.

    Attributes:
        storage, name, n_trials, max_retries: The arguments.
        optuna_study: The study as Optuna has it.
        heartbeats: Heartbeats of this run's trials, to be sent during a `with` block.
        is_leaving: Whether this run is about to end, and no longer waits for the database.

    """

    def __init__(
        self,
        storage: BaseStorage,
        name: str,
        space: dict[str, BaseDistribution],
        *,
        origin: dict[str, Any],
        n_trials: int,
        max_retries: int,
        make_sampler: Callable[[int], optuna.samplers.BaseSampler],
        pruner: optuna.pruners.BasePruner,
        given: Mapping[int, Mapping[str, Any]] | None = None,
        direction: Literal["maximize", "minimize"] = "maximize",
        metric: str = "value",
    ) -> None:
        self.storage = storage
        self.name = name
        self.n_trials = n_trials
        self.is_leaving = False
        self.heartbeats = Heartbeats(storage)
        self._direction = direction
        self.optuna_study = self._create(pruner)
        self._study_id = storage.get_study_id_from_name(name)
        self._metric = metric
        self._space = space
        self._origin = origin
        self._origin_digest = _digest(origin)
        self._make_sampler = make_sampler
        self._given = given or {}
        self.max_retries = max_retries
        self._owner = f"{describe_this_process()} {uuid.uuid4().hex}"
        with warnings.catch_warnings(action="ignore"):  # Optuna calls retries experimental
            queue_again = RetryHeartbeatStaleTrialCallback(max_retry=max_retries)
        # Not a method: workers get it with the storage, and can't get the rest of this object.
        self._retry = functools.partial(_retry, queue_again, set(space), self._owner)
        if isinstance(storage, RDBStorage):
            storage.heartbeat_stale_trial_callback = self._retry
        self._claimed: set[int] = set()  # numbers of the trials that this run has begun

    @_retry_during_outages
    def _create(self, pruner: optuna.pruners.BasePruner) -> optuna.Study:
        return optuna.create_study(
            storage=self.storage,
            study_name=self.name,
            direction=self._direction,
            pruner=pruner,
            load_if_exists=True,
        )

    @_retry_during_outages
    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Return the trials in any of these states, or all, in the order of their creation."""
        return self.optuna_study.get_trials(deepcopy=False, states=states or None)

    def counted(self) -> list[FrozenTrial]:
        """Return the trials that count, in the order of their creation."""
        return _list_counted(self.trials(), self.max_retries)

    @_retry_during_outages
    def best(self) -> FrozenTrial | None:
        """Return the completed trial with the best value, as `find_best_trial`."""
        return find_best_trial(self.optuna_study)

    @_retry_during_outages
    def copy_into_memory(self) -> optuna.Study:
        """Return a copy of the study, in which no other run changes anything."""
        memory = optuna.storages.InMemoryStorage()
        optuna.copy_study(from_study_name=self.name, from_storage=self.storage, to_storage=memory)
        return optuna.load_study(study_name=self.name, storage=memory)

    def trials_since_best(self) -> int:
        """Return the number of trials that count and were created after the best one."""
        return _count_after(self.best(), self.counted())

    @_retry_during_outages
    def begin_trial(self) -> optuna.Trial | None:
        """Claim a queued trial, or a new one, and suggest its hyperparameters.

        Returns:
            The trial, in the state RUNNING; None if every slot has a trial that counts or runs.

        Raises:
            OtherStudyError: The study has another origin.

        """
        while True:
            self.require_origin()
            queued = self.trials(TrialState.WAITING)
            if not queued:
                slot = _first_free(self._slots())
                if slot >= self.n_trials:
                    return None
                lost = self._find_lost(slot)
                if lost and self._may_retry(lost):
                    self._retry(self.optuna_study, lost)
                    continue
                chosen = self._choose(lost) if lost else dict(self._given.get(slot, {}))
                # They are written together with the trial: it never lacks them.
                attributes = {
                    SLOT: slot,
                    OWNER: self._owner,
                    ORIGIN: self._origin_digest,
                }
                self.optuna_study.enqueue_trial(chosen, user_attrs=attributes)
                continue
            for trial in queued:
                if trial.user_attrs.get(ORIGIN, self._origin_digest) != self._origin_digest:
                    self.require_origin()  # another run may just have begun the study
                if (started := self._start(trial.number)) is not None:
                    return started

    @_retry_during_outages
    def require_origin(self) -> None:
        """Refuse a study with another origin; record the origin of a new one.

        If several runs begin a study at the same moment, the origin is that of the first trial:
        trials are numbered in the order of their creation, and created with their origin. A study
        whose trials were all given back before they reported a value is like a new one.

        Raises:
            OtherStudyError: A trial of the study, or the study itself, has another origin.

        """
        trials = [trial for trial in self.trials() if not self._is_as_if_never_begun(trial)]
        if not trials:
            self._require_direction()
            return
        digests = [t.user_attrs[ORIGIN] for t in trials if ORIGIN in t.user_attrs]
        recorded = self.optuna_study.user_attrs
        if digests and digests[0] == self._origin_digest:
            changed = [name for name in self._origin if recorded.get(name) != self._origin[name]]
            # First, as a run that dies in between leaves this to the next one.
            self._name_metric()
            for name in changed:
                self.optuna_study.set_user_attr(name, self._origin[name])
            # Trials of other origins are of no use, and are ended by the runs that created them.
            return
        for name, value in self._origin.items() if recorded else ():
            if recorded.get(name) != value:
                self._give_back_queued()
                how = "" if name == "data" else f" ({_compare(recorded.get(name), value)})"
                raise OtherStudyError(
                    f"the {name} of the study {self.name!r} and of this run differ{how}, so their "
                    "trials can't be compared"
                )
        if digests:
            self._give_back_queued()
            raise OtherStudyError(
                f"another run has begun the study {self.name!r} with other data, another search "
                "space or another protocol"
            )

    def _is_as_if_never_begun(self, trial: FrozenTrial) -> bool:
        """Return whether a trial was given back, and nothing of it would affect other trials.

        It had ranges that Optuna lets a study change, and no values that pruners would compare.
        """
        try:
            for name in self._space.keys() & trial.distributions.keys():
                check_distribution_compatibility(trial.distributions[name], self._space[name])
        except ValueError:
            return False
        return was_given_back(trial) and not trial.intermediate_values

    def _name_metric(self) -> None:
        """Name the metric for Optuna's dashboard."""
        if self.optuna_study.metric_names != [self._metric]:
            with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
                self.optuna_study.set_metric_names([self._metric])

    def _require_direction(self) -> None:
        """Refuse a study without a trial to compare that was created for another direction."""
        directions = [direction.name.lower() for direction in self.optuna_study.directions]
        if directions != [self._direction]:
            raise OtherStudyError(f"the study {self.name!r} was begun for another metric")

    def _give_back_queued(self) -> None:
        for trial in self.trials(TrialState.WAITING):
            if trial.user_attrs.get(OWNER) == self._owner:
                self.give_back(trial.number, NOT_BEGUN)

    @_retry_during_outages
    def finish_trial(
        self,
        number: int,
        state: TrialState,
        value: float | None = None,
        error: str | None = None,
    ) -> None:
        """Record how a trial has ended.

        Args:
            number: Number of the trial.
            state: COMPLETE, PRUNED or FAIL.
            value: Value of the objective, if the trial has completed.
            error: Reason why the trial has failed, if it has.

        """
        self.heartbeats.remove(number)
        # Another run may have found this one dead, and have ended its trial.
        with contextlib.suppress(UpdateFinishedTrialError):
            if error is not None:
                self.storage.set_trial_user_attr(self._get_id(number), ERROR, error)
            self.optuna_study.tell(number, value, state, skip_if_finished=True)

    @_retry_during_outages
    def give_back(self, number: int, reason: str = INTERRUPTED) -> None:
        """End a trial as if it had never begun: it frees its slot, and is not retried."""
        self.heartbeats.remove(number)
        trial_id = self._get_id(number)
        with contextlib.suppress(UpdateFinishedTrialError):
            self.storage.set_trial_user_attr(trial_id, GIVEN_BACK, reason)
            self.storage.set_trial_state_values(trial_id, state=TrialState.FAIL)

    def leave(self, numbers: Iterable[int]) -> None:
        """Give trials back without waiting for the database, also from now on.

        If the database can't be reached, the next run finds the trials dead.
        """
        self.is_leaving = True
        with contextlib.suppress(Exception):
            for number in numbers:
                self.give_back(number)

    @_retry_during_outages
    def record_death(self, number: int) -> None:
        """Record that a trial has died with its process, and queue it again up to the limit."""
        self.heartbeats.remove(number)
        trial_id = self._get_id(number)
        with contextlib.suppress(UpdateFinishedTrialError):
            self.storage.set_trial_state_values(trial_id, state=TrialState.FAIL)
            self._retry(self.optuna_study, self.storage.get_trial(trial_id))

    @_retry_during_outages
    def record_dead_trials(self) -> None:
        """Find running trials whose process is gone, here or elsewhere, and record their death."""
        self.heartbeats.catch_up()
        running = self.trials(TrialState.RUNNING)  # first, as it may wait for the end of an outage
        silence_counts = not self.heartbeats.may_lack_those_of_others()
        for trial in running:
            owner = trial.user_attrs.get(OWNER, "")
            if trial.number in self._claimed:
                if trial.number not in self.heartbeats:  # an error occurred when it was begun
                    self.give_back(trial.number)
            elif is_dead(owner) or (silence_counts and is_silent(trial)):
                self.record_death(trial.number)
        if silence_counts:
            with warnings.catch_warnings(action="ignore"):  # Optuna calls heartbeats experimental
                optuna.storages.fail_stale_trials(self.optuna_study)

    def _get_id(self, number: int) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self._study_id, number)

    def _start(self, number: int) -> optuna.Trial | None:
        """Claim a queued trial; return None if another run has it, or a trial of the same slot."""
        trial_id = self._get_id(number)
        # Before the claim, so that a machine that dies right after it is found.
        self.heartbeats.add(number, trial_id)
        claimed = False
        try:
            with contextlib.suppress(UpdateFinishedTrialError):
                claimed = self.storage.set_trial_state_values(trial_id, state=TrialState.RUNNING)
        finally:
            if not claimed:  # or it is not known: nobody shall take the trial for a living one
                self.heartbeats.remove(number)
        if not claimed:
            return None
        self._claimed.add(number)
        try:
            self.storage.set_trial_user_attr(trial_id, OWNER, self._owner)
            # A trial that a user has queued has none yet.
            self.storage.set_trial_user_attr(trial_id, ORIGIN, self._origin_digest)
            slots = self._slots()
            if (slot := slots.get(number)) is None:  # another run has noted the death of its owner
                self.heartbeats.remove(number)
                return None
            if slot >= self.n_trials or slot in (slots[n] for n in slots if n < number):
                # Another run had queued a trial for that slot before, or there are fewer slots now.
                is_ours = SLOT in self.storage.get_trial(trial_id).user_attrs  # not a user's
                self.give_back(number, NOT_BEGUN if is_ours else INTERRUPTED)
                return None
            # A trial that a user has queued has no slot yet.
            self.storage.set_trial_user_attr(trial_id, SLOT, slot)
            self.optuna_study.sampler = self._make_sampler(slot)
            trial = optuna.Trial(self.optuna_study, trial_id)
            _suggest(trial, self._space)
            return trial
        except UpdateFinishedTrialError:  # a retry, which another run mistakes for the dead trial
            self.heartbeats.remove(number)
            return None
        except BaseException:
            self.give_back(number)
            raise

    def _find_lost(self, slot: int) -> FrozenTrial | None:
        """Return the last trial of a free slot that died.

        The limit of retries may have been raised since then, or its retry was interrupted.
        """
        trials = [t for t in self.trials(TrialState.FAIL) if t.user_attrs.get(SLOT) == slot]
        return next(filter(has_died, reversed(trials)), None)

    def _choose(self, lost: FrozenTrial) -> dict[str, Any]:
        """Return the hyperparameters that a trial in place of a lost one begins with."""
        if self._space.keys() <= lost.params.keys():
            return lost.params
        # It died before it had all of them. With some of them given, the sampler would not suggest
        # what it suggested before for the others.
        return dict(lost.system_attrs.get(QUEUED_PARAMETERS, {}))

    def _may_retry(self, trial: FrozenTrial) -> bool:
        has_retries = _count_deaths_before(trial) < self.max_retries
        return has_retries and _can_be_queued(trial, set(self._space))

    def _slots(self) -> dict[int, int]:
        """Return the slot of each trial that counts, runs or is queued, by its number."""
        slots: dict[int, int] = {}
        trials = self.trials()
        for trial in trials:
            under_way = trial.state == TrialState.WAITING or (
                # Without an owner, a running trial is not ours and may never end.
                trial.state == TrialState.RUNNING and OWNER in trial.user_attrs
            )
            if under_way or _counts(trial, trials, self.max_retries):
                slot = trial.user_attrs.get(SLOT)
                slots[trial.number] = _first_free(slots) if slot is None else slot
        return slots


def _counts(trial: FrozenTrial, trials: list[FrozenTrial], max_retries: int) -> bool:
    if trial.state != TrialState.FAIL:
        return trial.state.is_finished()
    return ERROR in trial.user_attrs or (
        GIVEN_BACK not in trial.user_attrs
        and _count_deaths_before(trial) >= max_retries
        # The limit may have been higher when it died.
        and not any(trial.number in t.system_attrs.get(RETRY_HISTORY, ()) for t in trials)
    )


def _list_counted(trials: list[FrozenTrial], max_retries: int) -> list[FrozenTrial]:
    return [trial for trial in trials if _counts(trial, trials, max_retries)]


def _count_after(best: FrozenTrial | None, trials: list[FrozenTrial]) -> int:
    return sum(best is None or trial.number > best.number for trial in trials)


def lacks_trials(
    study: optuna.Study, n_trials: int, max_retries: int, patience: int | None
) -> bool:
    """Return whether a search would run more trials of a study.

    Args:
        study: The study, or a copy of it.
        n_trials: Total number of trials that are to count.
        max_retries: Maximum number of retries of a trial that dies.
        patience: Number of trials without a better value after which the search ends; None for no
            limit.

    """
    counted = _list_counted(study.get_trials(deepcopy=False), max_retries)
    is_over = patience is not None and _count_after(find_best_trial(study), counted) >= patience
    return len(counted) < n_trials and not is_over


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _compare(recorded: Any, value: Any) -> str:
    """Return the difference between two JSON values; for two objects, the entries that differ."""
    if not (isinstance(recorded, dict) and isinstance(value, dict)):
        return f"{recorded} there, {value} here"
    names = [name for name in recorded | value if recorded.get(name) != value.get(name)]
    old, new = (
        ["none" if side.get(name) is None else side[name] for name in names]
        for side in (recorded, value)
    )
    changes = zip(names, old, new, strict=True)
    return ", ".join(f"{name}: {before} there, {now} here" for name, before, now in changes)


def _first_free(slots: dict[int, int]) -> int:
    taken = set(slots.values())
    return next(slot for slot in itertools.count() if slot not in taken)


def _suggest(trial: optuna.Trial, space: dict[str, BaseDistribution]) -> None:
    """Let the sampler choose all hyperparameters of a trial."""
    for name, distribution in space.items():
        match distribution:
            case FloatDistribution(low=low, high=high, step=step, log=log):
                trial.suggest_float(name, low, high, step=step, log=log)
            case IntDistribution(low=low, high=high, step=step, log=log):
                trial.suggest_int(name, low, high, step=step, log=log)
            case CategoricalDistribution(choices=choices):
                trial.suggest_categorical(name, choices)


@_explain_lasting_problems()
def choose_best_trials(
    storage: BaseStorage, name: str, space: dict[str, BaseDistribution]
) -> list[dict[str, Any]]:
    """Return the hyperparameters of a study's trials, the best first, for use in another study.

    Args:
        storage: Storage of the study.
        name: Name of the study.
        space: Search space of the other study: trials outside of it are left out, and so are
            hyperparameters that it does not search.

    Raises:
        InputError: There is no such study.

    """
    if name not in optuna.get_all_study_names(storage):
        raise InputError(
            f"there is no study {name!r}, which tuning.start_from names: set it to the name of an "
            "existing study, or to null"
        )
    study = optuna.load_study(study_name=name, storage=storage)
    trials = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    is_ascending = study.direction == StudyDirection.MINIMIZE
    chosen: list[dict[str, Any]] = []
    for trial in sorted(trials, key=lambda trial: trial.value or 0, reverse=not is_ascending):
        params = {key: trial.params[key] for key in space if key in trial.params}
        is_allowed = all(_allows(space[key], value) for key, value in params.items())
        if params and is_allowed and params not in chosen:
            chosen.append(params)
    return chosen


def _allows(distribution: BaseDistribution, value: Any) -> bool:
    match distribution:
        case FloatDistribution(low=low, high=high):
            return isinstance(value, int | float) and bool(low <= value <= high)
        case IntDistribution(low=low, high=high, step=step):
            is_on_step = isinstance(value, int) and (value - low) % step == 0
            return is_on_step and bool(low <= value <= high)
        case CategoricalDistribution(choices=choices):
            return value in choices
    return False


def list_begun_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials of a study in the order of their creation, except those never begun.

    Of two runs that queue a trial for one slot at the same moment, one gives its trial back.
    """
    return [t for t in study.trials if t.user_attrs.get(GIVEN_BACK) != NOT_BEGUN]


def was_given_back(trial: FrozenTrial) -> bool:
    """Return whether the run of a trial has ended it, so that it says nothing."""
    return GIVEN_BACK in trial.user_attrs


def has_died(trial: FrozenTrial) -> bool:
    """Return whether a trial has failed because its process died."""
    ended = {ERROR, GIVEN_BACK} & trial.user_attrs.keys()
    return trial.state == TrialState.FAIL and not ended


def measure_seconds(trial: FrozenTrial) -> float | None:
    """Return how long a trial took; None if it has not ended."""
    # Optuna notes the times of its beginning and its end, between which a clock may be set back.
    return max(0.0, trial.duration.total_seconds()) if trial.duration else None


def explain_failure(trial: FrozenTrial) -> str | None:
    """Return why a trial has failed; None if it has not."""
    if trial.state != TrialState.FAIL:
        return None
    if was_given_back(trial):
        return INTERRUPTED
    return str(trial.user_attrs.get(ERROR, "its process died"))


def _count_deaths_before(trial: FrozenTrial) -> int:
    return len(trial.system_attrs.get(RETRY_HISTORY, ()))


def _can_be_queued(trial: FrozenTrial, names: set[str]) -> bool:
    """Return whether a trial had begun, with values that a user has not queued out of range."""
    return names <= trial.params.keys() and all(
        _allows(trial.distributions[name], value) for name, value in trial.params.items()
    )


def _retry(
    queue_again: RetryHeartbeatStaleTrialCallback,
    names: set[str],
    owner: str,
    study: optuna.Study,
    trial: FrozenTrial,
) -> None:
    """Queue a trial whose process has died again, up to the limit."""
    if {ERROR, GIVEN_BACK} & trial.user_attrs.keys():
        return  # it had ended; only its state was not written yet
    if not _can_be_queued(trial, names):
        return  # its slot is free, and will get the same suggestions
    trial = copy.deepcopy(trial)  # Optuna extends its history
    trial.set_user_attr(OWNER, owner)
    trial.user_attrs.pop(HEARTBEAT, None)  # that of the dead trial
    queue_again(study, trial)
