r"""The time of training, depending on padding, batch size, threads, memory and start-up.

    .venv/bin/python benchmarks/training.py data/05_model_input/train.npy
    .venv/bin/python benchmarks/training.py data/05_model_input/train.npy --network best
    .venv/bin/python benchmarks/training.py data/05_model_input/train.npy \
        --variants before fused --batch-sizes 64 128 --before REVISION

One network is trained on evenly spaced rows of an encoded set, in a separate process for each
variant and round:

- "padded": Keras's plain `fit` on sequences of full length, step by step.
- "cut": batches of reviews of similar length, cut to their longest review.
- "fused": `train_model` as it is: like "cut", with the LSTM as a single fused operation.
- "freed": like "fused", except that glibc returns the memory that a step has freed to the system,
  as it does in "padded".
- "before": `train_model` as it was in an earlier revision of the project.

The table has the fastest epoch, which shows the speed of the machine without other load, the median
epoch, the time that a process took before its first epoch, and the loss of the last epoch. The
first epoch also builds the graph and is not counted. The processor time of a step depends less on
other load than the others.
"""

import argparse
import contextlib
import dataclasses
import io
import itertools
import json
import os
import pickle
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import yaml
from project import ROOT, describe_machine

from imdb_sentiment.network.model import build_model
from imdb_sentiment.network.training import train_model
from imdb_sentiment.parameters import Hyperparameters
from imdb_sentiment.text.encoded_reviews import EncodedReviews

Way = tuple[str, int, int]  # variant, batch size, threads

WAYS: dict[str, list[Way]] = {
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
    values |= {
        "pretrained_embedding": False,
        "embedding_size": size,
        "min_steps": 0,
        "min_steps_per_label": 0,
        "initial_length_fraction": 1.0,
    }
    known = Hyperparameters.model_fields  # an earlier revision has fewer
    return Hyperparameters(**{k: v for k, v in (values | changes).items() if k in known})


def run_epochs(file: Path, way: str, hyperparameters: Hyperparameters) -> None:
    """Train a network; print when training started and each epoch ended, and the losses."""
    import keras

    train = pickle.loads(file.read_bytes())
    moments, used = [time.time()], [time.process_time()]

    class Clock(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: object = None) -> None:
            moments.append(time.time())
            used.append(time.process_time())

    freed = mock.patch("imdb_sentiment.network.tensorflow_setup._keep_freed_memory")
    # With a GPU, `train_model` doesn't fuse the LSTM.
    cut = mock.patch("tensorflow.config.list_physical_devices", lambda *kind: list(kind))
    changes: dict[str, contextlib.AbstractContextManager[object]] = {
        "fused": contextlib.nullcontext(),
        "before": contextlib.nullcontext(),
        "freed": freed,
        "cut": cut,
    }
    if way in changes:
        with changes[way]:
            _, history = train_model(train, hyperparameters, 0, callbacks=[Clock()])
    else:
        with freed:
            model = build_model(hyperparameters, train.vocabulary_size, len(train.labels))
        history = model.fit(
            train.sequences,
            train.codes,
            batch_size=hyperparameters.batch_size,
            epochs=hyperparameters.epochs,
            callbacks=[Clock()],
            verbose=0,
        ).history
    print(json.dumps({"moments": moments, "used": used, "losses": history["loss"]}))


def main() -> None:
    """Run the measurements and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", type=Path, help="an encoded set")
    parser.add_argument("--network", choices=list(WAYS), default="base", help="preset to use")
    parser.add_argument("--variants", nargs="+", help="which variants; all by default")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[64])
    parser.add_argument("--threads", type=int, nargs="+", default=[2])
    parser.add_argument("--before", default="HEAD", metavar="REVISION", help='of "before"')
    parser.add_argument("--rows", type=int, default=6400)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=3, metavar=("WAY", "BATCH", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        way, size, file = arguments.one
        chosen = choose_hyperparameters(
            arguments.network, batch_size=int(size), epochs=arguments.epochs
        )
        run_epochs(Path(file), way, chosen)
        return
    ways: list[Way] = WAYS[arguments.network]
    if arguments.variants:
        ways = [*itertools.product(arguments.variants, arguments.batch_sizes, arguments.threads)]
    runs: dict[Way, list[Run]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        # Pickled, since an earlier revision may not know the format of the set.
        rows = take_rows(arguments.train, arguments.rows)
        (folder / "rows.pkl").write_bytes(pickle.dumps(rows))
        if any(variant == "before" for variant, _, _ in ways):
            extract_sources(arguments.before, folder)
        # The speed of the machine may change over time, so each round has all variants.
        for _, way in itertools.product(range(arguments.rounds), ways):
            runs[way].append(measure_once(*way, folder))
    print(describe_machine())
    print(
        "| variant | batch size | threads | start-up s | quickest epoch s | median s | step ms "
        "| processor ms | loss |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for (way, size, threads), of_way in runs.items():
        start = statistics.median(run.start for run in of_way)
        epochs = [seconds for run in of_way for seconds in run.epochs]
        used = [seconds for run in of_way for seconds in run.processor]
        steps = -(-len(rows) // size)
        print(
            f"| {way} | {size} | {threads} | {start:.1f} | {min(epochs):.2f} "
            f"| {statistics.median(epochs):.2f} | {1000 * min(epochs) / steps:.1f} "
            f"| {1000 * statistics.median(used) / steps:.1f} | {of_way[0].loss:.4f} |"
        )


@dataclasses.dataclass(frozen=True)
class Run:
    """One process: seconds before the first epoch, of all further ones, and the last loss."""

    start: float
    epochs: list[float]
    processor: list[float]
    loss: float


def take_rows(path: Path, rows: int) -> EncodedReviews:
    """Return evenly spaced rows of an encoded set."""
    from imdb_sentiment.datasets import EncodedReviewsDataset  # unknown to earlier revisions

    whole = EncodedReviewsDataset(filepath=str(path)).load()
    return whole.take(np.linspace(0, len(whole) - 1, min(rows, len(whole))).round().astype(int))


def extract_sources(revision: str, folder: Path) -> None:
    """Write the project's sources as they were in a revision into a folder."""
    archive = subprocess.run(
        ["git", "archive", revision, "src"], cwd=ROOT, stdout=subprocess.PIPE, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")


def measure_once(way: str, size: int, threads: int, folder: Path) -> Run:
    """Train a network in a process of its own; `folder` has the rows and the earlier sources."""
    environment = os.environ | {"TF_NUM_INTEROP_THREADS": str(threads)}
    if way == "padded":  # TensorFlow's own default
        environment["TF_NUM_INTRAOP_THREADS"] = str(threads)
    if way == "before":
        environment["PYTHONPATH"] = str(folder / "src")
    start = time.time()
    done = subprocess.run(
        [sys.executable, *sys.argv, "--one", way, str(size), str(folder / "rows.pkl")],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        text=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])

    def difference(values: list[float]) -> list[float]:
        return [after - before for before, after in itertools.pairwise(values[1:])]

    moments, used = found["moments"], found["used"]
    return Run(moments[0] - start, difference(moments), difference(used), found["losses"][-1])


if __name__ == "__main__":
    main()
