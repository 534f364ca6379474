"""The loop of the search: begin trials where there is room, record how they end."""

import copy
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import TrialState

from imdb_sentiment.errors import InputError
from imdb_sentiment.search.progress import SearchProgress
from imdb_sentiment.search.study import SharedStudy
from imdb_sentiment.search.workers import Died, Workers

logger = logging.getLogger(__name__)

POLL_INTERVAL = 1.0  # seconds between two looks at what other processes do

# From a trial, whose hyperparameters are in `params`, and shared data to a value to maximise.
Objective = Callable[[optuna.Trial, Any], float]


@dataclass(frozen=True)
class Limits:
    """When a run begins no further trial, beside the study's `n_trials`.

    Attributes:
        timeout: Seconds that the run has taken; None for no limit.
        patience: Trials without a better value; None for no limit.

    """

    timeout: float | None = None
    patience: int | None = None


def run_trials(
    study: SharedStudy,
    objective: Objective,
    data: Any,
    *,
    limits: Limits,
    workers: Workers,
) -> None:
    """Run trials until the study has as many as it is to have, or a limit is reached.

    An objective that raises fails its trial, not the study. A call that dies with its process is
    begun again, as `SharedStudy` has it. If other runs hold the last trials, this one waits for
    them, and takes over what they leave.

    Args:
        study: To which the trials belong.
        objective: May report values and raise `optuna.TrialPruned`.
        data: The objective's second argument; it reaches each process once.
        limits: When to stop before that.
        workers: Where to call the objective.

    Raises:
        InputError: The scheduler or the database is gone, or a worker can't run trials.
        KeyboardInterrupt: Trials that ended before it are kept.

    """
    deadline = math.inf if limits.timeout is None else time.monotonic() + limits.timeout
    shared = workers.share(data)
    running: dict[int, optuna.Trial] = {}
    waiting = False

    def reached() -> str | None:
        counted = len(study.counted())
        if counted >= study.n_trials:
            return "the study has all its trials"
        if time.monotonic() >= deadline:
            return f"tuning.timeout is reached, with {counted} of {study.n_trials} trials"
        if limits.patience is not None and study.trials_since_best() >= limits.patience:
            return f"{limits.patience} trials brought no better value, after {counted} in all"
        return None

    study.lose_dead_trials()
    with SearchProgress(len(study.counted()), study.n_trials) as progress, study:
        try:
            _show(study, progress)
            while (reason := reached()) is None or running:
                study.lose_dead_trials()
                while reason is None and (room := workers.find_room()) is not None:
                    trial = study.begin_trial()
                    if trial is None:
                        break
                    running[trial.number] = trial
                    logger.info("Trial %d: %s", trial.number, format_values(trial.params))
                    workers.start(
                        room,
                        trial.number,
                        _call,
                        study.optuna_study,
                        trial._trial_id,
                        objective,
                        shared,
                    )
                if reason is None and not running and not waiting:
                    waiting = True
                    logger.info("No trial to begin here now: waiting for workers or other runs.")
                for number, outcome in workers.collect(POLL_INTERVAL).items():
                    _record(study, running.pop(number), outcome, progress)
        except BaseException:
            study.abandon(running.values())
            raise
    logger.info("Search ended: %s.", reason)


def format_values(values: dict[str, Any]) -> str:
    """Return names and values for people to read."""
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values.items()
    )


@dataclass(frozen=True)
class _Outcome:
    state: TrialState
    value: float | None = None
    error: str | None = None


class _CutOff:
    """What comes of a call whose process can't reach the study."""


def _call(
    study: optuna.Study, trial_id: int, objective: Objective, data: Any
) -> _Outcome | _CutOff:
    """Call the objective, in whatever process this is, and say how it ended."""
    study = copy.copy(study)
    study.sampler = optuna.samplers.RandomSampler()  # not asked: all is suggested already
    try:
        value = float(objective(optuna.Trial(study, trial_id), data))
    except optuna.TrialPruned:
        return _Outcome(TrialState.PRUNED)
    except (StorageInternalError, UpdateFinishedTrialError):
        return _CutOff()  # the way to the study is broken, or others have the trial: no fault of it
    except Exception as error:
        if type(error).__module__.startswith("distributed."):
            return _CutOff()  # so is the way to the scheduler
        return _Outcome(TrialState.FAIL, error=f"{type(error).__name__}: {error}")
    if not math.isfinite(value):
        return _Outcome(TrialState.FAIL, error=f"the objective's value is {value}")
    return _Outcome(TrialState.COMPLETE, value)


def _record(
    study: SharedStudy, trial: optuna.Trial, outcome: Any, progress: SearchProgress
) -> None:
    if isinstance(outcome, Died):
        study.lose_trial(trial._trial_id)
        logger.warning(
            "Trial %d: its worker died. It is recorded as failed, and retried up to the limit.",
            trial.number,
        )
        return
    if isinstance(outcome, _CutOff):
        study.give_back(trial._trial_id)
        logger.warning("Trial %d: it lost touch with the study, and is begun again.", trial.number)
        return
    if isinstance(outcome, BaseException):
        study.give_back(trial._trial_id)
        raise InputError(
            f"a worker can't run a trial ({type(outcome).__name__}: {outcome}): does it have the "
            "project and the same packages?"
        ) from outcome
    study.finish_trial(trial, outcome.state, outcome.value, outcome.error)
    so_far = _show(study, progress)
    if outcome.state == TrialState.COMPLETE:
        logger.info("Trial %d: %.4f (%s)", trial.number, outcome.value, so_far)
    elif outcome.state == TrialState.PRUNED:
        logger.info("Trial %d: pruned (%s)", trial.number, so_far)
    else:
        logger.warning("Trial %d failed: %s (%s)", trial.number, outcome.error, so_far)


def _show(study: SharedStudy, progress: SearchProgress) -> str:
    best = study.best()
    running = len(study.trials(TrialState.RUNNING))
    return progress.update(len(study.counted()), best.value if best else None, running)
