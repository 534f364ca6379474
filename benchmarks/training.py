"""Where the time of training goes: padding, batch size, threads, start-up.

    .venv/bin/python benchmarks/training.py data/05_model_input/train.pkl

Epochs of one network on the first rows of an encoded set, in each way in a process of its own:
"padded" is Keras's plain `fit` on sequences of full length, "cut" is `train_model`, whose batches
hold reviews of like length and are cut to their longest. Told are the median epoch after the first,
which also builds the graph, and how long the process took before its first epoch.
"""

import argparse
import dataclasses
import itertools
import os
import pickle
import statistics
import subprocess
import sys
import time
from pathlib import Path

import yaml
from project import ROOT, describe_machine

from imdb_sentiment.model import build_model, train_model
from imdb_sentiment.parameters import Hyperparameters


def run_epochs(path: Path, way: str, batch_size: int, rows: int, epochs: int) -> None:
    """Train, and print the moments at which epochs ended."""
    import keras

    with path.open("rb") as file:
        whole = pickle.load(file)
    parts = {name: getattr(whole, name)[:rows] for name in ("sequences", "codes", "rows")}
    train = dataclasses.replace(whole, **parts)
    values = yaml.safe_load((ROOT / "conf/base/parameters_tuning.yml").read_text())
    hyperparameters = Hyperparameters(
        **values["hyperparameters"] | {"batch_size": batch_size, "epochs": epochs, "units": 75}
    )
    moments = [time.time()]

    class Clock(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: object = None) -> None:
            moments.append(time.time())

    if way == "cut":
        train_model(train, hyperparameters, 0, callbacks=[Clock()])
    else:
        model = build_model(hyperparameters, train.vocabulary_size, len(train.labels))
        model.fit(
            train.sequences,
            train.codes,
            batch_size=batch_size,
            epochs=epochs,
            callbacks=[Clock()],
            verbose=0,
        )
    print(*moments)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", type=Path, help="an encoded set")
    parser.add_argument("--rows", type=int, default=12800)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--one", nargs=2, metavar=("WAY", "BATCH"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        way, size = arguments.one
        run_epochs(arguments.train, way, int(size), arguments.rows, arguments.epochs)
        return
    print(describe_machine())
    print("| batches | batch size | threads | start-up s | epoch s | ms a step |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for threads in (2, 1):
        for way in ("padded", "cut"):
            for size in (32, 64, 128, 256):
                if threads == 1 and size != 128:  # noqa: PLR2004
                    continue
                limits = {f"TF_NUM_{kind}OP_THREADS": str(threads) for kind in ("INTRA", "INTER")}
                start = time.time()
                done = subprocess.run(
                    [sys.executable, *sys.argv, "--one", way, str(size)],
                    env=os.environ | limits,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    check=True,
                    text=True,
                )
                moments = [float(moment) for moment in done.stdout.splitlines()[-1].split()]
                epochs = [after - before for before, after in itertools.pairwise(moments[1:])]
                epoch = statistics.median(epochs)
                steps = -(-arguments.rows // size)
                print(
                    f"| {way} | {size} | {threads} | {moments[0] - start:.1f} | {epoch:.2f} "
                    f"| {1000 * epoch / steps:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
