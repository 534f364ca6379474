"""Time of data_processing, beside a loop that only reads, splits and looks up the words.

    .venv/bin/python benchmarks/data_path.py data/01_raw/imdb_reviews.csv

The loop is what a notebook would contain: csv.DictReader, lower case, str.translate, split, Counter
and a dictionary. It and `kedro run --pipelines data_processing`, imports included, run alternately,
in a temporary copy of the project. After them come the nodes that describe the data and fit and
score the baseline; their seconds are those that Kedro logs, without the start.
"""

import argparse
import csv
import re
import statistics
import string
import tempfile
from collections import Counter
from pathlib import Path

from project import describe_machine, make_project, measure, repeat_csv

VOCABULARY, LENGTH = 5000, 200
LOOP = "the bare loop"
COMMANDS = {
    "data_processing": ["--pipelines", "data_processing"],
    "describe_data, fit_baseline, score_baseline": [
        "--nodes",
        "reporting.facts.describe_data,training.fit_baseline,reporting.scoring.score_baseline",
    ],
}


def encode_plainly(path: Path) -> list[list[int]]:
    """Return the token ids of the reviews of a CSV, without any care."""
    to_space = str.maketrans(dict.fromkeys(string.punctuation, " "))
    counts: Counter[str] = Counter()
    reviews = []
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            words = row["review"].lower().translate(to_space).split()
            counts.update(words)
            reviews.append(words)
    ids = {word: number for number, (word, _) in enumerate(counts.most_common(VOCABULARY), 2)}
    return [[ids[word] for word in words if word in ids][-LENGTH:] for words in reviews]


def read_seconds(log: Path) -> float:
    """Return the seconds that Kedro logs at the end of a run."""
    text = " ".join(log.read_text(encoding="utf-8").split())
    found = re.search(r"successfully in ([0-9.]+) sec", text)
    return float(found[1]) if found else float("nan")


def main() -> None:
    """Run the measurements and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=Path, help="a CSV with the columns review and sentiment")
    parser.add_argument("--params", default="split.method=column", help="further --params")
    parser.add_argument("--runs", type=int, default=3, help="runs of each; prints the medians")
    parser.add_argument("--bare", action="store_true", help="run the loop alone, in this process")
    arguments = parser.parse_args()
    if arguments.bare:
        encode_plainly(arguments.csv)
        return
    print(describe_machine())
    found: dict[str, list[tuple[float, float, float]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        project = make_project(Path(temporary))
        path = project / "data/01_raw/reviews.csv"
        repeat_csv(arguments.csv.resolve(), path, 1)
        for _ in range(arguments.runs):
            usage = measure([str(Path(__file__).resolve()), "--bare", str(path)], project)
            found.setdefault(LOOP, []).append((usage.seconds, usage.seconds, usage.cpu_seconds))
            for name, options in COMMANDS.items():
                command = ["-m", "kedro", "run", *options, "--params"]
                usage = measure([*command, f"reviews_file={path},{arguments.params}"], project)
                seconds = read_seconds(project / "log")
                found.setdefault(name, []).append((usage.seconds, seconds, usage.cpu_seconds))
    print("| | seconds | without the start | of processor time | times the loop |")
    print("| --- | ---: | ---: | ---: | ---: |")
    loop = statistics.median(seconds for seconds, _, _ in found[LOOP])
    for name, runs in found.items():
        seconds, nodes, cpu = (statistics.median(values) for values in zip(*runs, strict=True))
        print(f"| {name} | {seconds:.1f} | {nodes:.1f} | {cpu:.1f} | {seconds / loop:.2f} |")


if __name__ == "__main__":
    main()
