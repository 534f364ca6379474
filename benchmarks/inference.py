"""Throughput and peak memory of the pipeline inference for a CSV and for a longer one.

    .venv/bin/python benchmarks/inference.py data/01_raw/imdb_reviews.csv

Requires a finished run, because it uses data/06_models/model.onnx. Each measurement is a separate
process of `kedro run --pipelines inference` in a temporary copy of the project.
"""

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

import pandas as pd
from project import ROOT, describe_machine, make_project, measure, repeat_csv


def main() -> None:
    """Run the measurements and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=Path, help="a CSV with the column review")
    parser.add_argument("--times", type=int, default=10, help="length of the longer CSV")
    parser.add_argument("--runs", type=int, default=3, help="runs per CSV; prints the median")
    arguments = parser.parse_args()
    print(describe_machine())
    print("| CSV | size | rows | seconds | rows per second | peak memory |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    peaks = []
    with tempfile.TemporaryDirectory() as temporary:
        project = make_project(Path(temporary))
        (project / "data/06_models").mkdir()
        shutil.copy(ROOT / "data/06_models/model.onnx", project / "data/06_models")
        for times in (1, arguments.times):
            path = project / f"data/01_raw/{times}_times.csv"
            repeat_csv(arguments.csv.resolve(), path, times)
            rows = times * len(pd.read_csv(arguments.csv, usecols=["review"]))
            output = project / "scored.csv"
            command = ["-m", "kedro", "run", "--pipelines", "inference"]
            command += ["--params", f"input_file={path},output_file={output}"]
            runs = [measure(command, project) for _ in range(arguments.runs)]
            seconds = statistics.median(run.seconds for run in runs)
            peaks.append(statistics.median(run.peak_mib for run in runs))
            name = "original" if times == 1 else f"{times} times"
            print(
                f"| {name} | {path.stat().st_size / 1e6:.0f} MB | {rows:,} | {seconds:.1f} "
                f"| {rows / seconds:,.0f} | {peaks[-1]:.0f} MiB |",
                flush=True,
            )
    print(f"Ratio of the peaks: {peaks[1] / peaks[0]:.2f}")


if __name__ == "__main__":
    main()
