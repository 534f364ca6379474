"""Ten million reviews through the part of the data path that has to know all of them.

    .venv/bin/python benchmarks/scale.py data/01_raw/imdb_reviews.csv

Requires a finished run on the same file, because it uses its settings, tokenizer and model. Each
row is the first half of one review and the second half of another one, with the label of the first:
nearly all of them are distinct, have the length of real ones, and none is kept. `check_reviews`
reads them as in a run, and the accepted ones are counted for the vocabulary and the splits. At each
mark, the table has the rows so far, the seconds and rows per second without those that it takes to
make the rows, and the peak of the resident memory. Then come the seconds per million rows of the
steps that need no other rows: encoding, and the predictions of the exported model.
"""

import argparse
import random
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from project import ROOT, describe_machine

from imdb_sentiment.datasets import TableDataset, TokenizerDataset
from imdb_sentiment.engine.mapping import PickledResult
from imdb_sentiment.parameters import ProcessingParameters, ReviewsParameters, SplitParameters
from imdb_sentiment.pipelines.data_processing.nodes import check_reviews
from imdb_sentiment.pipelines.data_processing.row_checks import hash_groups, select_accepted
from imdb_sentiment.serving import Predictor
from imdb_sentiment.text.review_encoder import ReviewEncoder
from imdb_sentiment.text.tables import CHUNK
from imdb_sentiment.text.word_numbers import WORDS, unpack_numbers

MARKS = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
KEPT = 4  # chunks that are encoded and scored at the end


@dataclass
class RowMaker:
    """Chunks of new reviews from the halves of real ones, and the seconds that they took."""

    texts: list[str]
    labels: list[str]
    columns: tuple[str, str]
    seconds: float = 0.0

    def make(self, rows: int) -> Iterator[pd.DataFrame]:
        """Yield that many rows."""
        halves = [self._halve(text) for text in self.texts]
        rng = random.Random(0)
        for first in range(0, rows, CHUNK):
            start = time.perf_counter()
            n = min(CHUNK, rows - first)
            pairs = [(rng.randrange(len(halves)), rng.randrange(len(halves))) for _ in range(n)]
            texts = [f"{halves[one][0]} {halves[other][1]}" for one, other in pairs]
            labels = [self.labels[one] for one, _ in pairs]
            index = pd.RangeIndex(first + 1, first + n + 1)
            chunk = pd.DataFrame(dict(zip(self.columns, (texts, labels), strict=True)), index)
            self.seconds += time.perf_counter() - start
            yield chunk

    @staticmethod
    def _halve(text: str) -> tuple[str, str]:
        words = text.split()
        middle = len(words) // 2
        return " ".join(words[:middle]), " ".join(words[middle:])


def main() -> None:
    """Run the measurements and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", help="the table of the finished run")
    parser.add_argument("--rows", type=int, default=MARKS[-1])
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    reviews = ReviewsParameters.model_validate_json(
        (ROOT / "data/02_intermediate/review_settings.json").read_text(encoding="utf-8")
    )
    split = yaml.safe_load((ROOT / "conf/base/parameters_data_processing.yml").read_text())["split"]
    columns = (reviews.text_column, reviews.label_column)
    table = pd.concat(list(TableDataset(filepath=str(Path(arguments.file).resolve())).load()))
    maker = RowMaker(table[columns[0]].tolist(), table[columns[1]].tolist(), columns)

    print(describe_machine())
    print("| rows | seconds | rows per second | peak MiB | accepted | distinct words |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    start = time.perf_counter()
    checked, words = check_reviews(
        maker.make(arguments.rows),
        reviews,
        SplitParameters(**split | {"seed": 0}),  # unused here
        "auto",
        ProcessingParameters(workers=arguments.workers, scheduler_address=None),
    )
    counts = np.zeros(0, np.int64)
    kept: list[pd.DataFrame] = []
    codes, groups = [], []
    rows = accepted_rows = 0
    for result in checked:
        chunk = result.load() if isinstance(result, PickledResult) else result
        accepted = select_accepted(chunk)
        numbers, _ = unpack_numbers(accepted[WORDS])
        counts.resize(max(len(counts), int(numbers.max(initial=-1)) + 1))
        counts += np.bincount(numbers, minlength=len(counts))
        codes.append(accepted["code"].to_numpy(np.int16))
        groups.append(hash_groups(accepted["group"]))
        if len(kept) < KEPT:
            kept.append(accepted)
        rows += len(chunk)
        accepted_rows += len(accepted)
        if rows in MARKS or rows == arguments.rows:
            seconds = time.perf_counter() - start - maker.seconds
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"| {rows:,} | {seconds:,.0f} | {rows / seconds:,.0f} | {peak:,.0f} | "
                f"{accepted_rows:,} | {len(counts):,} |",
                flush=True,
            )
    sample = pd.concat(kept)
    encoder = ReviewEncoder(
        TokenizerDataset(filepath=str(ROOT / "data/04_feature/tokenizer.json")).load(), list(words)
    )
    predictor = Predictor.load(ROOT / "data/06_models/model.onnx")
    print(f"\n| {len(sample):,} rows | seconds per million |\n| --- | ---: |")
    for name, work in (
        ("encoding", lambda: encoder.encode(sample)),
        ("predictions", lambda: predictor.score_cleaned(sample["text"].tolist())),
    ):
        start = time.perf_counter()
        work()
        print(f"| {name} | {(time.perf_counter() - start) / len(sample) * 1e6:,.0f} |")


if __name__ == "__main__":
    main()
