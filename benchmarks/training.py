"""What the time of training depends on: padding, batch size, threads, memory, start-up.

    .venv/bin/python benchmarks/training.py data/05_model_input/train.pkl
    .venv/bin/python benchmarks/training.py data/05_model_input/train.pkl --network best

One network is trained on the first rows of an encoded set, in a separate process for each variant
and round:

- "padded": Keras's plain `fit` on sequences of full length.
- "cut": batches of reviews of similar length, cut to their longest review.
- "fused": `train_model` as it is: like "cut", with the LSTM as a single fused operation.
- "freed": like "fused", except that glibc returns the memory that a step has freed to the system,
  as it does in "padded".

The table has the quickest epoch, which is what the machine can do without other load, the median
epoch, and the time that a process took before its first epoch. The first epoch also builds the
graph and is not counted.
"""

import argparse
import contextlib
import dataclasses
import itertools
import os
import pickle
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from project import ROOT, describe_machine

from imdb_sentiment.network.model import build_model
from imdb_sentiment.network.training import train_model
from imdb_sentiment.parameters import Hyperparameters

WAYS = {
    "base": [
        *itertools.product(("padded", "cut", "freed", "fused"), (32, 64, 128), (2,)),
        *itertools.product(("padded", "cut", "freed", "fused"), (128,), (1,)),
    ],
    "best": [*itertools.product(("freed", "fused"), (32,), (2, 1))],
}


def choose_hyperparameters(network: str, **changes: int) -> Hyperparameters:
    """Return the hyperparameters of a preset, with random instead of pretrained vectors."""

    def read(file: str) -> dict[str, Any]:
        values: dict[str, Any] = yaml.safe_load((ROOT / "conf" / file).read_text())
        return values

    values = read("base/parameters_tuning.yml")["hyperparameters"] | {"units": 75}
    if network == "best":
        values |= read("best/parameters_tuning.yml")["hyperparameters"]
    size = read(f"{network}/parameters_data_processing.yml")["word_vectors"]["size"]
    values |= {"pretrained_embedding": False, "embedding_size": size, "min_steps": 0}
    return Hyperparameters(**values | changes)


def run_epochs(path: Path, way: str, rows: int, hyperparameters: Hyperparameters) -> None:
    """Train a network; print the times when training started and each epoch ended."""
    import keras

    with path.open("rb") as file:
        whole = pickle.load(file)
    parts = {name: getattr(whole, name)[:rows] for name in ("sequences", "codes", "rows")}
    train = dataclasses.replace(whole, **parts)
    moments = [time.time()]

    class Clock(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: object = None) -> None:
            moments.append(time.time())

    freed = mock.patch("imdb_sentiment.network.tensorflow_setup._keep_freed_memory")
    # With a GPU, `train_model` doesn't fuse the LSTM.
    cut = mock.patch("tensorflow.config.list_physical_devices", lambda *kind: list(kind))
    changes: dict[str, contextlib.AbstractContextManager[object]] = {
        "fused": contextlib.nullcontext(),
        "freed": freed,
        "cut": cut,
    }
    if way in changes:
        with changes[way]:
            train_model(train, hyperparameters, 0, callbacks=[Clock()])
    else:
        with freed:
            model = build_model(hyperparameters, train.vocabulary_size, len(train.labels))
        model.fit(
            train.sequences,
            train.codes,
            batch_size=hyperparameters.batch_size,
            epochs=hyperparameters.epochs,
            callbacks=[Clock()],
            verbose=0,
        )
    print(*moments)


def main() -> None:
    """Run the measurements and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", type=Path, help="an encoded set")
    parser.add_argument("--network", choices=list(WAYS), default="base", help="preset to use")
    parser.add_argument("--rows", type=int, default=6400)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("WAY", "BATCH"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        way, size = arguments.one
        chosen = choose_hyperparameters(
            arguments.network, batch_size=int(size), epochs=arguments.epochs
        )
        run_epochs(arguments.train, way, arguments.rows, chosen)
        return
    ways = WAYS[arguments.network]
    starts: dict[tuple[str, int, int], list[float]] = {way: [] for way in ways}
    epochs: dict[tuple[str, int, int], list[float]] = {way: [] for way in ways}
    # The speed of the machine may change over time, so each round has all variants.
    for _, way in itertools.product(range(arguments.rounds), ways):
        start = time.time()
        moments = measure_once(*way)
        starts[way].append(moments[0] - start)
        epochs[way] += [after - before for before, after in itertools.pairwise(moments[1:])]
    print(describe_machine())
    print("| variant | batch size | threads | start-up s | quickest epoch s | median s | step ms |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for way, size, threads in ways:
        start, taken = statistics.median(starts[way, size, threads]), epochs[way, size, threads]
        step = min(taken) / -(-arguments.rows // size)
        print(
            f"| {way} | {size} | {threads} | {start:.1f} | {min(taken):.2f} "
            f"| {statistics.median(taken):.2f} | {1000 * step:.0f} |"
        )


def measure_once(way: str, size: int, threads: int) -> list[float]:
    """Return the times when a process started training and ended each epoch."""
    limits = {"TF_NUM_INTEROP_THREADS": str(threads)}
    if way == "padded":  # TensorFlow's own default
        limits["TF_NUM_INTRAOP_THREADS"] = str(threads)
    done = subprocess.run(
        [sys.executable, *sys.argv, "--one", way, str(size)],
        env=os.environ | limits,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        text=True,
    )
    return [float(moment) for moment in done.stdout.splitlines()[-1].split()]


if __name__ == "__main__":
    main()
