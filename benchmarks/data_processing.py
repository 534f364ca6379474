"""Time and peak memory of data_processing on a CSV, and on one ten times as long.

    .venv/bin/python benchmarks/data_processing.py data/01_raw/imdb_reviews.csv

Each run is a whole process of `kedro run --pipelines data_processing` in a project of its own, so
nothing in data/ is touched. The longer CSV repeats the rows of the given one with a word added that
makes each copy's texts new: no row of it is dropped as a duplicate of another copy. The encoded
sets are the only thing that may grow with the file, at 400 bytes a review for the default sequence
length; their size is told apart.
"""

import argparse
import csv
import os
import pickle
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MIB = 1024 * 1024


def make_project(folder: Path) -> Path:
    """Copy the project's code and configuration into `folder`, with a data folder of its own."""
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(ROOT / name, folder)
    for name in ("conf", "src"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("local"))
    (folder / "conf/local").mkdir()
    (folder / "data/01_raw").mkdir(parents=True)
    return folder


def repeat(source: Path, target: Path, times: int) -> None:
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


def measure(project: Path, path: Path) -> tuple[float, float, int]:
    """Return wall seconds, peak resident MiB and the bytes of the encoded sets of one run."""
    command = [sys.executable, "-m", "kedro", "run", "--pipelines", "data_processing"]
    command += ["--params", f"reviews_file={path}"]
    start = time.perf_counter()
    with (project / "log").open("w+", encoding="utf-8") as log:
        process = subprocess.Popen(command, cwd=project, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        if status != 0:
            log.seek(0)
            sys.exit(log.read())
    size = 0
    for name in ("train", "validation", "test"):
        with (project / f"data/05_model_input/{name}.pkl").open("rb") as file:
            size += pickle.load(file).sequences.nbytes
    return seconds, usage.ru_maxrss / 1024, size


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=Path, help="a CSV with the columns review and sentiment")
    parser.add_argument("--times", type=int, default=10, help="how much longer the other CSV is")
    parser.add_argument("--runs", type=int, default=3, help="runs on each; the median is told")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print("| CSV | size | seconds | peak memory | encoded sets | peak without them |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    rest = []
    with tempfile.TemporaryDirectory() as temporary:
        project = make_project(Path(temporary))
        longer = project / "data/01_raw/longer.csv"
        repeat(arguments.csv.resolve(), longer, arguments.times)
        once = project / "data/01_raw/once.csv"
        repeat(arguments.csv.resolve(), once, 1)
        for name, path in (("as it is", once), (f"{arguments.times} times", longer)):
            runs = [measure(project, path) for _ in range(arguments.runs)]
            seconds, peak = (statistics.median(run[i] for run in runs) for i in (0, 1))
            encoded = runs[0][2] / MIB
            rest.append(peak - encoded)
            print(
                f"| {name} | {path.stat().st_size / 1e6:.0f} MB | {seconds:.1f} | {peak:.0f} MiB "
                f"| {encoded:.0f} MiB | {rest[-1]:.0f} MiB |",
                flush=True,
            )
    print(f"Peak without the encoded sets, longer to shorter: {rest[1] / rest[0]:.2f}")


if __name__ == "__main__":
    main()
