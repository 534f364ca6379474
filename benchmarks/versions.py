"""An earlier version of the project and this one side by side: one review, requests, a whole file.

    git worktree add ../before COMMIT
    .venv/bin/python benchmarks/versions.py data/01_raw/imdb_reviews.csv --before ../before

Requires a finished run, because it uses data/06_models/model.onnx; both versions use the same
model. They take turns, so that a machine that becomes slower does so for both; the medians of all
turns and the median of their ratios are printed. Clients run on the same cores as the service.
"""

import argparse
import collections
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from project import ROOT, describe_machine, make_project, measure
from service import run_service

from serving import load

CLIENTS = 8
# What is measured in a process of each version: seconds per review, one after another.
ONE_REVIEW = """
import json, statistics, sys, time
from imdb_sentiment.serving import Predictor
predictor = Predictor.load(sys.argv[1], threads=1)
texts = json.load(sys.stdin)
seconds = []
for number, text in enumerate(texts[:50] + texts):
    start = time.perf_counter()
    predictor.predict(text)
    if number >= 50:
        seconds.append(time.perf_counter() - start)
print(statistics.median(seconds))
"""


def measure_one_review(source: Path, model: Path, texts: list[str]) -> float:
    """Return the median milliseconds of a prediction, with one thread."""
    done = subprocess.run(
        [sys.executable, "-c", ONE_REVIEW, str(model)],
        input=json.dumps(texts),
        env=os.environ | {"PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=True,
    )
    return 1000 * float(done.stdout)


def measure_file(source: Path, model: Path, csv: Path) -> float:
    """Return the rows per second of a whole `kedro run --pipelines inference`."""
    with tempfile.TemporaryDirectory() as temporary:
        project = make_project(Path(temporary), source.parent)
        (project / "data/06_models").mkdir()
        shutil.copy(model, project / "data/06_models/model.onnx")
        files = f"input_file={csv.resolve()},output_file={project / 'scored.csv'}"
        command = ["-m", "kedro", "run", "--pipelines", "inference", "--params", files]
        usage = measure(command, project, {"PYTHONPATH": str(project / "src")})
    return len(pd.read_csv(csv, usecols=["review"])) / usage.seconds


def compare(name: str, turns: int, before: Callable[[], float], now: Callable[[], float]) -> None:
    """Let both versions take turns, and print a row of the table."""
    pairs = [(before(), now()) for _ in range(turns)]
    medians = [statistics.median(column) for column in zip(*pairs, strict=True)]
    ratio = statistics.median(after / earlier for earlier, after in pairs)
    digits = 3 if medians[0] < 10 else 0  # noqa: PLR2004  (milliseconds, not a rate)
    shown = " | ".join(f"{median:,.{digits}f}" for median in medians)
    print(f"| {name} | {shown} | {ratio:.2f} |", flush=True)


def measure_rate(port: int, bodies: list[bytes], seconds: float) -> float:
    """Return the number of requests that a service answers per second."""
    _, statuses = load(port, bodies, CLIENTS, seconds)
    if set(statuses) != {200}:
        sys.exit(f"not all requests were answered: {collections.Counter(statuses)}")
    return len(statuses) / seconds


def main() -> None:
    """Run the measurements and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=Path, help="a CSV with the column review")
    parser.add_argument("--before", type=Path, required=True, help="folder of the earlier version")
    parser.add_argument("--model", type=Path, default=ROOT / "data/06_models/model.onnx")
    parser.add_argument("--reviews", type=int, default=2000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5, help="of requests, per turn")
    parser.add_argument("--only", choices=["review", "requests", "file"], help="one measurement")
    arguments = parser.parse_args()
    reviews = pd.read_csv(arguments.csv)["review"]
    texts = reviews.sample(min(arguments.reviews, len(reviews)), random_state=0).tolist()
    bodies = [json.dumps({"texts": [text]}).encode() for text in texts]
    sources = [arguments.before.resolve() / "src", ROOT / "src"]
    print(describe_machine())
    print("| | before | now | now / before |\n| --- | ---: | ---: | ---: |")

    def takes_part(name: str) -> bool:
        return arguments.only in (None, name)

    if takes_part("review"):
        runs = [
            lambda source=source: measure_one_review(source, arguments.model, texts)
            for source in sources
        ]
        compare("one review, p50 ms", arguments.turns, *runs)
    if takes_part("requests"):
        with (
            run_service(arguments.model, source=sources[0]) as first,
            run_service(arguments.model, source=sources[1]) as second,
        ):
            for service in (first, second):
                load(service.port, bodies, CLIENTS, 1)
            runs = [
                lambda port=service.port: measure_rate(port, bodies, arguments.seconds)
                for service in (first, second)
            ]
            compare(f"{CLIENTS} clients, requests per second", arguments.turns, *runs)
    if takes_part("file"):
        runs = [
            lambda source=source: measure_file(source, arguments.model, arguments.csv)
            for source in sources
        ]
        compare("a file, rows per second", min(arguments.turns, 3), *runs)


if __name__ == "__main__":
    main()
