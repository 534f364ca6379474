"""A search with pruning and the same search without, for several seeds.

    .venv/bin/python benchmarks/pruning.py data/01_raw/imdb_reviews.csv --rows 10000

Both run `kedro run --env imdb --pipelines tuning` in separate processes, one after the other, on
the same randomly split data. The search with pruning uses the pruner of conf/imdb. The speed of the
machine may change between the two; the number of trained epochs does not depend on it.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import pandas as pd
from project import NO_PRUNER, Search, describe_machine


def main() -> None:
    """Run the measurements and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=Path, help="a CSV with the columns review and sentiment")
    parser.add_argument(
        "--rows", type=int, help="number of rows to use, drawn at random; all by default"
    )
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    print(describe_machine())
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
            for name, change in (("whole", f",{NO_PRUNER}"), ("pruned", "")):
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


def _format(name: str, row: tuple[float, ...]) -> str:
    whole, pruned, ratio, epochs, fewer, best_whole, best_pruned, n_pruned = row
    return (
        f"| {name} | {whole:.0f} | {pruned:.0f} | {ratio:.2f} | {epochs:.0f} | {fewer:.0f} "
        f"| {best_whole:.4f} | {best_pruned:.4f} | {n_pruned:.0f} |"
    )


if __name__ == "__main__":
    main()
