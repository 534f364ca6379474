"""Time and peak memory of data_processing for a CSV and for one that is ten times as long.

    .venv/bin/python benchmarks/data_processing.py data/01_raw/imdb_reviews.csv

Each run is a separate process of `kedro run --pipelines data_processing` in a temporary copy of the
project, so data/ is not changed. The longer CSV repeats the rows of the original and appends a word
to each text, different for each repetition, so that no row is dropped as a duplicate. Only the
encoded sets may grow with the file, by 400 bytes per review at the default sequence length. The
table lists their size separately.
"""

import argparse
import pickle
import statistics
import tempfile
from pathlib import Path

from project import describe_machine, make_project, measure, repeat_csv

MIB = 1024 * 1024


def encoded_bytes(project: Path) -> int:
    """Return the size of the encoded sets in bytes."""
    size = 0
    for name in ("train", "validation", "test"):
        with (project / f"data/05_model_input/{name}.pkl").open("rb") as file:
            size += pickle.load(file).sequences.nbytes
    return size


def main() -> None:
    """Run the measurements and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=Path, help="a CSV with the columns review and sentiment")
    parser.add_argument("--times", type=int, default=10, help="length of the longer CSV")
    parser.add_argument("--runs", type=int, default=3, help="runs per CSV; prints the median")
    arguments = parser.parse_args()
    print(describe_machine())
    print("| CSV | size | seconds | peak memory | encoded sets | peak without them |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    rest = []
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
            peak = statistics.median(run.peak_mib for run in runs)
            encoded = encoded_bytes(project) / MIB
            rest.append(peak - encoded)
            print(
                f"| {name} | {path.stat().st_size / 1e6:.0f} MB | {seconds:.1f} | {peak:.0f} MiB "
                f"| {encoded:.0f} MiB | {rest[-1]:.0f} MiB |",
                flush=True,
            )
    print(f"Ratio of the peaks without the encoded sets: {rest[1] / rest[0]:.2f}")


if __name__ == "__main__":
    main()
