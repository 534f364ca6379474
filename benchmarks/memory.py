"""Resident memory of a search of many trials in one process.

    .venv/bin/python benchmarks/memory.py

Each trial trains a network of its own on synthetic reviews. The output has the memory after every
tenth trial, and the ratio of the memory after the last trial to that after the tenth.
"""

import argparse
import sys
from functools import partial
from typing import Any

import numpy as np
import optuna
import psutil
import yaml
from optuna.trial import TrialState
from project import ROOT, describe_machine

from imdb_sentiment.evaluation.objectives import make_metric
from imdb_sentiment.parameters import Hyperparameters, TuningParameters
from imdb_sentiment.pipelines.tuning.nodes import TrialData, train_candidate
from imdb_sentiment.search import (
    SharedStudy,
    explain_failure,
    make_sampler,
    open_workers,
    run_trials,
)
from imdb_sentiment.text.encoded_reviews import EncodedReviews

STEP = 10  # trials between two measurements


def make_reviews(n: int, length: int, seed: int) -> EncodedReviews:
    """Return reviews with random words and labels."""
    rng = np.random.default_rng(seed)
    sequences = rng.integers(2, 5000, size=(n, length), dtype=np.uint16)
    for row, padding in zip(sequences, rng.integers(0, length, size=n), strict=True):
        row[:padding] = 0
    codes = rng.integers(0, 2, size=n, dtype=np.uint8)
    return EncodedReviews(
        sequences, codes, np.arange(n), ("negative", "positive"), 5000, np.zeros(n, np.uint64)
    )


def main() -> None:
    """Run the measurements and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100)
    arguments = parser.parse_args()
    if arguments.trials < STEP:
        parser.error(f"--trials must be {STEP} or more")
    values = yaml.safe_load((ROOT / "conf/base/parameters_tuning.yml").read_text())
    changes = {"epochs": 1, "min_steps": 0, "min_steps_per_label": 0, "pretrained_embedding": False}
    hyperparameters = Hyperparameters(**values["hyperparameters"] | changes)
    settings = {"study_name": "memory", "seed": 0, "n_trials": arguments.trials}
    tuning = TuningParameters(**values["tuning"] | settings)
    train = partial(
        train_candidate,
        hyperparameters=hyperparameters,
        tuning=tuning,
        metric=make_metric("accuracy", None, ("negative", "positive"), are_ordered=False),
        class_weight=None,
    )
    resident: list[float] = []

    def objective(trial: optuna.Trial, data: Any) -> float:
        value = train(trial, data)
        resident.append(psutil.Process().memory_info().rss / 1024**2)
        return value

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = SharedStudy(
        optuna.storages.InMemoryStorage(),
        tuning.study_name,
        {name: d.to_optuna() for name, d in tuning.search_space.items()},
        origin={},
        n_trials=tuning.n_trials,
        max_retries=0,
        make_sampler=lambda slot: make_sampler("TPESampler", {}, slot, is_parallel=False),
        pruner=optuna.pruners.NopPruner(),
    )
    with open_workers(1, None) as workers:
        run_trials(
            study,
            objective,
            TrialData(
                [(make_reviews(512, 200, 0), make_reviews(256, 200, 1))],
                np.zeros((0, 1), np.float32),  # no word vectors
            ),
            workers=workers,
        )
    for trial in study.trials(TrialState.FAIL):
        sys.exit(f"trial {trial.number} has failed: {explain_failure(trial)}")
    print(describe_machine())
    print("| trials | resident MiB |")
    print("| ---: | ---: |")
    for number in range(STEP, len(resident) + 1, STEP):
        print(f"| {number} | {resident[number - 1]:.0f} |")
    ratio = resident[-1] / resident[STEP - 1]
    print(f"Ratio, trial {len(resident)} to trial {STEP}: {ratio:.3f}")


if __name__ == "__main__":
    main()
