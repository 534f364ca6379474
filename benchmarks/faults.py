"""Searches whose processes are killed at random moments, and started again until they are done.

    .venv/bin/python benchmarks/faults.py
    .venv/bin/python benchmarks/faults.py --url postgresql+psycopg://USER:PASSWORD@HOST/DATABASE

A Dask cluster of separate processes runs `kedro run --pipelines tuning` on made-up reviews. Again
and again, once trials run, one of the processes gets SIGKILL: the run, a worker, or the scheduler.
What is missing then is started again. After each kill the study is read: a finished trial that is
gone or has changed is lost, and a study that can't be read is unreadable.
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
MOMENTS = 25  # seconds from the first new trial within which a process is hit; trials take about 3
PARAMETERS: dict[str, Any] = {
    "tokenizer": {"vocabulary_size": 50, "sequence_length": 12},
    "hyperparameters": {"embedding_size": 4, "epochs": 3, "batch_size": 8},
    "tuning": {
        "study_name": STUDY,
        "max_retries": 20,  # no trial is to be given up, however often it is hit
        "search_space": {"units": {"type": "int", "low": 2, "high": 64}},
    },
}


class Processes:
    """The scheduler, the workers and the run, started when they are missing."""

    def __init__(self, project: Path, n_workers: int) -> None:
        self._project = project
        self._file = project / "scheduler.json"
        self._n_workers = n_workers
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._log = (project / "processes.log").open("wb")

    def start_missing(self) -> None:
        """Start what is not running; the workers follow their scheduler."""
        if not self._alive("scheduler"):
            if "run" in self._running:
                self._running["run"].wait(120)  # it must find out by itself
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
        """Return whether the run has ended well."""
        run = self._running.get("run")
        return run is not None and run.poll() == 0

    def kill(self, rng: random.Random) -> str | None:
        """Kill one process, and return which; None if it was not there."""
        kind = rng.choice(["run", "scheduler", "worker"])
        if kind != "worker":
            self._running[kind].kill()
            self._running[kind].wait()
            return kind
        nanny = psutil.Process(self._running[f"worker {rng.randrange(self._n_workers)}"].pid)
        for child in nanny.children(recursive=True):
            if "spawn_main" in " ".join(child.cmdline()):  # what trains; its nanny starts another
                child.kill()
                return kind
        return None

    def stop(self) -> None:
        """Kill all."""
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
    """Return the study's storage, opened once: each one keeps its connections."""
    return optuna.storages.RDBStorage(url)


def open_study(url: str) -> optuna.Study:
    """Read the study anew."""
    return optuna.load_study(study_name=STUDY, storage=open_storage(url))


def count_trials(url: str) -> int:
    """Return how many trials there are, in any state."""
    try:
        return len(open_study(url).get_trials(deepcopy=False))
    except KeyError:  # not yet a study
        return 0


def read_finished(url: str) -> dict[int, tuple[str, float | None]]:
    """Return state and value of each trial that counts, by its number."""
    study = open_study(url)
    return {
        trial.number: (trial.state.name, trial.value)
        for trial in study.get_trials()
        if trial.state.name in ("COMPLETE", "PRUNED") or "error" in trial.user_attrs
    }


@dataclass
class Tally:
    """What was hit, and what came of it."""

    killed: collections.Counter[str] = field(default_factory=collections.Counter)
    finished: dict[int, tuple[str, float | None]] = field(default_factory=dict)
    lost: int = 0
    unreadable: int = 0

    def look(self, url: str) -> None:
        """Compare what is finished with what was before."""
        try:
            now = read_finished(url)
        except KeyError:  # hit before the study was made
            now = {}
        except Exception as error:
            self.unreadable += 1
            print(f"unreadable: {error}")
            return
        self.lost += sum(now.get(number) != trial for number, trial in self.finished.items())
        self.finished = now


def kill_and_resume(processes: Processes, url: str, kills: int, rng: random.Random) -> Tally:
    """Kill processes at random moments, resume, and go on until the study is done."""
    tally = Tally()
    while not processes.run_succeeded():
        before = count_trials(url)
        processes.start_missing()
        if tally.killed.total() == kills:
            time.sleep(1)
            continue
        deadline = time.monotonic() + 90
        while count_trials(url) == before and time.monotonic() < deadline:  # it is starting
            time.sleep(0.5)
        time.sleep(rng.uniform(0, MOMENTS))
        if processes.run_succeeded():
            break
        if victim := processes.kill(rng):
            tally.killed[victim] += 1
            tally.look(url)
            print(f"{victim} killed: {len(tally.finished)} trials finished", flush=True)
    tally.look(url)
    return tally


def main() -> None:
    """Kill, resume, count and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--trials", type=int, default=100, help="of the study in all")
    parser.add_argument("--url", help="of a database; a SQLite file of its own if not given")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the victims")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as temporary:
        project = make_project(Path(temporary))
        url = arguments.url or f"sqlite:///{project}/data/06_models/study.db"
        prepare(project, arguments.trials, arguments.url)
        (project / "data/06_models").mkdir()
        open_storage(url)  # makes the tables
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
    print(f"Studies unreadable: {tally.unreadable}")


def prepare(project: Path, n_trials: int, url: str | None) -> None:
    """Write reviews, parameters and catalog, and run what comes before tuning."""
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
