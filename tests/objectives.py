"""Objectives for tests of the search, importable by other processes."""

import logging
import os
import time
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution

from imdb_sentiment.search import SharedStudy, open_workers, run_trials
from imdb_sentiment.search.workers import Workers

SPACE: dict[str, BaseDistribution] = {"x": FloatDistribution(0, 1)}


def make_study(storage: optuna.storages.BaseStorage, n_trials: int, **changes: Any) -> SharedStudy:
    """Return a study with seeded samplers, as the pipeline tuning creates it."""
    settings: dict[str, Any] = {
        "origin": {},
        "n_trials": n_trials,
        "max_retries": 2,
        "make_sampler": lambda n: optuna.samplers.TPESampler(seed=n),
        "pruner": optuna.pruners.NopPruner(),
    }
    settings |= changes
    return SharedStudy(storage, settings.pop("name", "a study"), SPACE, **settings)


def search(
    study: SharedStudy,
    objective: Any,
    data: Any = None,
    workers: Workers | None = None,
    **limits: Any,
) -> None:
    """Run the missing trials, in this process by default."""
    if workers is not None:
        run_trials(study, objective, data, workers=workers, **limits)
        return
    with open_workers(1, None) as here:
        run_trials(study, objective, data, workers=here, **limits)


def log_slow_call(trial: optuna.Trial, log: Path) -> float:
    """Sleep, append the trial's number and process to a file, return the hyperparameter."""
    with log.open("a") as file:
        file.write(f"{trial.number} {os.getpid()}\n")
    time.sleep(0.2)
    return float(trial.params["x"])


def hang_unless_told(trial: optuna.Trial, folder: Path) -> float:
    """Write the process id into the folder and wait until it has a file `go`."""
    (folder / f"{trial.number}.pid").write_text(str(os.getpid()))
    wait_for_file(folder / "go")
    return float(trial.params["x"])


def wait_for_file(path: Path) -> None:
    """Wait until a file exists."""
    while not path.exists():
        time.sleep(0.02)


def raise_below_half(trial: optuna.Trial, _: object) -> float:
    """Raise an error in half of the search space."""
    x = float(trial.params["x"])
    if x < 0.5:
        raise ValueError(f"{x:.3f} is too low")
    return x


class CountedOnArrival:
    """Shared data that append a line to a file whenever a process receives them."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def __getstate__(self) -> dict[str, Any]:
        return {"log": self.log, "sender": os.getpid()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.log = state["log"]
        with self.log.open("a") as file:
            file.write(f"{os.getpid()}\n")


def use_counted(trial: optuna.Trial, data: CountedOnArrival) -> float:
    """Append the process id to a second file; return the hyperparameter."""
    time.sleep(0.2)
    with data.log.with_suffix(".used").open("a") as file:
        file.write(f"{os.getpid()}\n")
    return float(trial.params["x"])


def log_a_line() -> None:
    """Log a line, as a trial does after an epoch."""
    logging.getLogger("imdb_sentiment.objectives").info("an epoch of %s", os.getpid())
