import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from click import ClickException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from helpers import make_network, run_kedro, run_session, write_csv
from imdb_sentiment.datasets import OnnxModelDataset, TableDataset
from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.probabilities import REASON_COLUMN
from imdb_sentiment.network.export import convert_to_onnx
from imdb_sentiment.parameters import InferenceParameters, ProcessingParameters
from imdb_sentiment.pipelines.inference import create_pipeline
from imdb_sentiment.pipelines.inference.nodes import score_reviews
from imdb_sentiment.serving import Predictor
from imdb_sentiment.text.tables import MALFORMED
from services import WORDS, make_tokenizer

INFERENCE = InferenceParameters(text_column="review")
HERE = ProcessingParameters(workers=1, scheduler_address=None)


def score_file(exported: bytes, source: Path, target: Path, chunksize: int) -> pd.DataFrame:
    catalog = DataCatalog(
        {
            "onnx_model": MemoryDataset(exported),
            "input_reviews": TableDataset(filepath=str(source), load_args={"chunksize": chunksize}),
            "scored_reviews": TableDataset(filepath=str(target)),
            "params:inference": MemoryDataset(INFERENCE),
            "params:processing": MemoryDataset(HERE),
        }
    )
    SequentialRunner().run(create_pipeline(), catalog)
    return pd.read_csv(target, dtype=str, keep_default_na=False)


CELL = st.one_of(
    st.lists(st.sampled_from([*WORDS, "other", "<br />", ",", '"', "\n"])).map(" ".join),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\ufeff"), max_size=9),
)


@pytest.mark.parametrize("name", ["id;review;stars", "id\treview", "id|review"])
def test_lines_of_another_delimiter_are_not_scored_as_texts(name: str, exported: bytes) -> None:
    table = pd.DataFrame({name: [f"{n};a {WORDS[0]} film;5" for n in range(30)]})
    auto = InferenceParameters(text_column="auto")
    with pytest.raises(InputError, match=r"only one column, .* which seems to contain several"):
        score_reviews(exported, table, auto, HERE)
    survey = table.set_axis(["What did you like, and why?"], axis=1)
    assert len(pd.concat(score_reviews(exported, survey, auto, HERE))) == 30
    given = InferenceParameters(text_column=name)
    assert len(pd.concat(score_reviews(exported, table, given, HERE))) == 30


@pytest.mark.parametrize(
    "word", ["\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "\u8fd9\u90e8\u7535\u5f71"]
)
def test_a_first_text_without_spaces_is_no_header(word: str, exported: bytes) -> None:
    lines = [f"{word * 9} {n}" for n in range(30)]
    auto = InferenceParameters(text_column="auto")
    with pytest.raises(InputError, match="seems to have no header"):
        score_reviews(exported, pd.DataFrame({lines[0]: lines[1:]}), auto, HERE)
    surveyed = "Оцените качество нашего сервиса"
    named = pd.DataFrame({surveyed: lines})
    assert len(pd.concat(score_reviews(exported, named, auto, HERE))) == 30
    question = f"{word * 9}\uff1f"
    assert (
        len(pd.concat(score_reviews(exported, pd.DataFrame({question: lines}), auto, HERE))) == 30
    )


def test_the_texts_are_found_in_the_rows_of_many_small_files(exported: bytes) -> None:
    files = [
        pd.DataFrame({"x": [f"a {WORDS[0]} film, number {n}"], "y": ["ab"[n % 2]]})
        for n in range(60)
    ]
    scored = pd.concat(
        score_reviews(exported, files, InferenceParameters(text_column="auto"), HERE)
    )
    assert len(scored) == 60
    assert scored["predicted_sentiment"].notna().all()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(CELL, CELL), min_size=1), st.integers(1, 4))
def test_every_row_comes_back_in_its_place(
    exported: bytes, tmp_path: Path, rows: list[tuple[str, str]], chunksize: int
) -> None:
    source = write_csv(tmp_path / "in.csv", rows, ("note", "review"))
    scored = score_file(exported, source, tmp_path / "out.csv", chunksize)
    assert scored.columns.tolist() == [
        "note",
        "review",
        "predicted_sentiment",
        "probability",
        "probability_negative",
        "probability_positive",
        REASON_COLUMN,
    ]
    assert scored[["note", "review"]].to_numpy().tolist() == [list(row) for row in rows]
    expected = Predictor(exported).predict([text for _, text in rows])
    for row, prediction in zip(scored.to_dict("records"), expected, strict=True):
        assert row["predicted_sentiment"] == (prediction.label or "")
        assert bool(row[REASON_COLUMN]) == (prediction.label is None)
        if prediction.label:
            assert float(row["probability"]) == pytest.approx(prediction.probability, abs=1e-6)
            assert float(row["probability_positive"]) == pytest.approx(
                prediction.probabilities["positive"], abs=1e-6
            )


def test_what_has_no_prediction_says_why(exported: bytes, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("id,review\n1,w1\n2,<br>\n3,qqq zzz\n4,a,b,c\n5,w2\n")
    scored = score_file(exported, source, tmp_path / "out.csv", 2)
    assert scored["id"].tolist() == ["1", "2", "3", "", "5"]
    assert scored[REASON_COLUMN].tolist() == [
        "",
        "no text",
        "no word that the model knows",
        "malformed line: 4 fields where the header has 2",
        "",
    ]
    assert (scored["probability"] == "").tolist() == [False, True, True, True, False]


def test_the_texts_are_not_replaced_by_predictions(
    exported: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    chunk = pd.DataFrame({"probability": ["w1"], "review": ["w2"], "_malformed": [""]})
    with pytest.raises(InputError, match=r"the texts .* in the column 'probability', which"):
        score_reviews(exported, [chunk], InferenceParameters(text_column="probability"), HERE)
    list(score_reviews(exported, [chunk], INFERENCE, HERE))
    assert "The predictions replace columns of the input file: 'probability'" in caplog.text


def test_an_earlier_scoring_is_replaced(exported: bytes, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "in.csv", [("w1", "a"), ("", "b")], ("review", "id"))
    once = score_file(exported, source, tmp_path / "out.csv", 10)
    again = score_file(exported, tmp_path / "out.csv", tmp_path / "out.csv", 10)
    pd.testing.assert_frame_equal(once, again)


def test_a_missing_column_is_told(exported: bytes) -> None:
    chunk = pd.DataFrame({"text": ["w1"], "_malformed": [""]})
    with pytest.raises(InputError, match=r"no column 'review'\. Its columns are: text\."):
        score_reviews(exported, [chunk], INFERENCE, HERE)


@pytest.mark.parametrize("column", ["review", "auto"])
def test_objects_are_not_scored_as_texts(exported: bytes, column: str) -> None:
    chunk = pd.DataFrame({"review": [{"title": "w1"}], "_malformed": [""]})
    inference = InferenceParameters(text_column=column)
    with pytest.raises(InputError, match=r"objects or lists \(docs/data\.md"):
        score_reviews(exported, [chunk], inference, HERE)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_files_without_rows_may_come_first(exported: bytes, tmp_path: Path, suffix: str) -> None:
    folder, target = tmp_path / "in", tmp_path / f"out.{suffix}"
    folder.mkdir()
    (folder / "1.csv").write_text("id,comments_x\n")
    (folder / "2.csv").write_text("id,comments_x\n,\n")
    (folder / "3.csv").write_text("id,comments_x\n7,w1 is a text with several words\n")
    inference = InferenceParameters(text_column="auto")
    chunks = TableDataset(filepath=str(folder)).load()
    TableDataset(filepath=str(target)).save(score_reviews(exported, chunks, inference, HERE))
    (scored,) = TableDataset(filepath=str(target)).load()
    assert scored["id"].tolist() == ["", "7"]
    assert scored[REASON_COLUMN].tolist() == ["no text", ""]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_half_an_emoji_costs_no_other_row(exported: bytes, tmp_path: Path, suffix: str) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / f"out.{suffix}"
    source.write_text(
        '{"review": "w1 \\ud83d", "more": {"\\ud83d": ["\\ud83d", 1]}}\n'
        '{"review": "w2 \\ud83d\\ude00", "more": null}\n'
    )
    chunks = TableDataset(filepath=str(source)).load()
    TableDataset(filepath=str(target)).save(score_reviews(exported, chunks, INFERENCE, HERE))
    (scored,) = TableDataset(filepath=str(target)).load()
    assert scored["review"].tolist() == ["w1 \ufffd", "w2 \U0001f600"]
    more = scored["more"].iloc[0]
    assert (more if suffix == "jsonl" else json.loads(more)) == {"\ufffd": ["\ufffd", 1]}
    expected = [prediction.probability for prediction in Predictor(exported).predict(["w1", "w2"])]
    assert scored["probability"].astype(float).tolist() == pytest.approx(expected, abs=1e-3)


def test_a_later_file_without_the_column_gets_no_predictions(
    exported: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, target = tmp_path / "parts", tmp_path / "out.csv"
    folder.mkdir()
    (folder / "a.jsonl").write_text('{"review": "w1", "id": 1}\n')
    (folder / "b.jsonl").write_text('{"id": 2}\n{"id": 3}\n')
    with caplog.at_level("WARNING"):
        scored = score_file(exported, folder, target, 10)
    assert scored["id"].tolist() == ["1", "2", "3"]
    assert scored["review"].tolist() == ["w1", "", ""]
    assert scored[REASON_COLUMN].tolist() == ["", "no text", "no text"]
    assert "Rows 2 to 3 have no column 'review'" in caplog.text
    tables = [pd.DataFrame({"review": ["w1"]}), pd.DataFrame({"id": []})]
    assert [len(frame) for frame in score_reviews(exported, tables, INFERENCE, HERE)] == [1, 0]


def test_rows_that_are_not_scored_are_counted(
    exported: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "imdb_sentiment")
    malformed = ["", "5 fields where the header has 1", "", "", ""]
    table = pd.DataFrame({"review": ["w1", "", "", "w3", "w1"], MALFORMED: malformed})
    list(score_reviews(exported, [table], INFERENCE, HERE))
    assert "3 of 5 rows scored" in caplog.text
    assert "malformed line: 1" in caplog.text
    assert "no text: 1" in caplog.text
    assert caplog.records[-1].levelname == "WARNING"
    most = pd.concat([table[1:2]] * 3 + [table[3:]], ignore_index=True)
    with pytest.raises(InputError, match=r"3 of 5 rows are malformed .*input_delimiter=tab"):
        list(score_reviews(exported, [most], INFERENCE, HERE))


@pytest.mark.parametrize("size", [1, 2, 9])
def test_malformed_rows_are_judged_by_as_many_rows_whatever_the_chunks(
    size: int, exported: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imdb_sentiment.pipelines.inference.nodes.CHUNK", 6)
    some = pd.DataFrame({"review": [""] * 3 + ["w1"] * 6, MALFORMED: ["1 field"] * 3 + [""] * 6})
    parts = [some[start : start + size] for start in range(0, 9, size)]
    assert sum(map(len, score_reviews(exported, parts, INFERENCE, HERE))) == 9
    most = pd.concat([some[:3], some[:3], some[3:]])
    parts = [most[start : start + size] for start in range(0, len(most), size)]
    with pytest.raises(InputError, match="rows are malformed"):
        list(score_reviews(exported, parts, INFERENCE, HERE))


@pytest.mark.parametrize("first", [3, 300])
def test_the_texts_of_a_later_file_are_found(
    first: int, exported: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    parts = [
        pd.DataFrame({"id": range(first)}),
        pd.DataFrame({"body": ["w1 w2 w1"] * 9, "id": range(9)}),
    ]
    scored = list(score_reviews(exported, parts, InferenceParameters(text_column="auto"), HERE))
    assert [frame["probability"].notna().sum() for frame in scored] == [0, 9]
    assert "are in the column 'body'" in caplog.text
    assert f"no text: {first}" in caplog.text


@pytest.mark.parametrize(
    ("name", "is_doubtful"),
    [
        ("An absolute joy from start to finish, truly.", True),
        ("Not good!", True),
        ("它很好看我真的非常喜欢这部电影。", True),
        ("How do you like our new shop?", False),
        ("Comment", False),
        ("Text of the review", False),
        ("No.", False),
    ],
)
def test_a_text_that_may_be_taken_for_the_header_is_pointed_out(
    *, name: str, is_doubtful: bool, exported: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    table = pd.DataFrame({name: [f"I have seen {n} of them, and w1 w2." for n in range(20)]})
    list(score_reviews(exported, table, InferenceParameters(text_column="auto"), HERE))
    (found,) = (record for record in caplog.records if "are in the column" in record.msg)
    assert found.levelname == ("WARNING" if is_doubtful else "INFO")
    assert ("begin the file with a line that names" in found.getMessage()) == is_doubtful


def test_a_header_that_may_be_a_text_is_not_proposed_as_a_column(exported: bytes) -> None:
    texts = [f"I have seen {n} of them" for n in range(20)]
    table = pd.DataFrame({"An absolute joy to watch": texts, "truly.": texts[::-1]})
    message = r"could be in 'An .*' or 'truly\.'.* begin the file with a line that names"
    with pytest.raises(InputError, match=message) as error:
        score_reviews(exported, table, InferenceParameters(text_column="auto"), HERE)
    assert error.value.parameters == {}


@pytest.mark.parametrize(
    ("learnt", "table", "read"),
    [
        ("body", {"text": ["w2"], "body": ["w1"]}, "body"),  # as in the training data
        ("body", {"n": [1], "text": ["w1"]}, "text"),  # by its name
        (None, {"review": ["w1"], "text": ["w2"]}, "review"),
    ],
)
def test_the_text_column_travels_with_the_model(
    learnt: str | None, table: dict[str, list[object]], read: str
) -> None:
    facts = {"text_column": learnt} if learnt else {}
    model = convert_to_onnx(make_network(), make_tokenizer(), ("bad", "good"), facts=facts)
    automatic = InferenceParameters(text_column="auto")
    (scored,) = score_reviews(model, pd.DataFrame(table), automatic, HERE)
    expected = Predictor(model).predict(str(table[read][0]))
    assert scored["probability"].tolist() == [expected.probability]
    assert scored["predicted_sentiment"].tolist() == [expected.label]


def test_doubt_about_the_text_column_is_told(exported: bytes) -> None:
    table = pd.DataFrame({"text": ["a b c d e f g"], "comment": ["a b c d e f g h"]})
    message = r"could be in 'text' or 'comment'\. Its columns are: text, comment\. Choose one"
    with pytest.raises(InputError, match=message):
        score_reviews(exported, table, InferenceParameters(text_column="auto"), HERE)


def test_a_delimiter_that_another_is_taken_for_is_proposed(exported: bytes) -> None:
    table = pd.DataFrame({"review;sentiment": ["w1 and w2;positive"] * 9})
    message = "several: set its delimiter with --params input_delimiter=semicolon, or"
    with pytest.raises(InputError, match=message) as error:
        score_reviews(exported, table, InferenceParameters(text_column="auto"), HERE)
    assert not error.value.parameters  # in another format, it may be the name of a column
    named = InferenceParameters(text_column="review;sentiment")
    assert len(pd.concat(score_reviews(exported, table, named, HERE))) == 9


def test_the_first_text_of_a_file_without_a_header_is_not_lost(
    exported: bytes, tmp_path: Path
) -> None:
    source = tmp_path / "lines.txt"
    texts = [f"w1 and w2 are words of the text that has number {n}" for n in range(5)]
    source.write_text("\n".join(texts))
    chunks = list(TableDataset(filepath=str(source)).load())
    message = "the input file seems to have no header, as the column name 'w1 and w2 .*' looks li"
    with pytest.raises(InputError, match=message):
        score_reviews(exported, chunks, InferenceParameters(text_column="auto"), HERE)
    (scored,) = score_reviews(exported, chunks, InferenceParameters(text_column=texts[0]), HERE)
    assert len(scored) == len(texts) - 1  # this is the name
    survey = pd.DataFrame({"What did you like most about your stay in our hotel?": texts})
    (scored,) = score_reviews(exported, survey, InferenceParameters(text_column="auto"), HERE)
    assert len(scored) == len(texts)


@pytest.mark.slow
def test_the_command_scores_a_file_and_leaves_nothing_half_written(
    copy_of_finished: Path,
) -> None:
    project = copy_of_finished
    assert OnnxModelDataset(filepath=str(project / "data/06_models/model.onnx")).exists()
    source = write_csv(project / "reviews.csv", [("a superb film",), ("",)], ("review",))
    target = project / "scored.csv"
    command = (
        "kedro run --pipelines inference --params input_file=reviews.csv,output_file=scored.csv"
    )
    others = sorted(project.iterdir())
    assert "2 rows scored" in run_kedro(project, command)
    assert pd.read_csv(target)["predicted_sentiment"].notna().tolist() == [True, False]

    model = project / "data/06_models/model.onnx"
    content = model.read_bytes()
    model.write_bytes(content[:-100])
    with pytest.raises(ClickException, match="export the model again with kedro run"):
        run_session(project, "inference", input_file=str(source))
    model.write_bytes(content)

    run_kedro(project, "kedro run --pipelines inference")
    custom = pd.read_csv(project / "data/07_model_output/scored_reviews.csv")
    assert len(custom) == 10

    source.write_text('review\nfine\n"never closed\n')
    before = target.read_bytes()
    files = {"input_file": str(source), "output_file": str(target)}  # also with absolute paths
    with pytest.raises(ClickException, match="is never closed"):
        run_session(project, "inference", **files)
    assert target.read_bytes() == before
    assert sorted(project.iterdir()) == sorted([*others, target])


def test_a_model_may_give_no_answer(exported: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probabilities are still there, for whoever wants to decide otherwise."""

    class Unsure(Predictor):
        def __init__(self, model: bytes, threads: int | None = None) -> None:
            super().__init__(model, threads)
            self.rule = replace(self.rule, min_confidence=1.1)

    monkeypatch.setattr("imdb_sentiment.pipelines.inference.nodes.Predictor", Unsure)
    chunk = pd.DataFrame({"review": ["w1 w2", "qqq zzz"], "_malformed": ["", ""]})
    (scored,) = score_reviews(exported, [chunk], INFERENCE, HERE)
    assert scored["predicted_sentiment"].isna().all()
    assert scored["probability"].isna().all()
    assert scored["probability_positive"].notna().tolist() == [True, False]
    reasons = ["a confidence below 1.1", "no word that the model knows"]
    assert scored[REASON_COLUMN].tolist() == reasons
