"""The whole job as a Kedro run and as a plain notebook, for several seeds.

    .venv/bin/python benchmarks/notebook.py data/01_raw/imdb_reviews.csv

Both use the same random 80/20 split and train two trials of five epochs and a final model of five
epochs. They run as separate processes, one after the other on the same cores. The notebook uses
a plain network, batches of 64 and a constant learning rate. The Kedro run uses its own settings,
except that it takes batches of 128, which are faster on a table of this size. It also audits the
CSV, learns word vectors, fits the n-grams and the linear baseline, and writes the report. On the
other hand, it trains on slightly fewer rows: it drops duplicate texts, and its trials hold out a
tenth of the training rows for validation, where the notebook validates on the test rows.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from project import ROOT, describe_machine, make_project, measure


def main() -> None:
    """Run the measurements and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=Path, help="a CSV with the columns review and sentiment")
    parser.add_argument("--workers", type=int, default=1, help="parallel trials of Kedro")
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
            parameters = f"reviews_file={csv},tuning.workers={arguments.workers}"
            parameters += ",hyperparameters.batch_size=128"
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
