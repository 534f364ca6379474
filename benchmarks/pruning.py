"""A search with pruning and the same search without, for several seeds.

    .venv/bin/python benchmarks/pruning.py data/01_raw/imdb_reviews.csv --rows 10000
    .venv/bin/python benchmarks/pruning.py data/01_raw/imdb_reviews.csv --rows 10000 --pairs

Both run `kedro run --pipelines tuning` in separate processes, one after the other, on the same
randomly split data. The search with pruning ends a trial from the second epoch on if it is not
among the best quarter so far. The speed of the machine may change between the two; the number of
trained epochs does not depend on it.

With `--pairs`, there are only searches without pruning. Any two of their trials, in both orders,
are then taken as a search of two trials, in which the second one ends if it is behind the first
after a certain epoch.
"""

import argparse
import itertools
import statistics
import tempfile
from pathlib import Path

import optuna
import pandas as pd
from project import Search, describe_machine

PRUNER = (
    ",tuning.pruner.name=PercentilePruner,tuning.pruner.arguments.percentile=25.0"
    ",tuning.pruner.arguments.n_startup_trials=3,tuning.pruner.arguments.n_warmup_steps=1"
)


def main() -> None:
    """Run the measurements and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=Path, help="a CSV with the columns review and sentiment")
    parser.add_argument(
        "--rows", type=int, help="number of rows to use, drawn at random; all by default"
    )
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--pairs", action="store_true", help="replay searches of two trials")
    arguments = parser.parse_args()
    print(describe_machine())
    if arguments.pairs:
        with tempfile.TemporaryDirectory() as temporary:
            search = Search(Path(temporary), arguments.csv, arguments.rows)
            replay_pairs([learn_curves(search, arguments.trials, x) for x in arguments.seeds])
        return
    print(
        "| seed | without s | with s | ratio | epochs without | epochs with | best without "
        "| best with | pruned |"
    )
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        search = Search(Path(temporary), arguments.csv, arguments.rows)
        for seed in arguments.seeds:
            results = []
            for name, change in (("whole", ""), ("pruned", PRUNER)):
                parameters = f"tuning.seed={seed}{change}"
                usage = search.measure(f"{name}{seed}", arguments.trials, parameters)
                trials = pd.read_csv(search.project / "data/08_reporting/trials.csv")
                best = trials.loc[trials["state"] == "complete", "value"].max()
                n_pruned = int((trials["state"] == "pruned").sum())
                results.append((usage.seconds, int(trials["epochs"].sum()), best, n_pruned))
            (whole, epochs, best_whole, _), (pruned, fewer, best_pruned, n_pruned) = results
            row = (whole, pruned, pruned / whole, epochs, fewer, best_whole, best_pruned, n_pruned)
            rows.append(row)
            print(_format(str(seed), row), flush=True)
    print(_format("mean", tuple(statistics.mean(column) for column in zip(*rows, strict=True))))


def learn_curves(search: Search, n_trials: int, seed: int) -> list[list[float]]:
    """Return the values of each epoch of all trials of a search without pruning."""
    study = f"pairs{seed}"
    search.measure(study, n_trials, f"tuning.seed={seed}")
    storage = f"sqlite:///{search.project / 'data/06_models/study.db'}"
    trials = optuna.load_study(study_name=study, storage=storage).trials
    return [list(trial.intermediate_values.values()) for trial in trials]


def replay_pairs(searches: list[list[list[float]]]) -> None:
    """Print the cost and the savings of ending the second of two trials once it is behind.

    Args:
        searches: For each search and trial, the values of all epochs; larger ones are better.

    """
    pairs = [pair for curves in searches for pair in itertools.permutations(curves, 2)]
    gain = statistics.mean(max(first[-1], second[-1]) - first[-1] for first, second in pairs)
    print(f"{len(pairs)} pairs; the second trial adds {100 * gain:.2f} points to the best value")
    print("| ended after epoch | of the pairs | epochs saved | points lost | at most |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    epochs = len(pairs[0][0])
    for epoch in range(1, epochs):
        ended = [second[epoch - 1] < first[epoch - 1] for first, second in pairs]
        lost = [
            100 * max(0.0, second[-1] - first[-1]) * is_ended
            for (first, second), is_ended in zip(pairs, ended, strict=True)
        ]
        share = statistics.mean(ended)
        print(
            f"| {epoch} | {share:.2f} | {share * (epochs - epoch) / (2 * epochs):.2f} "
            f"| {statistics.mean(lost):.3f} | {max(lost):.2f} |"
        )


def _format(name: str, row: tuple[float, ...]) -> str:
    whole, pruned, ratio, epochs, fewer, best_whole, best_pruned, n_pruned = row
    return (
        f"| {name} | {whole:.0f} | {pruned:.0f} | {ratio:.2f} | {epochs:.0f} | {fewer:.0f} "
        f"| {best_whole:.4f} | {best_pruned:.4f} | {n_pruned:.0f} |"
    )


if __name__ == "__main__":
    main()
