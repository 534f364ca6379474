"""data_processing and inference by several workers: the same bytes, even if some of them die."""

import json
import random
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
from kedro.io import DataCatalog, DatasetError, MemoryDataset
from kedro.runner import SequentialRunner

from helpers import (
    THREE_LABELS,
    find_workers,
    make_project,
    make_reviews,
    nest,
    run_kedro,
    run_session,
    wait_until,
    write_csv,
)
from imdb_sentiment.datasets import TableDataset
from imdb_sentiment.engine.mapping import PickledResult
from imdb_sentiment.evaluation.probabilities import REASON_COLUMN
from imdb_sentiment.parameters import (
    InferenceParameters,
    ProcessingParameters,
    ReviewsParameters,
    SplitParameters,
)
from imdb_sentiment.pipelines.data_processing.nodes import check_reviews
from imdb_sentiment.pipelines.inference import create_pipeline
from imdb_sentiment.text.tables import list_parts

COLUMNS = ["review", "sentiment", "film", "split"]


def make_table(rows: int = 150) -> pd.DataFrame:
    """Return reviews with duplicates, with and without another label, and rows to be refused."""
    rng = random.Random(0)
    reviews = make_reviews(rows)
    text, label = reviews[0]
    reviews[rows // 3] = (text, label)
    reviews[rows // 2] = (text.upper() + "!", label)
    reviews[rows // 2 + 1] = (text, "positive")
    reviews[2 * rows // 3] = ("", "positive")
    reviews[-9] = ("no such label", "?")
    splits = ("train", "train", "validation", "test")
    films = [f"film {rng.randrange(20)}" for _ in reviews]
    names = [splits[rng.randrange(4)] for _ in reviews]
    columns = zip(*reviews, strict=True)
    return pd.DataFrame(dict(zip(COLUMNS, [*columns, films, names], strict=True)))


def write_files(table: pd.DataFrame, folder: Path, kind: str) -> Path:
    """Write a table into one CSV, or into three files in a folder."""
    if kind == "one":
        path = folder / "table.csv"
        table.to_csv(path, index=False)
        return path
    path = folder / f"{kind}_parts"
    path.mkdir()
    third = len(table) // 3
    for number, part in enumerate((table[:third], table[third : third + 2], table[third + 2 :])):
        file = path / f"part{number}.{kind}"
        if kind == "csv":
            part.to_csv(file, index=False)
        else:
            part.to_parquet(file, index=False, row_group_size=20)
    return path


def make_small_chunks(project: Path, rows: int) -> None:
    """Let a project read tables in chunks of a few rows."""
    (project / "conf/local/globals.yml").write_text(f"chunksize: {rows}\n", "utf-8")


def process(project: Path, *, workers: int, **parameters: Any) -> dict[str, bytes]:
    """Run data_processing, and return the content of each file that it has made."""
    parameters |= {"processing.workers": workers, "reviews.labels": ["negative", "positive"]}
    parameters |= {"reviews.max_rejected_fraction": 0.1}
    data = project / "data"
    for folder in data.glob("0[2-5]*"):
        shutil.rmtree(folder)
    run_session(project, "data_processing", **nest(parameters))
    files = (path for path in sorted(data.glob("0[2-5]*/*")) if path.is_file())
    return {str(path.relative_to(data)): path.read_bytes() for path in files}


def score(
    exported: bytes, source: Path, target: Path, workers: int, chunksize: int = 7
) -> pd.DataFrame:
    """Score a table, and return the result."""
    catalog = DataCatalog(
        {
            "onnx_model": MemoryDataset(exported),
            "input_reviews": TableDataset(filepath=str(source), load_args={"chunksize": chunksize}),
            "scored_reviews": TableDataset(filepath=str(target)),
            "params:inference": MemoryDataset(InferenceParameters(text_column="review")),
            "params:processing": MemoryDataset(
                ProcessingParameters(workers=workers, scheduler_address=None)
            ),
        }
    )
    SequentialRunner().run(create_pipeline(), catalog)
    return pd.concat(TableDataset(filepath=str(target)).load())


def load(chunk: pd.DataFrame | PickledResult) -> pd.DataFrame:
    """Return a chunk as a data frame."""
    found = chunk.load() if isinstance(chunk, PickledResult) else chunk
    assert isinstance(found, pd.DataFrame)
    return found


@contextmanager
def killing(has_begun: Callable[[], bool], has_ended: Callable[[], bool]) -> Iterator[list[int]]:
    """Kill two workers of this process, one after the other; yield the list of those killed."""
    killed: list[int] = []

    def kill_one() -> None:
        for process in find_workers(psutil.Process()):
            if process.pid not in killed:
                process.kill()
                assert not has_ended()
                killed.append(process.pid)
                return

    def kill() -> None:
        wait_until(has_begun)
        kill_one()
        time.sleep(0.3)
        kill_one()

    with ThreadPoolExecutor(1) as pool:
        done: Future[None] = pool.submit(kill)
        yield killed
        done.result(1)


def test_rows_are_checked_alike_on_a_cluster(
    reviews: ReviewsParameters, split: SplitParameters, thread_cluster: str
) -> None:
    table = make_table()
    chunks = [table[start : start + 7] for start in range(0, len(table), 7)]
    grouped = split.model_copy(update={"group_column": "film"})
    found = []
    for address in (None, thread_cluster):
        processing = ProcessingParameters(workers=1, scheduler_address=address)
        checked, words = check_reviews(chunks, reviews, grouped, "auto", processing)
        frames = [load(chunk) for chunk in checked]
        found.append((pd.concat(frames), list(words)))
    (here, words_here), (there, words_there) = found
    pd.testing.assert_frame_equal(here, there)
    assert words_here == words_there
    assert set(here["status"]) == {"accepted", "rejected", "duplicate"}


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("one", {}),
        ("csv", {"split.group_column": "film", "unlabelled_file": "more.csv"}),
        ("parquet", {"split.method": "column", "tokenizer.kind": "bpe"}),
    ],
)
def test_data_processing_makes_the_same_bytes(
    kind: str, parameters: dict[str, Any], tmp_path: Path
) -> None:
    project = make_project(tmp_path)
    make_small_chunks(project, 7)
    raw = project / "data/01_raw"
    path = write_files(make_table(), raw, kind)
    make_table(40).to_csv(raw / "more.csv", index=False)
    found = {
        workers: process(project, **parameters, reviews_file=path.name, workers=workers)
        for workers in (1, 2, 3)
    }
    assert found[1].keys() == found[2].keys() == found[3].keys()
    for name, content in found[1].items():
        assert found[2][name] == content, name
        assert found[3][name] == content, name
    audit = json.loads(found[3]["02_intermediate/audit.json"])
    counts = [audit[name] for name in ("rows_read", "accepted", "rejected", "duplicates")]
    assert counts == [150, 145, 2, 3]
    assert audit["duplicates_with_another_label"] == 1


@pytest.mark.cluster
@pytest.mark.parametrize("kind", ["one", "csv", "parquet"])
def test_inference_makes_the_same_bytes(kind: str, exported: bytes, tmp_path: Path) -> None:
    table = make_table()
    table["review"] = [f"w{number % 28} {text}" for number, text in enumerate(table["review"])]
    source = write_files(table, tmp_path, kind)
    targets = {workers: tmp_path / f"{workers}.csv" for workers in (1, 2, 3)}
    found = {
        workers: score(exported, source, target, workers) for workers, target in targets.items()
    }
    assert found[3]["review"].tolist() == table["review"].tolist()
    assert targets[1].read_bytes() == targets[2].read_bytes() == targets[3].read_bytes()


def write_malformed(path: Path, middle: list[str]) -> list[str]:
    """Write a CSV in which each fifth row has too many fields, with other rows in its middle."""
    rows = [f"{n},w{n % 28}" + ",too,many" * (n % 5 == 3) for n in range(90)]
    rows[61:64] = middle
    path.write_text("\n".join(["id,review", *rows, ""]))
    return rows


@pytest.mark.cluster
@pytest.mark.parametrize(
    "middle",
    [
        ["61,w1", "62,w2", "63,w3"],
        ["61,w1", '62,"w2" and "so on', "63,w3"],  # the rest can't be divided
        ['61,"w1\n62,w2\n63,w3"'],  # one row for all that read CSVs
    ],
)
def test_inference_keeps_malformed_rows_in_their_places(
    middle: list[str], exported: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imdb_sentiment.datasets.csv_parts.BLOCK", 100)
    source, here, there = (tmp_path / f"{name}.csv" for name in ("in", "here", "there"))
    rows = write_malformed(source, middle)
    parts = list_parts(TableDataset(filepath=str(source), load_args={"chunksize": 7}).load())
    assert sum(map(callable, parts)) >= 8  # which the workers read
    score(exported, source, here, workers=1)
    scored = score(exported, source, there, workers=2)
    assert there.read_bytes() == here.read_bytes()
    is_long = ["many" in row for row in rows]
    numbers = [row.partition(",")[0] for row in rows]
    assert scored["id"].where(~np.array(is_long), numbers).tolist() == numbers
    assert scored[REASON_COLUMN].str.startswith("malformed line: 4 fields").tolist() == is_long


@pytest.mark.cluster
def test_with_workers_too_an_open_quotation_mark_is_told(
    exported: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imdb_sentiment.datasets.csv_parts.BLOCK", 100)
    # So that it is not among the first rows, which the run itself reads to find the texts.
    monkeypatch.setattr("imdb_sentiment.text.tables.CHUNK", 10)
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    write_malformed(source, ["61,w1", '62,"w2', "63,w3"])
    with pytest.raises(DatasetError, match="opened in row 63 is never closed"):
        score(exported, source, target, workers=2)
    assert not target.exists()


@pytest.mark.cluster
def test_killed_workers_cost_data_processing_nothing(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    make_small_chunks(project, 3)
    make_table(900).to_csv(project / "data/01_raw/sample_reviews.csv", index=False)
    expected = process(project, workers=1)
    folder = project / "data/02_intermediate"

    def has_begun() -> bool:
        return any(path.stat().st_size for path in folder.glob(".checked_reviews.*"))

    with killing(has_begun, (folder / "checked_reviews.pkl").exists) as killed:
        found = process(project, workers=2)
    assert len(killed) == 2
    assert found == expected


@pytest.mark.cluster
def test_killed_workers_cost_inference_nothing(exported: bytes, tmp_path: Path) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    make_table(900).to_csv(source, index=False)
    score(exported, source, tmp_path / "expected.csv", workers=1, chunksize=3)

    def has_begun() -> bool:
        return any(path.stat().st_size for path in tmp_path.glob(".out.*"))

    with killing(has_begun, target.exists) as killed:
        score(exported, source, target, workers=2, chunksize=3)
    assert len(killed) == 2
    assert target.read_bytes() == (tmp_path / "expected.csv").read_bytes()


@pytest.mark.cluster
def test_the_commands_use_workers(copy_of_finished: Path) -> None:
    rows = make_reviews(150, THREE_LABELS)
    write_csv(copy_of_finished / "data/01_raw/sample_reviews.csv", rows)
    (copy_of_finished / "conf/local/globals.yml").write_text("reviews_file: sample_reviews.csv\n")
    for command in (
        "kedro run --pipelines data_processing --params processing.workers=4",
        "kedro run --pipelines inference --params processing.workers=4",
    ):
        output = run_kedro(copy_of_finished, command, {"workers=4": "workers=2"})
        assert "Dask's dashboard: http://127.0.0.1" in output
