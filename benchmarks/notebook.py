"""The whole job through Kedro against the same job as a plain notebook, seed by seed.

    .venv/bin/python benchmarks/notebook.py data/01_raw/imdb_reviews.csv

Both do the same random 80/20 split, two trials of five epochs and five epochs of the best, as whole
processes, one after the other on the same cores. The notebook has batches of 64 and a constant
learning rate; the Kedro side has what conf/imdb sets, batches of 128 and a cosine schedule, and
makes its two trials at once, each with half of the cores. It does more: it audits the CSV, fits the
linear baseline and writes the report; and slightly less: in its trials a tenth of the training rows
is held out for validation, where the notebook validates on the test rows; and rows whose text
repeats another's are dropped.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from project import NO_PRUNER, ROOT, describe_machine, make_project, measure


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=Path, help="a CSV with the columns review and sentiment")
    parser.add_argument("--workers", type=int, default=2, help="trials at a time, with Kedro")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    reviews = pd.read_csv(arguments.csv)[["review", "sentiment"]]
    print(describe_machine())
    print("| seed | notebook s | Kedro s | ratio | notebook accuracy | Kedro accuracy |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    rows = []
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            csv = folder / "reviews.csv"
            in_test = np.random.default_rng(seed).permutation(len(reviews)) < len(reviews) // 5
            reviews.assign(split=np.where(in_test, "test", "train")).to_csv(csv, index=False)
            plain = measure(
                [str(ROOT / "benchmarks/notebook_recipe.py"), str(csv), str(seed)], folder
            )
            plain_accuracy = json.loads((folder / "log").read_text().splitlines()[-1])["accuracy"]
            project = make_project(folder / "project")
            parameters = f"reviews_file={csv},tuning.n_trials=2"
            parameters += f",tuning.workers={arguments.workers},{NO_PRUNER}"
            parameters += "".join(
                f",{name}.seed={seed}" for name in ("split", "tuning", "training")
            )
            command = ["-m", "kedro", "run", "--env", "imdb", "--params", parameters]
            ours = measure(command, project)
            metrics = json.loads((project / "data/08_reporting/metrics.json").read_text())
            accuracies = (plain_accuracy, metrics["test_accuracy"])
            rows.append((plain.seconds, ours.seconds, ours.seconds / plain.seconds, *accuracies))
            print(_format(str(seed), rows[-1]), flush=True)
    means = tuple(statistics.mean(column) for column in zip(*rows, strict=True))
    print(_format("mean", means))


def _format(name: str, row: tuple[float, ...]) -> str:
    plain, ours, ratio, plain_accuracy, accuracy = row
    return (
        f"| {name} | {plain:.0f} | {ours:.0f} | {ratio:.2f} | {plain_accuracy:.4f} "
        f"| {accuracy:.4f} |"
    )


if __name__ == "__main__":
    main()
