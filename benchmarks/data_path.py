"""Time of data_processing, compared with a loop that only reads, splits and looks up the words.

    .venv/bin/python benchmarks/data_path.py data/01_raw/imdb_reviews.csv
    .venv/bin/python benchmarks/data_path.py data/01_raw/imdb_reviews.csv --workers 1 2
    .venv/bin/python benchmarks/data_path.py data/01_raw/imdb_reviews.csv --simulate

The loop (`plain_loop.py`) and `kedro run --pipelines data_processing`, imports included, run
alternately, in a temporary copy of the project. After them come the nodes of tuning that the
baseline needs, and those that describe the data and fit and score the baseline; their seconds are
those that Kedro logs, without the start. With `--workers`, data_processing alone runs with each of
these values of `processing.workers`, in turn with the loop.

With `--simulate`, the workers sleep for as long as it takes on one core to read, clean and cut the
rows of a part and to write the result, instead of doing so. The run itself does its real work. For
each part, it finds where a CSV's records end, or reads the rows of another table and leaves them in
a file; it receives the keys of all rows and all distinct words, judges the rows, none of which are
duplicates, sends its verdicts, and appends the result to a file. (All results are the same file,
which the system has in memory. The file that they are appended to is overwritten after 500 MB, so
that the disk is not measured, too.) No word is new, since few are in a long table; a new one costs
about 0.3 µs more. So any number of workers can be tried on a few cores. Efficiency is the time of
the sleeps alone divided by the whole time.
"""

import argparse
import itertools
import pickle
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from project import describe_machine, make_project, measure, repeat_csv, run_cluster
from simulated_worker import finish, sleep

from imdb_sentiment.datasets import TableDataset
from imdb_sentiment.engine.mapping import PickledResult, map_in_two_steps
from imdb_sentiment.parameters import ReviewsParameters, SplitParameters
from imdb_sentiment.pipelines.data_processing.row_checks import (
    RowJudge,
    RowKeys,
    Verdicts,
    finish_chunk,
    read_chunk,
)
from imdb_sentiment.text.tables import CHUNK, list_parts

LOOP = "the bare loop"
PLAIN_LOOP = Path(__file__).resolve().with_name("plain_loop.py")
CHUNKS = 25  # number of simulated chunks per worker
MAX_WRITTEN = 500_000_000  # bytes of results after which their file is overwritten
TIMED = 3  # number of real chunks, whose median time is simulated
COMMANDS = {
    "data_processing": ["--pipelines", "data_processing"],
    "choose the metric and assign folds": ["--pipelines", "tuning", "--to-outputs", "folds,metric"],
    "describe_data, fit_baseline, score_baseline": [
        "--nodes",
        "reporting.facts.describe_data,training.fit_baseline,reporting.scoring.score_baseline",
    ],
}


def read_seconds(log: Path) -> float:
    """Return the seconds that Kedro logs at the end of a run."""
    text = " ".join(log.read_text(encoding="utf-8").split())
    found = re.search(r"successfully in ([0-9.]+) sec", text)
    return float(found[1]) if found else float("nan")


def simulate(path: Path, counts: list[int], chunksize: int, slowdown: float) -> None:
    """Measure the engine with workers that sleep, and print a table."""
    reviews = ReviewsParameters(
        file=path.name,
        text_column="review",
        label_column="sentiment",
        labels=("negative", "positive"),
        ordered=False,
        max_rejected_fraction=1,
    )
    split = SplitParameters(
        method="random",
        column="split",
        group_column=None,
        seed=0,
        test_fraction=0.2,
        validation_fraction=0.1,
    )
    table = TableDataset(filepath=str(path.resolve()), load_args={"chunksize": chunksize}).load()
    judge = RowJudge()
    seconds_of_reading: list[float] = []
    seconds_of_finishing: list[float] = []
    for part in itertools.islice(list_parts(table), TIMED):
        start = time.process_time()
        chunk = part() if callable(part) else part
        read, keys = read_chunk(chunk, reviews, split, "auto")
        seconds_of_reading.append(time.process_time() - start)
        verdicts = judge.judge(keys)
        start = time.process_time()
        result = pickle.dumps(finish_chunk(read, verdicts), protocol=pickle.HIGHEST_PROTOCOL)
        seconds_of_finishing.append(time.process_time() - start)
    first_seconds, second_seconds = (
        slowdown * statistics.median(x) for x in (seconds_of_reading, seconds_of_finishing)
    )
    seconds = first_seconds + second_seconds
    print(f"Parts of {len(keys.keys):,} rows, {CHUNKS} per worker, {seconds:.2f} s each")
    print("| workers | seconds | rows per second | efficiency | run: CPU ms per part |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    rng = np.random.default_rng(0)

    def list_items(number: int) -> Iterator[Any]:
        """Yield parts that no worker needs to read, or rows that the run has read."""
        parts = itertools.chain.from_iterable(map(list_parts, itertools.repeat(table)))
        for part in itertools.islice(parts, number):
            yield partial(int, 0) if callable(part) else part

    def judge_as_new(keys: RowKeys) -> Verdicts:
        return judge.judge(keys._replace(keys=keys.keys ^ rng.integers(1 << 63, dtype=np.uint64)))

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "keys").write_bytes(pickle.dumps(keys))
        (folder / "result").write_bytes(result)
        for workers in counts:
            with run_cluster(folder, workers) as address:

                def run(
                    rounds: int, share: float, workers: int = workers, at: str = address
                ) -> int:
                    results = map_in_two_steps(
                        partial(sleep, seconds=share * first_seconds, keys=folder / "keys"),
                        judge_as_new,
                        partial(finish, seconds=share * second_seconds, result=folder / "result"),
                        list_items(rounds * workers),
                        workers=1,
                        scheduler_address=at,
                    )
                    rows = 0
                    with (folder / "all").open("wb") as file:
                        for returned in results:
                            PickledResult(returned.load()).move_to(file)  # of which it is the path
                            rows += len(keys.keys)
                            if file.tell() > MAX_WRITTEN:
                                file.seek(0)
                    return rows

                run(1, 0.1)  # to import everything
                start, busy = time.perf_counter(), time.process_time()
                rows = run(CHUNKS, 1)
                took, busy = time.perf_counter() - start, time.process_time() - busy
            print(
                f"| {workers} | {took:.1f} | {rows / took:,.0f} | {CHUNKS * seconds / took:.3f} "
                f"| {1000 * busy / (CHUNKS * workers):.0f} |",
                flush=True,
            )


def main() -> None:
    """Run the measurements and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=Path, help="a CSV with the columns review and sentiment")
    parser.add_argument("--params", default="split.method=column", help="further --params")
    parser.add_argument("--runs", type=int, default=3, help="runs of each; prints the medians")
    parser.add_argument("--workers", type=int, nargs="+", help="values of processing.workers")
    parser.add_argument("--simulate", action="store_true", help="let 1 to 16 workers sleep")
    parser.add_argument("--chunksize", type=int, default=CHUNK, help="rows of a simulated part")
    parser.add_argument("--slowdown", type=float, default=1, help="factor of the simulated time")
    arguments = parser.parse_args()
    print(describe_machine())
    if arguments.simulate:
        counts = arguments.workers or [1, 2, 4, 8, 16]
        simulate(arguments.csv, counts, arguments.chunksize, arguments.slowdown)
        return
    commands = {name: (options, "") for name, options in COMMANDS.items()}
    if arguments.workers:
        commands = {
            f"data_processing, {workers} worker{'s' * (workers > 1)}": (
                COMMANDS["data_processing"],
                f",processing.workers={workers}",
            )
            for workers in arguments.workers
        }
    found: dict[str, list[tuple[float, ...]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        project = make_project(Path(temporary))
        path = project / "data/01_raw/reviews.csv"
        repeat_csv(arguments.csv.resolve(), path, 1)
        for _ in range(arguments.runs):
            usage = measure([str(PLAIN_LOOP), str(path)], project)
            found.setdefault(LOOP, []).append(
                (usage.seconds, usage.seconds, usage.cpu_seconds, usage.peak_mib)
            )
            for name, (options, further) in commands.items():
                command = ["-m", "kedro", "run", *options, "--params"]
                parameters = f"reviews_file={path},{arguments.params}{further}"
                usage = measure([*command, parameters], project)
                seconds = read_seconds(max((project / "logs").glob("*.log")))
                found.setdefault(name, []).append(
                    (usage.seconds, seconds, usage.cpu_seconds, usage.peak_mib)
                )
    print(
        "| | seconds | without the start | of processor time | times the loop | largest process |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    loop = statistics.median(run[0] for run in found[LOOP])
    for name, runs in found.items():
        seconds, nodes, cpu, peak = map(statistics.median, zip(*runs, strict=True))
        print(
            f"| {name} | {seconds:.1f} | {nodes:.1f} | {cpu:.1f} | {seconds / loop:.2f} "
            f"| {peak:.0f} MiB |"
        )


if __name__ == "__main__":
    main()
