"""Searches whose processes are killed at random moments and restarted until the study is complete.

    .venv/bin/python benchmarks/faults.py
    .venv/bin/python benchmarks/faults.py --url postgresql+psycopg://USER:PASSWORD@HOST/DATABASE

A Dask cluster of separate processes runs `kedro run --pipelines tuning` on synthetic reviews. As
soon as trials are running, one process at a time receives SIGKILL: the run, a worker or the
scheduler. Whatever is no longer running is then restarted. The study is read after each kill: a
finished trial that has disappeared or changed counts as lost, and a study that cannot be read
counts as unreadable.
"""

import argparse
import collections
import csv
import functools
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import psutil
import yaml
from project import describe_machine, make_project, measure

STUDY = "faults"
MAX_DELAY = 25  # seconds between the first new trial and a kill; a trial takes about 3
PARAMETERS: dict[str, Any] = {
    "tokenizer": {"vocabulary_size": 50, "sequence_length": 12},
    "word_vectors": {"size": 4},
    "hyperparameters": {"epochs": 3, "batch_size": 8, "min_steps": 0, "min_steps_per_label": 0},
    "tuning": {
        "study_name": STUDY,
        "folds": 1,
        "max_retries": 20,  # enough that every trial is retried until it finishes
        "search_space": {"units": {"type": "int", "low": 2, "high": 64}},
    },
}


class Processes:
    """The scheduler, the workers and the run; restarts those that have ended."""

    def __init__(self, project: Path, n_workers: int) -> None:
        self._project = project
        self._file = project / "scheduler.json"
        self._n_workers = n_workers
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._log = (project / "processes.log").open("wb")

    def start_missing(self) -> None:
        """Start the processes that are not running; a new scheduler gets new workers."""
        if not self._alive("scheduler"):
            if "run" in self._running:
                self._running["run"].wait(120)  # ends without its scheduler
            for name in list(self._running):
                process = self._running.pop(name)
                process.kill()
                process.wait()
            self._file.unlink(missing_ok=True)
            dask = ["-m", "dask", "scheduler", "--scheduler-file", str(self._file), "--port", "0"]
            self._start("scheduler", *dask, "--no-dashboard")
        for number in range(self._n_workers):
            if not self._alive(f"worker {number}"):
                dask = ["-m", "dask", "worker", "--scheduler-file", str(self._file)]
                self._start(f"worker {number}", *dask, "--nthreads", "1", "--no-dashboard")
        if not self._alive("run"):
            deadline = time.monotonic() + 60
            while not self._file.exists() and time.monotonic() < deadline:
                time.sleep(0.1)
            address = yaml.safe_load(self._file.read_text())["address"]
            parameters = f"tuning.scheduler_address={address}"
            kedro = ["-m", "kedro", "run", "--pipelines", "tuning", "--params", parameters]
            self._start("run", *kedro)

    def run_succeeded(self) -> bool:
        """Return whether the run has ended without an error."""
        run = self._running.get("run")
        return run is not None and run.poll() == 0

    def kill(self, rng: random.Random) -> str | None:
        """Kill a random process and return its kind; None if there was none to kill."""
        kind = rng.choice(["run", "scheduler", "worker"])
        if kind != "worker":
            self._running[kind].kill()
            self._running[kind].wait()
            return kind
        nanny = psutil.Process(self._running[f"worker {rng.randrange(self._n_workers)}"].pid)
        for child in nanny.children(recursive=True):
            if "spawn_main" in " ".join(child.cmdline()):  # trains; its nanny starts another
                child.kill()
                return kind
        return None

    def stop(self) -> None:
        """Kill all processes."""
        for process in self._running.values():
            if process.poll() is None:
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
            process.kill()
            process.wait()
        self._log.close()

    def _alive(self, name: str) -> bool:
        return name in self._running and self._running[name].poll() is None

    def _start(self, name: str, *command: str) -> None:
        self._running[name] = subprocess.Popen(
            [sys.executable, *command],
            cwd=self._project,
            env=os.environ | {"PYTHONPATH": str(self._project / "src")},
            stdout=self._log,
            stderr=self._log,
        )


@functools.cache
def open_storage(url: str) -> optuna.storages.RDBStorage:
    """Return the study's storage, opened once because each keeps its connections open."""
    return optuna.storages.RDBStorage(url)


def open_study(url: str) -> optuna.Study:
    """Return the study in its current state."""
    return optuna.load_study(study_name=STUDY, storage=open_storage(url))


def count_trials(url: str) -> int:
    """Return the number of trials in any state."""
    try:
        return len(open_study(url).get_trials(deepcopy=False))
    except KeyError:  # the study does not exist yet
        return 0


def read_finished(url: str) -> dict[int, tuple[str, float | None]]:
    """Return the state and value of each finished trial, by trial number."""
    study = open_study(url)
    return {
        trial.number: (trial.state.name, trial.value)
        for trial in study.get_trials()
        if trial.state.name in ("COMPLETE", "PRUNED") or "error" in trial.user_attrs
    }


@dataclass
class Tally:
    """Processes killed so far, and what happened to the study."""

    killed: collections.Counter[str] = field(default_factory=collections.Counter)
    finished: dict[int, tuple[str, float | None]] = field(default_factory=dict)
    lost: int = 0
    unreadable: int = 0

    def look(self, url: str) -> None:
        """Compare the finished trials with those of the previous look."""
        try:
            now = read_finished(url)
        except KeyError:  # killed before the study was created
            now = {}
        except Exception as error:
            self.unreadable += 1
            print(f"unreadable: {error}")
            return
        self.lost += sum(now.get(number) != trial for number, trial in self.finished.items())
        self.finished = now


def kill_and_resume(processes: Processes, url: str, kills: int, rng: random.Random) -> Tally:
    """Kill and restart processes until the study is complete."""
    tally = Tally()
    while not processes.run_succeeded():
        before = count_trials(url)
        processes.start_missing()
        if tally.killed.total() == kills:
            time.sleep(1)
            continue
        deadline = time.monotonic() + 90
        while count_trials(url) == before and time.monotonic() < deadline:  # still starting
            time.sleep(0.5)
        time.sleep(rng.uniform(0, MAX_DELAY))
        if processes.run_succeeded():
            break
        if victim := processes.kill(rng):
            tally.killed[victim] += 1
            tally.look(url)
            print(f"{victim} killed: {len(tally.finished)} trials finished", flush=True)
    tally.look(url)
    return tally


def main() -> None:
    """Run the search with its faults and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--trials", type=int, default=100, help="total number of trials")
    parser.add_argument("--url", help="URL of a database; by default, a temporary SQLite file")
    parser.add_argument("--seed", type=int, default=0, help="seed of the kills")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as temporary:
        project = make_project(Path(temporary))
        url = arguments.url or f"sqlite:///{project}/data/06_models/study.db"
        prepare(project, arguments.trials, arguments.url)
        (project / "data/06_models").mkdir()
        open_storage(url)  # creates the tables
        processes = Processes(project, n_workers=2)
        try:
            rng = random.Random(arguments.seed)
            tally = kill_and_resume(processes, url, arguments.kills, rng)
        finally:
            processes.stop()
        states = collections.Counter(state for state, _ in tally.finished.values())
        trials = open_study(url).get_trials()
    print(describe_machine())
    print(f"Killed: {dict(tally.killed)}")
    print(f"Finished trials: {len(tally.finished)} of {arguments.trials}: {dict(states)}")
    print(f"Retries: {sum('failed_trial' in trial.system_attrs for trial in trials)}")
    print(f"Finished trials lost: {tally.lost}")
    print(f"Trials beyond the total: {max(0, len(tally.finished) - arguments.trials)}")
    print(f"Times the study was unreadable: {tally.unreadable}")
    if tally.lost or tally.unreadable or len(tally.finished) > arguments.trials:
        sys.exit(1)


def prepare(project: Path, n_trials: int, url: str | None) -> None:
    """Write reviews, parameters and catalog, and run data_processing."""
    rng = random.Random(0)
    with (project / "data/01_raw/sample_reviews.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("review", "sentiment"))
        for number in range(600):
            words = rng.choices(("awful", "boring") if number % 2 else ("superb", "moving"), k=5)
            writer.writerow(
                (" ".join([*words, f"x{number}"]), ("positive", "negative")[number % 2])
            )
    parameters = PARAMETERS | {"tuning": PARAMETERS["tuning"] | {"n_trials": n_trials}}
    (project / "conf/local/parameters.yml").write_text(yaml.safe_dump(parameters))
    if url:
        entry = {"type": "imdb_sentiment.datasets.OptunaStorageDataset", "url": url}
        catalog = yaml.safe_dump({"study_storage": entry})
        (project / "conf/local/catalog.yml").write_text(catalog)
    measure(["-m", "kedro", "run", "--pipelines", "data_processing"], project)


if __name__ == "__main__":
    main()
