"""The loop of the search: start trials on free workers, record how they end."""

import logging
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import TrialState

from imdb_sentiment.errors import InputError
from imdb_sentiment.progress import format_seconds
from imdb_sentiment.search.progress import SearchProgress
from imdb_sentiment.search.study import SharedStudy
from imdb_sentiment.search.workers import WorkerDied, Workers

logger = logging.getLogger(__name__)

POLL_INTERVAL = 1.0  # seconds between two checks of what other processes do

# Function from a trial, whose hyperparameters are in `params`, and the shared data to its value.
Objective = Callable[[optuna.Trial, Any], float]


def run_trials(
    study: SharedStudy,
    objective: Objective,
    data: Any,
    *,
    workers: Workers,
    timeout: float | None = None,
    patience: int | None = None,
) -> None:
    """Run trials until the study has `n_trials`, or a limit is reached.

    If the objective raises an exception, the trial fails, not the search. If its process dies, the
    trial is retried as described in `SharedStudy`. If other runs have the last trials, this run
    waits for them, and takes over those of a run that dies.

    Args:
        study: The study.
        objective: Function of a trial and the data; it may report values and raise
            `optuna.TrialPruned`.
        data: Second argument of the objective; it is sent to each process once.
        workers: Processes that call the objective.
        timeout: Number of seconds after which no further trial is started; None for no limit.
        patience: Number of trials without a better value after which no further trial is started;
            None for no limit.

    Raises:
        InputError: The study has another origin, the Dask scheduler or the database can't be
            reached any more, or a worker can't run trials.
        KeyboardInterrupt: The user has pressed Ctrl-C; finished trials are kept.

    """
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    shared = workers.share(data)
    running: dict[int, str] = {}  # the hyperparameters of the trials, by their number
    waiting = False

    def find_reason_to_stop() -> str | None:
        counted = len(study.counted())
        if counted >= study.n_trials:
            return "the study has all its trials"
        if time.monotonic() >= deadline:
            return f"tuning.timeout is reached, with {counted} of {study.n_trials} trials"
        if patience is not None and study.trials_since_best() >= patience:
            return f"{patience} trials without improvement, after {counted} in all"
        return None

    study.require_origin()
    study.record_dead_trials()
    with SearchProgress(len(study.counted()), study.n_trials) as progress, study.heartbeats:
        try:
            _update_progress(study, progress)
            while (reason := find_reason_to_stop()) is None or running:
                study.record_dead_trials()
                while reason is None and (worker := workers.find_free_worker()) is not None:
                    trial = study.begin_trial()
                    if trial is None:
                        break
                    running[trial.number] = describe_values(trial.params)
                    waiting = False
                    progress.begin(trial.number)
                    logger.debug("Trial %d: begun%s", trial.number, running[trial.number])
                    workers.start(worker, trial.number, _call_objective, objective, trial, shared)
                if reason is None and not running and not waiting:
                    waiting = True
                    if workers.has_any():
                        logger.info("No trial to start now: waiting for workers or other runs.")
                    else:
                        logger.warning("The cluster has no workers: start some with `dask worker`")
                for number, outcome in workers.collect(POLL_INTERVAL).items():
                    _record_outcome(study, number, running[number], outcome, progress)
                    del running[number]  # only now: Ctrl-C in between has to give the trial back
        except BaseException:
            study.leave(running)
            raise
    study.require_origin()  # all trials may be those of another run, which began the study
    level = logging.DEBUG if len(study.counted()) >= study.n_trials else logging.INFO
    logger.log(level, "Search ended: %s.", reason)


def describe_values(values: dict[str, Any]) -> str:
    """Return " with" and a readable list of names and values; empty if there are none."""
    listed = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values.items()
    )
    return f" with {listed}" if values else ""


class _Outcome(NamedTuple):
    """How a trial has ended."""

    state: TrialState
    value: float | None = None
    error: str | None = None


def _call_objective(objective: Objective, trial: optuna.Trial, data: Any) -> _Outcome | None:
    """Return how a call of the objective ended; None if it could not reach the study."""
    try:
        value = float(objective(trial, data))
    except optuna.TrialPruned:
        return _Outcome(TrialState.PRUNED)
    except (StorageInternalError, UpdateFinishedTrialError):
        return None  # no database, or another run has taken over the trial
    except Exception as error:
        if type(error).__module__.startswith("distributed."):
            return None  # no Dask scheduler
        logger.debug("Trial %d has failed", trial.number, exc_info=True)
        return _Outcome(TrialState.FAIL, error=f"{type(error).__name__}: {error}")
    if not math.isfinite(value):
        return _Outcome(TrialState.FAIL, error=f"the objective's value is {value}")
    return _Outcome(TrialState.COMPLETE, value)


def _record_outcome(
    study: SharedStudy, number: int, chosen: str, outcome: Any, progress: SearchProgress
) -> None:
    seconds = format_seconds(progress.end(number))
    if isinstance(outcome, WorkerDied):
        study.record_death(number)
        logger.warning(
            "Trial %d: its worker died. A trial is retried at most tuning.max_retries times.",
            number,
        )
        return
    if outcome is None:
        study.give_back(number)
        logger.warning("Trial %d: lost the connection to the study and is run again.", number)
        return
    if isinstance(outcome, BaseException):
        study.give_back(number)
        raise InputError(
            f"a worker can't run a trial ({type(outcome).__name__}: {outcome}): install the same "
            "version of the project and of its packages on all workers"
        ) from outcome
    study.finish_trial(number, *outcome)
    so_far = _update_progress(study, progress)
    if outcome.state == TrialState.COMPLETE:
        value = f"{outcome.value:.4f}"
        logger.info("Trial %d: %s%s, in %s (%s)", number, value, chosen, seconds, so_far)
    elif outcome.state == TrialState.PRUNED:
        logger.info("Trial %d: pruned%s, after %s (%s)", number, chosen, seconds, so_far)
    else:
        logger.warning("Trial %d failed: %s (%s)", number, outcome.error, so_far)


def _update_progress(study: SharedStudy, progress: SearchProgress) -> str:
    best = study.best()
    return progress.update(len(study.counted()), best.value if best else None)
