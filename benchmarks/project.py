"""A project of its own for each measurement, so that nothing in data/ is touched."""

import csv
import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

os.environ.pop("MLFLOW_TRACKING_URI", None)  # measurements are not to be kept there

NO_PRUNER = "tuning.pruner.name=NopPruner,tuning.pruner.arguments=null"
ROOT = Path(__file__).resolve().parents[1]


def make_project(folder: Path) -> Path:
    """Copy the project's code and configuration into `folder`, with a data folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(ROOT / name, folder)
    for name in ("conf", "src"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("local"))
    (folder / "conf/local").mkdir()
    (folder / "data/01_raw").mkdir(parents=True)
    shutil.copy(ROOT / "data/01_raw/custom_reviews.csv", folder / "data/01_raw")
    return folder


def repeat_csv(source: Path, target: Path, times: int) -> None:
    """Write `source` `times` over, each copy's texts made distinct by a word at their end."""
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
    """Return processor, cores and Python, in one line."""
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


@dataclass(frozen=True)
class Usage:
    """What a process has taken: wall seconds and peak resident MiB."""

    seconds: float
    peak_mib: float


def measure(command: list[str], folder: Path) -> Usage:
    """Run a Python command, such as `["-m", "kedro", "run"]`, to its end, or exit with its log."""
    start = time.perf_counter()
    with (folder / "log").open("w+", encoding="utf-8") as log:
        process = subprocess.Popen([sys.executable, *command], cwd=folder, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        if status != 0:
            log.seek(0)
            sys.exit(log.read())
    return Usage(seconds, usage.ru_maxrss / 1024)


class Search:
    """Searches with the preset of IMDB, each a whole process, on the same prepared reviews.

    Args:
        folder: Where the project is to be.
        csv: Reviews with the columns `review` and `sentiment`, split at random.
        rows: How many of them, drawn at random; None for all.

    """

    def __init__(self, folder: Path, csv: Path, rows: int | None) -> None:
        self.project = make_project(folder)
        reviews = pd.read_csv(csv)
        if rows is not None:
            reviews = reviews.sample(rows, random_state=0)
        reviews.to_csv(self.project / "data/01_raw/imdb_reviews.csv", index=False)
        self._run("data_processing", "split.method=random")

    def measure(self, study: str, n_trials: int, parameters: str) -> Usage:
        """Run a study from its beginning to its end."""
        common = f"tuning.study_name={study},tuning.n_trials={n_trials}"
        return self._run("tuning", f"{common},{parameters}")

    def _run(self, pipeline: str, parameters: str) -> Usage:
        command = ["-m", "kedro", "run", "--env", "imdb", "--pipelines", pipeline]
        return measure([*command, "--params", parameters], self.project)
