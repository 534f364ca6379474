"""Time and peak memory of data_processing for a CSV and for longer ones.

    .venv/bin/python benchmarks/data_processing.py data/01_raw/imdb_reviews.csv
    .venv/bin/python benchmarks/data_processing.py data/01_raw/imdb_reviews.csv --workers 1 2

Each run is a separate process of `kedro run --pipelines data_processing` in a temporary copy of the
project, so data/ is not changed. A longer CSV repeats the rows of the original and appends a word
to each text, different for each repetition, so that no row is dropped as a duplicate. The memory of
the run may grow with the file only by the values that are kept of each row, such as the hash of its
text; the memory of the workers must not grow.
"""

import argparse
import itertools
import statistics
import tempfile
from pathlib import Path

from project import describe_machine, make_project, measure, repeat_csv


def main() -> None:
    """Run the measurements and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=Path, help="a CSV with the columns review and sentiment")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 10], help="lengths of the CSV")
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    parser.add_argument("--runs", type=int, default=3, help="runs per CSV; prints the median")
    arguments = parser.parse_args()
    print(describe_machine())
    print("| CSV | size | workers | seconds | peak memory | of a worker |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as temporary:
        project = make_project(Path(temporary))
        path = project / "data/01_raw/reviews.csv"
        for times, workers in itertools.product(arguments.times, arguments.workers):
            repeat_csv(arguments.csv.resolve(), path, times)
            command = ["-m", "kedro", "run", "--pipelines", "data_processing"]
            command += ["--params", f"reviews_file={path},processing.workers={workers}"]
            runs = [measure(command, project) for _ in range(arguments.runs)]
            seconds, peak, of_worker = (
                statistics.median(values)
                for values in zip(
                    *((run.seconds, run.peak_mib, run.workers_mib) for run in runs), strict=True
                )
            )
            print(
                f"| {times} times | {path.stat().st_size / 1e6:.0f} MB | {workers} | {seconds:.1f} "
                f"| {peak:.0f} MiB | {of_worker:.0f} MiB |",
                flush=True,
            )


if __name__ == "__main__":
    main()
