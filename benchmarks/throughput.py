"""Trials per hour with different numbers of workers.

    .venv/bin/python benchmarks/throughput.py            # a simulated objective, which sleeps
    .venv/bin/python benchmarks/throughput.py --real CSV # networks on reviews, 1 and 2 workers

The simulated objective shows the overhead of the search itself: each worker is a process of a Dask
cluster, and a trial sleeps and reports a value after each epoch. Efficiency is the time that the
sleeps alone would take with that many workers, divided by the time of the search.
"""

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import optuna
from project import Search, describe_machine, run_cluster

from imdb_sentiment.datasets import OptunaStorageDataset
from imdb_sentiment.search import SharedStudy, open_workers, run_trials

EPOCHS = 5


def sleep(trial: optuna.Trial, seconds: float) -> float:
    """Simulate the training of a network."""
    for epoch in range(EPOCHS):
        time.sleep(seconds / EPOCHS)
        trial.report(epoch / EPOCHS, epoch)
        trial.should_prune()
    return float(trial.params["x"])


def search(folder: Path, address: str, workers: int, trials: int, seconds: float) -> float:
    """Return the seconds of a search with sleeping trials."""
    storage = OptunaStorageDataset(filepath=str(folder / "study.db")).load()
    study = SharedStudy(
        storage,
        f"{workers} workers, {trials} trials of {seconds} s",
        {"x": optuna.distributions.FloatDistribution(0, 1)},
        origin={},
        n_trials=trials,
        max_retries=2,
        make_sampler=lambda n: optuna.samplers.TPESampler(seed=n, constant_liar=True),
        pruner=optuna.pruners.MedianPruner(),
    )
    with open_workers(1, address) as cluster:
        start = time.perf_counter()
        run_trials(study, sleep, seconds, workers=cluster)
        return time.perf_counter() - start


def simulate(counts: list[int], seconds: float, rounds: int) -> None:
    """Measure searches with sleeping trials."""
    print(f"Trials of {seconds:g} s, {rounds} per worker")
    print("| workers | trials | seconds | trials per hour | efficiency |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as temporary:
        for workers in counts:
            with run_cluster(Path(temporary), workers) as address:
                search(Path(temporary), address, workers, workers, 0.1)  # to import everything
                trials = workers * rounds
                took = search(Path(temporary), address, workers, trials, seconds)
            efficiency = seconds * rounds / took
            print(
                f"| {workers} | {trials} | {took:.1f} | {trials / took * 3600:.0f} "
                f"| {efficiency:.3f} |",
                flush=True,
            )


def train(csv: Path, rows: int, trials: int, repeats: int) -> None:
    """Measure searches that train networks, with one and with two workers in turn."""
    print("| workers | trials | seconds | trials per hour |")
    print("| ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as temporary:
        prepared = Search(Path(temporary), csv, rows)
        for repeat, workers in itertools.product(range(repeats), (1, 2)):
            parameters = f"tuning.workers={workers},tuning.sampler.name=RandomSampler"
            usage = prepared.measure(f"{workers}-{repeat}", trials, parameters)
            print(
                f"| {workers} | {trials} | {usage.seconds:.0f} "
                f"| {trials / usage.seconds * 3600:.0f} |",
                flush=True,
            )


def main() -> None:
    """Run the measurements and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--seconds", type=float, default=10, help="duration of a simulated trial")
    parser.add_argument("--rounds", type=int, default=4, help="simulated trials per worker")
    parser.add_argument("--real", type=Path, metavar="CSV", help="train networks on these reviews")
    parser.add_argument("--rows", type=int, default=10000, help="number of reviews to use")
    parser.add_argument("--trials", type=int, default=6, help="trials per search")
    parser.add_argument("--repeats", type=int, default=3, help="searches per number of workers")
    arguments = parser.parse_args()
    print(describe_machine())
    if arguments.real:
        train(arguments.real, arguments.rows, arguments.trials, arguments.repeats)
    else:
        simulate(arguments.workers, arguments.seconds, arguments.rounds)


if __name__ == "__main__":
    main()
