"""Runs of data_processing and inference whose workers are killed at random moments.

    .venv/bin/python benchmarks/worker_faults.py data/01_raw/imdb_reviews.csv

Requires a finished run, because it uses data/06_models/model.onnx. Both pipelines run once with one
worker, and then again and again with two, of which a random one receives SIGKILL from time to time,
once it has started.
Each output must have the same bytes as that of the undisturbed run. On a busy machine, workers may
not have started when they are killed, and then Dask does not replace them.
"""

import argparse
import collections
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import psutil
from project import ROOT, describe_machine, make_project, repeat_csv

START = 5  # seconds; Dask does not start a worker again that is killed while it starts again
OUTPUTS = {
    "data_processing": ["02_intermediate", "03_primary", "04_feature", "05_model_input"],
    "inference": ["07_model_output"],
}


def run(project: Path, pipeline: str, workers: int, kill_every: float, rng: random.Random) -> int:
    """Run a pipeline; return how many workers were killed meanwhile."""
    for folder in OUTPUTS[pipeline]:
        shutil.rmtree(project / "data" / folder, ignore_errors=True)
    name = "input_file" if pipeline == "inference" else "reviews_file"
    parameters = f"{name}={project}/data/01_raw/reviews.csv"
    command = [sys.executable, "-m", "kedro", "run", "--pipelines", pipeline, "--params"]
    killed = 0
    with (project / "log").open("w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            [*command, f"{parameters},processing.workers={workers}"],
            cwd=project,
            env=os.environ | {"PYTHONPATH": str(project / "src")},
            stdout=log,
            stderr=log,
        )
        while process.poll() is None:
            time.sleep(rng.uniform(0, 2 * kill_every))
            running = find_workers(process.pid)
            if workers > 1 and running:
                rng.choice(running).kill()
                killed += 1
        if process.returncode != 0:
            log.seek(0)
            sys.exit(log.read())
    return killed


def find_workers(number: int) -> list[psutil.Process]:
    """Return Dask's workers, forks of one process of a run, that have begun."""
    try:
        return [
            child
            for child in psutil.Process(number).children(recursive=True)
            if "multiprocessing.forkserver" in " ".join(child.parent().cmdline())
            and time.time() - child.create_time() > START
        ]
    except psutil.Error:  # it has ended
        return []


def read_outputs(project: Path, pipeline: str) -> dict[str, bytes]:
    """Return the content of each file that a pipeline has made."""
    data = project / "data"
    files = [path for name in OUTPUTS[pipeline] for path in sorted((data / name).glob("*"))]
    return {str(path.relative_to(data)): path.read_bytes() for path in files}


def main() -> None:
    """Run the pipelines and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=Path, help="a CSV with the columns review and sentiment")
    parser.add_argument("--times", type=int, default=1, help="repetitions of the rows")
    parser.add_argument("--runs", type=int, default=20, help="runs per pipeline")
    parser.add_argument("--every", type=float, default=8, help="mean seconds between two kills")
    parser.add_argument("--seed", type=int, default=0, help="seed of the kills")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    print(describe_machine())
    with tempfile.TemporaryDirectory() as temporary:
        project = make_project(Path(temporary))
        (project / "data/06_models").mkdir()
        shutil.copy(ROOT / "data/06_models/model.onnx", project / "data/06_models")
        repeat_csv(arguments.csv.resolve(), project / "data/01_raw/reviews.csv", arguments.times)
        rows = arguments.times * len(pd.read_csv(arguments.csv, usecols=["review"]))
        for pipeline in OUTPUTS:
            run(project, pipeline, 1, arguments.every, rng)
            expected = read_outputs(project, pipeline)
            counts: collections.Counter[str] = collections.Counter()
            for _ in range(arguments.runs):
                killed = run(project, pipeline, 2, arguments.every, rng)
                counts["killed"] += killed
                counts["disturbed"] += killed > 0
                counts["different"] += read_outputs(project, pipeline) != expected
            print(
                f"{pipeline} of {rows:,} rows: {arguments.runs} runs, {counts['killed']} workers "
                f"killed in {counts['disturbed']} of them, {counts['different']} runs with other "
                f"bytes in {len(expected)} files",
                flush=True,
            )
            if counts["different"]:
                sys.exit(1)
            if not counts["killed"]:
                sys.exit("no worker was killed: take more reviews, or a smaller --every")


if __name__ == "__main__":
    main()
