"""A temporary copy of the project for each measurement, so that data/ is not changed."""

import csv
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

os.environ.pop("MLFLOW_TRACKING_URI", None)  # measurements do not belong among the tracked runs

NO_PRUNER = "tuning.pruner.name=NopPruner,tuning.pruner.arguments=null"
ROOT = Path(__file__).resolve().parents[1]


def make_project(folder: Path, source: Path = ROOT) -> Path:
    """Copy a project's code and configuration into `folder`, with an empty data folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(source / name, folder)
    for name in ("conf", "src"):
        shutil.copytree(source / name, folder / name, ignore=shutil.ignore_patterns("local"))
    (folder / "conf/local").mkdir()
    (folder / "data/01_raw").mkdir(parents=True)
    shutil.copy(source / "data/01_raw/custom_reviews.csv", folder / "data/01_raw")
    return folder


def repeat_csv(source: Path, target: Path, times: int) -> None:
    """Repeat the rows of `source`; a word appended to each text makes the copies distinct."""
    with target.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        for copy in range(times):
            with source.open(encoding="utf-8", newline="") as file:
                reader = csv.reader(file)
                header = next(reader)
                if copy == 0:
                    writer.writerow(header)
                text = header.index("review")
                for row in reader:
                    row[text] += f" copy{copy}"
                    writer.writerow(row)


def describe_machine() -> str:
    """Return the processor, the number of cores and the Python version in one line."""
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


@dataclass(frozen=True)
class Usage:
    """Wall-clock seconds, peak resident memory in MiB and processor time of a process."""

    seconds: float
    peak_mib: float
    cpu_seconds: float


def measure(command: list[str], folder: Path, variables: Mapping[str, str] | None = None) -> Usage:
    """Run a Python command such as `["-m", "kedro", "run"]`; if it fails, exit with its log."""
    environment = os.environ | (variables or {})
    start = time.perf_counter()
    with (folder / "log").open("w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=folder, stdout=log, stderr=log, env=environment
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        if status != 0:
            log.seek(0)
            sys.exit(log.read())
    return Usage(seconds, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime)


class Search:
    """Searches with the preset for IMDB, each in its own process, on the same encoded reviews.

    Args:
        folder: Folder for the copy of the project.
        csv: Reviews with the columns `review` and `sentiment`; they are split at random.
        rows: Number of rows to use, drawn at random; None for all.

    """

    def __init__(self, folder: Path, csv: Path, rows: int | None) -> None:
        self.project = make_project(folder)
        reviews = pd.read_csv(csv)
        if rows is not None:
            reviews = reviews.sample(rows, random_state=0)
        reviews.to_csv(self.project / "data/01_raw/imdb_reviews.csv", index=False)
        self._run("data_processing", "split.method=random")

    def measure(self, study: str, n_trials: int, parameters: str) -> Usage:
        """Run a new study to its end."""
        common = f"tuning.study_name={study},tuning.n_trials={n_trials},tuning.folds=1"
        return self._run("tuning", f"{common},{parameters}")

    def _run(self, pipeline: str, parameters: str) -> Usage:
        command = ["-m", "kedro", "run", "--env", "imdb", "--pipelines", pipeline]
        return measure([*command, "--params", parameters], self.project)
