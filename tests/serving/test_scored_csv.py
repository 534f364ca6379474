import csv
import io
import tracemalloc
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from imdb_sentiment.datasets import TableDataset
from imdb_sentiment.errors import InputError
from imdb_sentiment.parameters import InferenceParameters, ProcessingParameters
from imdb_sentiment.pipelines.inference.nodes import score_reviews
from imdb_sentiment.serving import Predictor, scored_csv
from imdb_sentiment.serving.scored_csv import CsvError, score_csv

CELL = st.one_of(
    st.sampled_from(["w1 w2", "w3", "unheard", "", "<br>", "a,b", 'a "quote"', "two\nlines"]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\ufeff"), max_size=9),
)


def score(exported: bytes, text: str, column: str = "review") -> str:
    target = io.StringIO()
    list(score_csv(Predictor(exported), io.StringIO(text, newline=""), target, column))
    return target.getvalue()


def score_by_pipeline(exported: bytes, source: Path) -> pd.DataFrame:
    chunks = TableDataset(filepath=str(source)).load()
    inference = InferenceParameters(text_column="review")
    here = ProcessingParameters(workers=1, scheduler_address=None)
    return pd.concat(score_reviews(exported, chunks, inference, here))


@pytest.mark.parametrize("row", ['"w1" w2', 'w1 "w2"', '"w1 ""w2"" w3"', 'w1"', '"w1\nw2"'])
def test_stray_quotation_marks_are_read_as_pandas_does(
    row: str, exported: bytes, tmp_path: Path
) -> None:
    source = tmp_path / "in.csv"
    source.write_text(f"review\n{row}\nw4\n", encoding="utf-8")
    found = pd.read_csv(io.StringIO(score(exported, source.read_text(encoding="utf-8"))))
    expected = score_by_pipeline(exported, source)
    assert found["review"].tolist() == expected["review"].tolist()
    assert len(found) == 2


@pytest.mark.parametrize(
    ("text", "header", "row"),
    [
        ("id;review\n1;w1, w2\n", '"id";"review";', '"1";"w1, w2";'),
        ("sep=|\r\nid|review\r\n1|w1, w2\r\n", '"id"|"review"|', '"1"|"w1, w2"|'),
        ('id\treview\n1\ta "w1" w2\n2\t"w3\n', '"id"\t"review"\t', '"1"\t"a ""w1"" w2"\t'),
    ],
)
def test_the_delimiter_is_recognised_and_kept(
    text: str, header: str, row: str, exported: bytes, tmp_path: Path
) -> None:
    lines = score(exported, text).splitlines()
    assert lines[0].startswith(header)
    assert lines[1].startswith(row)
    (tmp_path / "in.csv").write_text(text, newline="")
    expected = score_by_pipeline(exported, tmp_path / "in.csv")
    found = [line.split(lines[0][4])[2].strip('"') for line in lines[1:]]
    assert found == expected["predicted_sentiment"].tolist()


def test_quotation_marks_escaped_by_backslashes_are_recognised(exported: bytes) -> None:
    text = 'review,id\n"w1 \\"w2, w3\\"",7\n'
    (row,) = csv.DictReader(io.StringIO(score(exported, text)))
    assert (row["review"], row["id"]) == ('w1 "w2, w3"', "7")
    assert row["predicted_sentiment"]


def test_a_deadline_is_kept(exported: bytes) -> None:
    with pytest.raises(TimeoutError):
        next(
            score_csv(
                Predictor(exported),
                io.StringIO("review\nw1\n"),
                io.StringIO(),
                "review",
                deadline=0,
            )
        )


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.lists(CELL, min_size=2, max_size=3), min_size=1))
@example(rows=[["1", "00"]])
def test_it_says_what_the_pipeline_inference_says(
    exported: bytes, tmp_path: Path, rows: list[list[str]]
) -> None:
    source = tmp_path / "in.csv"
    with source.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["id", "review"], *rows])
    text = source.read_bytes().decode()
    try:
        expected = score_by_pipeline(exported, source)
    except InputError:  # most rows are malformed
        with pytest.raises(CsvError, match="more fields than the header"):
            score(exported, text)
        return
    scored = io.StringIO(score(exported, text))
    found = pd.read_csv(scored, keep_default_na=False, dtype=str)
    names = [name for name in found.columns if not name.startswith("probability")]
    assert found.columns.tolist() == expected.columns.tolist()
    pd.testing.assert_frame_equal(
        found[names],
        expected[names].fillna("").astype(str).reset_index(drop=True),
        check_dtype=False,
    )
    pd.testing.assert_series_equal(
        pd.to_numeric(found["probability"], errors="coerce"),
        expected["probability"].reset_index(drop=True),
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the file is empty"),
        ("\nreview\na\n", "the file begins with an empty line: remove it"),
        ("id,text\n1,a\n", "there is no column 'review'; there are: id, text"),
        ("review,review\na,b\n", "two columns have the same name: .*; rename one"),
        ('review\n"never closed\n', "a quotation mark is never closed; close it"),
        ('review\nfine\n"', "a quotation mark is never closed; close it"),
        (
            "review, a;b\n" + "w1, w2;w3\n" * 9,
            "may be a comma or a semicolon: set it",
        ),
        ("review\n" + "," * 200_001, "more than 200,000 delimiters: check the delimiter"),
        ("review" + "".join(f",c{n}" for n in range(1000)) + "\n", "1,001 columns, and at most"),
    ],
)
def test_what_can_not_be_scored_says_why(exported: bytes, text: str, problem: str) -> None:
    with pytest.raises(CsvError, match=problem):
        score(exported, text)


def test_the_result_has_a_limit(exported: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scored_csv, "MAX_OUTPUT", 100)
    with pytest.raises(CsvError, match="larger than 100 characters"):
        score(exported, "review\nw1\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "peak"),
    [
        (("ab," * 50_000 + "\n") * 40 + "w1,2\n" * 50, 20e6),
        (("w1 " * 6000 + ",2\n") * 200, 20e6),
        ("a" * 1_000_000 + "\U0001f600,2\n" + "w1,2\n" * 1500, 30e6),
    ],
    ids=["many fields", "long texts", "a very long text"],
)
def test_long_rows_take_little_memory(exported: bytes, rows: str, peak: float) -> None:
    score(exported, "review,id\nw1,2\n")  # what it takes once does not count
    predictor = Predictor(exported)
    source, target = io.StringIO(f"review,id\n{rows}", newline=""), io.StringIO(newline="")
    between = []
    tracemalloc.start()
    for _ in score_csv(
        predictor, source, target, "review", delimiter="comma", max_characters=20_000
    ):
        target.seek(0)
        target.truncate()
        between.append(tracemalloc.get_traced_memory()[0])
    _, highest = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert highest < peak
    assert max(between) < 1e6


def test_a_chunk_may_end_anywhere(exported: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "id,review\n1,w1\n\n2,w2,w3\n3\n" + '4,"w4\nw5"\n5,w6\n'
    whole = score(exported, text)
    monkeypatch.setattr(scored_csv, "CHUNK_BYTES", 0)
    assert score(exported, text) == whole
    assert whole.count("\n") == 8
