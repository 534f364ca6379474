"""Time and peak memory of data_processing for a CSV and for one that is ten times as long.

    .venv/bin/python benchmarks/data_processing.py data/01_raw/imdb_reviews.csv

Each run is a separate process of `kedro run --pipelines data_processing` in a temporary copy of the
project, so data/ is not changed. The longer CSV repeats the rows of the original and appends a word
to each text, different for each repetition, so that no row is dropped as a duplicate. Only what is
kept of each row, such as the hash of its text, may grow with the file.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from project import describe_machine, make_project, measure, repeat_csv


def main() -> None:
    """Run the measurements and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=Path, help="a CSV with the columns review and sentiment")
    parser.add_argument("--times", type=int, default=10, help="length of the longer CSV")
    parser.add_argument("--runs", type=int, default=3, help="runs per CSV; prints the median")
    arguments = parser.parse_args()
    print(describe_machine())
    print("| CSV | size | seconds | peak memory |")
    print("| --- | ---: | ---: | ---: |")
    peaks = []
    with tempfile.TemporaryDirectory() as temporary:
        project = make_project(Path(temporary))
        longer = project / "data/01_raw/longer.csv"
        repeat_csv(arguments.csv.resolve(), longer, arguments.times)
        once = project / "data/01_raw/once.csv"
        repeat_csv(arguments.csv.resolve(), once, 1)
        for name, path in (("original", once), (f"{arguments.times} times", longer)):
            command = ["-m", "kedro", "run", "--pipelines", "data_processing"]
            command += ["--params", f"reviews_file={path}"]
            runs = [measure(command, project) for _ in range(arguments.runs)]
            seconds = statistics.median(run.seconds for run in runs)
            peaks.append(statistics.median(run.peak_mib for run in runs))
            size = path.stat().st_size / 1e6
            print(f"| {name} | {size:.0f} MB | {seconds:.1f} | {peaks[-1]:.0f} MiB |", flush=True)
    print(f"Ratio of the peaks: {peaks[1] / peaks[0]:.2f}")


if __name__ == "__main__":
    main()
