"""A temporary copy of the project for each measurement, so that data/ is not changed."""

import contextlib
import csv
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil

os.environ.pop("MLFLOW_TRACKING_URI", None)  # measurements do not belong among the tracked runs
os.environ.pop("IMDB_SENTIMENT_API_KEY", None)  # the clients here have none

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
    """Return the architecture, the number of cores and the Python version in one line."""
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


@dataclass(frozen=True)
class Usage:
    """Wall-clock seconds, peak resident memory in MiB and processor time of a process.

    `peak_mib` is the peak of the largest process, and `workers_mib` that of the largest one that it
    has started, sampled ten times per second. The processor time is that of all processes; for
    forked workers, it is sampled as often.
    """

    seconds: float
    peak_mib: float
    cpu_seconds: float
    workers_mib: float


def measure(command: list[str], folder: Path, variables: Mapping[str, str] | None = None) -> Usage:
    """Run a Python command such as `["-m", "kedro", "run"]`; if it fails, exit with its log."""
    environment = os.environ | (variables or {})
    start = time.perf_counter()
    with (folder / "log").open("w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=folder, stdout=log, stderr=log, env=environment
        )
        workers_mib = 0.0
        forked: dict[int, float] = {}  # processor time of processes that this one does not wait for
        has_ended = threading.Event()

        def watch() -> None:
            nonlocal workers_mib
            while not has_ended.wait(0.1):
                with contextlib.suppress(psutil.Error):
                    for child in psutil.Process(process.pid).children(recursive=True):
                        workers_mib = max(workers_mib, child.memory_info().rss / 1024**2)
                        if "multiprocessing.forkserver" in " ".join(child.cmdline()):
                            times = child.cpu_times()
                            forked[child.pid] = times.user + times.system

        watcher = threading.Thread(target=watch)
        watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        has_ended.set()
        watcher.join()
        if status != 0:
            log.seek(0)
            sys.exit(log.read())
    cpu_seconds = usage.ru_utime + usage.ru_stime + sum(forked.values())
    return Usage(seconds, usage.ru_maxrss / 1024, cpu_seconds, workers_mib)


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
            reviews = reviews.sample(min(rows, len(reviews)), random_state=0)
        reviews.to_csv(self.project / "data/01_raw/imdb_reviews.csv", index=False)
        self._run("data_processing", "split.method=random")

    def measure(self, study: str, n_trials: int, parameters: str) -> Usage:
        """Run a new study to its end."""
        common = f"tuning.study_name={study},tuning.n_trials={n_trials},tuning.folds=1"
        return self._run("tuning", f"{common},{parameters}")

    def _run(self, pipeline: str, parameters: str) -> Usage:
        command = ["-m", "kedro", "run", "--env", "imdb", "--pipelines", pipeline]
        return measure([*command, "--params", parameters], self.project)


@contextmanager
def run_cluster(folder: Path, workers: int) -> Iterator[str]:
    """Start a scheduler and workers in separate processes; yield the scheduler's address."""
    import distributed

    file = folder / f"scheduler{workers}.json"
    dask = [sys.executable, "-m", "dask"]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path),
        # Many workers share the cores here, and each would look at itself many times a second.
        "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
        "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "1s",
        "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "10s",
    }
    quiet = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    common = ["--scheduler-file", str(file), "--no-dashboard"]
    processes = [
        subprocess.Popen([*dask, "scheduler", "--port", "0", *common], **quiet)  # type: ignore[call-overload]
    ]
    for _ in range(workers):
        command = [*dask, "worker", "--nthreads", "1", "--no-nanny", *common]
        processes.append(subprocess.Popen(command, **quiet))  # type: ignore[call-overload]
    try:
        with distributed.Client(scheduler_file=str(file), timeout=120) as client:
            client.wait_for_workers(workers, timeout=120)
            yield client.scheduler.address
    finally:
        for process in processes:
            process.kill()
            process.wait()
