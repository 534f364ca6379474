import csv
import errno
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial, reduce
from itertools import chain
from operator import add
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kedro.io import DataCatalog, DatasetError, MemoryDataset
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner
from pydantic import ValidationError

from helpers import base_parameters, make_encoded, make_reviews, with_words, write_csv
from imdb_sentiment.datasets import (
    AtomicDataset,
    EncodedReviewsDataset,
    LinesDataset,
    PickleStreamDataset,
    TableDataset,
)
from imdb_sentiment.errors import InputError
from imdb_sentiment.parameters import (
    LanguageModelParameters,
    ProcessingParameters,
    ReviewsOptions,
    ReviewsParameters,
    SplitParameters,
    TokenizerParameters,
    WordVectorsParameters,
)
from imdb_sentiment.pipelines.data_processing import create_pipeline
from imdb_sentiment.pipelines.data_processing.nodes import (
    audit_reviews,
    check_reviews,
    clean_unlabelled_reviews,
    encode_reviews,
    find_columns,
    fit_tokenizer,
    fit_word_vectors,
    pretrain_network,
    split_reviews,
)
from imdb_sentiment.pipelines.data_processing.row_checks import read_unlabelled_chunk
from imdb_sentiment.pipelines.data_processing.splits import SPLITS, assign_splits
from imdb_sentiment.text import tables
from imdb_sentiment.text.tokenizer import train_tokenizer
from imdb_sentiment.text.word_numbers import pack_numbers, unpack_numbers
from imdb_sentiment.text.words import Script

HERE = ProcessingParameters(workers=1, scheduler_address=None)


def as_chunks(
    rows: Sequence[tuple[str, ...]],
    columns: tuple[str, ...] = ("review", "sentiment"),
    size: int | None = None,
) -> list[pd.DataFrame]:
    frame = pd.DataFrame(rows, columns=list(columns), dtype=object).assign(_malformed="")
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    size = size or max(4, len(frame) // 5)  # several chunks, but not hundreds
    return [frame[start : start + size] for start in range(0, len(frame), size)]


def check_all(
    table: pd.DataFrame | Iterable[pd.DataFrame], reviews: ReviewsParameters, split: SplitParameters
) -> list[pd.DataFrame]:
    return list(check_reviews(table, reviews, split, "auto", HERE)[0])


def check(
    rows: Sequence[tuple[str, ...]], reviews: ReviewsParameters, split: SplitParameters
) -> pd.DataFrame:
    return pd.concat(check_all(as_chunks(rows), reviews, split), ignore_index=True)


def clean(
    rows: Sequence[tuple[str, ...]],
    reviews: ReviewsParameters,
    split: SplitParameters,
    columns: tuple[str, ...] = ("review", "sentiment"),
) -> pd.DataFrame:
    checked = check_all(as_chunks(rows, columns), reviews, split)
    audit, _ = audit_reviews(checked, reviews)
    cleaned = pd.concat(split_reviews(checked, audit, reviews, split), ignore_index=True)
    return cleaned.drop(columns="words")


def test_each_row_is_judged(reviews: ReviewsParameters, split: SplitParameters) -> None:
    rows = [
        ("Fine <br />film", " Positive "),
        ("", "positive"),
        (" <br> ", "negative"),
        ("Words", ""),
        ("Words", "meh"),
        ("Fine film", "positive"),
        ("Fine  film", "negative"),
        ("Words", "NEGATIVE"),
        ("words!", "negative"),
        ("?!", "negative"),
        ("!?", "negative"),
        ("?!", "negative"),
        ("fine film :)", "negative"),
    ]
    checked = check(rows, reviews, split)
    assert checked["row"].tolist() == list(range(1, 14))
    assert list(zip(checked["status"], checked["reason"], strict=True)) == [
        ("accepted", ""),
        ("rejected", "no text"),
        ("rejected", "no text"),
        ("rejected", "no label"),
        ("rejected", "unknown label: meh"),
        ("duplicate", "same text and label"),
        ("duplicate", "same text under another label"),
        ("accepted", ""),
        ("duplicate", "same text and label"),
        ("accepted", ""),
        ("accepted", ""),
        ("duplicate", "same text and label"),
        ("accepted", ""),
    ]
    accepted = checked[checked["status"] == "accepted"]
    assert accepted["text"].tolist() == ["Fine film", "Words", "?!", "!?", "fine film :)"]
    assert accepted["code"].tolist() == [1, 0, 0, 0, 0]


def test_the_words_are_known_when_all_rows_have_been_read(
    reviews: ReviewsParameters, split: SplitParameters
) -> None:
    rows = [("B a!", "positive"), ("", "positive"), ("b A", "positive"), ("c b", "meh")]
    chunks, words = check_reviews(as_chunks(rows, size=2), reviews, split, "auto", HERE)
    cells = [cell for chunk in chunks for cell in chunk["words"]]
    assert list(words) == ["b", "a", "c"]
    assert [unpack_numbers([cell])[0].tolist() for cell in cells] == [[0, 1], [], [0, 1], [2, 0]]


def test_what_ends_the_rows_ends_the_words(
    reviews: ReviewsParameters, split: SplitParameters
) -> None:
    def read() -> Iterator[pd.DataFrame]:
        yield pd.DataFrame({"review": ["a"], "sentiment": ["positive"], "_malformed": ""}, [1])
        raise InputError("damaged")

    for stream in check_reviews(read(), reviews, split, "auto", HERE):
        with pytest.raises(InputError, match="damaged"):
            list(stream)


def test_words_are_not_given_out_if_the_rows_end_early(
    reviews: ReviewsParameters, split: SplitParameters
) -> None:
    _, words = check_reviews(as_chunks(make_reviews(9)), reviews, split, "auto", HERE)
    with pytest.raises(RuntimeError, match="the words are not complete"):
        list(words)  # instead of waiting for the rows, which nobody reads
    chunks, words = check_reviews(as_chunks(make_reviews(9)), reviews, split, "auto", HERE)
    next(chunks)
    del chunks
    with pytest.raises(RuntimeError, match="the words are not complete"):
        list(words)


def test_duplicates_have_the_same_words_by_the_rule_of_the_tokenizer(
    reviews: ReviewsParameters, split: SplitParameters
) -> None:
    rows = as_chunks([("\u597d \u770b", "positive"), ("\u597d\u770b", "positive")])
    cases: list[tuple[Script, str]] = [("auto", "duplicate"), ("spaces", "accepted")]
    for script, status in cases:
        (checked,) = check_reviews(rows, reviews, split, script, HERE)[0]
        assert checked["status"].tolist() == ["accepted", status]


def test_a_row_without_a_split_is_refused(
    reviews: ReviewsParameters, split: SplitParameters
) -> None:
    own = split.model_copy(update={"method": "column"})
    names = ["train"] * 60 + ["test"] * 20 + ["", "None"]
    rows = [(*review, name) for review, name in zip(make_reviews(82), names, strict=True)]
    lenient = reviews.model_copy(update={"max_rejected_fraction": 0.1})
    checked = pd.concat(check_all(as_chunks(rows, ("review", "sentiment", "split")), lenient, own))
    assert checked["reason"].tolist()[-2:] == ["no split", "unknown split: none"]
    sizes = clean(rows, lenient, own, ("review", "sentiment", "split"))["split"].value_counts()
    assert sizes.to_dict() == {"train": 54, "test": 20, "validation": 6}


AUTO = {"text_column": "auto", "label_column": "auto", "labels": "auto"}


def find(
    table: pd.DataFrame | Sequence[pd.DataFrame], split: SplitParameters, **given: Any
) -> ReviewsParameters:
    fixed = {"file": "mine.csv", "max_rejected_fraction": 0.01, "ordered": False}
    options = fixed | AUTO | given
    return find_columns(table, ReviewsOptions(**options), split)


def read_block(error: pytest.ExceptionInfo[InputError]) -> dict[str, Any]:
    _, block = str(error.value).split("\n", 1)
    return dict(yaml.safe_load(block)["reviews"])


def test_a_misspelt_label_is_no_label(
    split: SplitParameters, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    labels = ["happy"] * 300 + ["Unhappy"] * 9 + ["Hapy"] * 3 + ["level 1"] * 9 + ["level 2"] * 300
    rows = [(f"text {number}", label) for number, label in enumerate(labels)]
    found = find(as_chunks(rows, ("body", "label")), split)
    assert found.labels == ("happy", "level 1", "level 2", "Unhappy")
    told = "Not labels, so these rows are rejected: 'Hapy' (3 rows; 'happy' misspelt?)."
    assert told in caplog.text
    checked = check_all(as_chunks(rows, ("body", "label")), found, split)
    audit, _ = audit_reviews(checked, found)
    assert audit["unknown_labels"] == {"Hapy": 3}
    assert sum(map(len, split_reviews(checked, audit, found, split))) == 618


@pytest.mark.parametrize(
    ("labels", "given", "told"),
    [
        (["bad", "goood"], "auto", {"max_rejected_fraction": 0.03}),
        (["bad", "goood", "N/A"], "auto", {"labels": ["bad", "good"]}),
        (["bad", "goood", "fair"], ["bad", "good"], {"labels": ["bad", "good", "fair"]}),
        (["bad", "once", "twice"], ["good", "bad"], {"max_rejected_fraction": 0.02}),
        (["bad", "rare"], ["bad", "good", "rare"], {"labels": ["bad", "good"]}),
        (["good", "goood"], "auto", {"labels": ["good", "?"]}),  # there is no second one
    ],
)
def test_the_lines_to_paste_lead_to_a_run(
    labels: list[str], given: Any, told: dict[str, Any], split: SplitParameters
) -> None:
    """Of each label but the first, and "good", there are four rows or fewer."""
    n_rows = {"bad": 60, "goood": 4, "N/A": 4, "fair": 30, "rare": 2, "once": 1}
    cells = ["good"] * 90 + [label for label in labels for _ in range(n_rows.get(label, 2))]
    rows = [(f"text {number}", label) for number, label in enumerate(cells)]
    chunks = as_chunks(rows, ("text", "label"))
    options: dict[str, Any] = {"labels": given}

    def run() -> pd.DataFrame:
        found = find(chunks, split, **options)
        checked = check_all(chunks, found, split)
        audit, _ = audit_reviews(checked, found)
        return pd.concat(split_reviews(checked, audit, found, split))

    with pytest.raises(InputError) as error:
        run()
    assert told.items() <= read_block(error).items()
    options |= read_block(error)
    if labels != ["good", "goood"]:
        assert len(run()) >= 150


def test_columns_and_labels_are_found_and_told(
    split: SplitParameters, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    rows = [(text, label.upper()) for text, label in make_reviews(40)] + [("odd", "slip")]
    found = find(as_chunks(rows, ("body", "stars")), split)
    assert (found.text_column, found.label_column) == ("body", "stars")
    assert found.labels == ("NEGATIVE", "POSITIVE")
    assert (
        "mine.csv: texts in 'body', labels in 'stars': NEGATIVE (20), POSITIVE (20); "
        "positive class: 'POSITIVE'. Not labels, so these rows are rejected: 'slip' (1 row)."
    ) in caplog.text
    assert "To change this, set text_column" in caplog.text


def test_splits_of_the_table_that_are_not_used_are_told(
    split: SplitParameters, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    cells = {
        "split": ["train", "Test"],
        "Fold": ["train"],
        "Part": ["dev", "train"],
        "new": ["train", "test", "x"],
        "my, part": ["train", "test"],
    }
    way = "is not used: to use it, add --params split.method=column"
    told = f"The column 'split' (train, Test) {way}"
    for method, column, message in (
        ("random", "split", told),
        ("random", "other", f"{told},split.column=split"),
        ("random", "part", f"The column 'Part' (dev, train) {way},"),
        ("random", "fold", f"The column 'Fold' (train) {way},split.column=Fold"),  # sorted
        (
            "random",
            "comma",
            "The column 'my, part' (train, test) is not used: to use it, set split.method=column "
            "and split.column in conf/local/parameters.yml",
        ),
        ("column", "split", ""),
    ):
        table = pd.DataFrame(make_reviews(60), columns=["review", "sentiment"])
        for name, values in cells.items():
            table[name] = (values * 60)[:60]
        if column in ("fold", "comma"):
            table = table.drop(columns="split" if column == "fold" else ["split", "Fold", "Part"])
        caplog.clear()
        find(table, split.model_copy(update={"method": method, "column": column}))
        lines = [line for line in caplog.messages if "not used" in line]
        assert len(lines) == bool(message)
        assert all(line.startswith(message) for line in lines)


def test_labels_that_look_the_same_are_one_class(split: SplitParameters) -> None:
    spellings = ["n\xe9gatif", "positif", "ne\u0301gatif\u200b", "\ufeffpositif", "\u200b"]
    rows = [(f"text {number}", spellings[number % 5]) for number in range(50)]
    chunks = as_chunks(rows, ("text", "label"))
    found = find(chunks, split, max_rejected_fraction=0.2)
    assert found.labels == ("n\xe9gatif", "positif")
    checked = pd.concat(check_all(chunks, found, split))
    assert set(checked["sentiment"]) == {"n\xe9gatif", "positif", ""}
    assert set(checked["reason"]) == {"", "no label"}
    names = ("a\u200bb", "ab", "c")
    rows = [(f"text {number}", names[number % 3]) for number in range(30)]
    inside = as_chunks(rows, ("text", "label"))
    checked = pd.concat(check_all(inside, find(inside, split), split))
    assert checked["sentiment"].value_counts().to_dict() == {"ab": 20, "c": 10}
    given = find(chunks, split, labels=["positif\u200b", "ne\u0301gatif"])
    assert given.labels == ("positif", "n\xe9gatif")


def test_a_column_is_not_taken_because_it_is_called_auto(split: SplitParameters) -> None:
    rows = [(*review, str(number % 2)) for number, review in enumerate(make_reviews(60))]
    chunks = as_chunks(rows, ("review", "sentiment", "auto"))
    found = find(chunks, split)
    assert (found.text_column, found.label_column) == ("review", "sentiment")


def test_a_text_is_no_duplicate_of_a_label_and_other_words(
    reviews: ReviewsParameters, split: SplitParameters
) -> None:
    rows = [("1 great film", "negative"), ("Great film!", "positive")]
    assert check(rows, reviews, split)["status"].tolist() == ["accepted", "accepted"]


def test_a_group_is_one_in_any_spelling(reviews: ReviewsParameters, split: SplitParameters) -> None:
    grouped = split.model_copy(update={"group_column": "film"})
    films = ("Am\xe9lie", "ame\u0301lie ", "AM\xc9LIE")
    rows = [(f"text {n}", "positive", film) for n, film in enumerate(films)]
    (checked,) = check_all(as_chunks(rows, ("review", "sentiment", "film")), reviews, grouped)
    assert set(checked["group"]) == {"am\xe9lie"}


def test_half_a_surrogate_pair_in_a_label_or_a_group_is_no_error(
    reviews: ReviewsParameters, split: SplitParameters
) -> None:
    rows = [(f"text {number}", "positive\ud83d", f"film {number % 9}\ud83d") for number in range(9)]
    grouped = split.model_copy(update={"group_column": "film"})
    (checked,) = check_all(
        as_chunks(rows, ("review", "sentiment", "film"), size=9), reviews, grouped
    )
    assert set(checked["sentiment"]) == {"positive"}
    assert checked["group"].tolist() == [f"film {number}" for number in range(9)]


@pytest.mark.parametrize("n_alike", [8, 12])
def test_many_duplicates_are_warned_of(
    n_alike: int,
    reviews: ReviewsParameters,
    split: SplitParameters,
    caplog: pytest.LogCaptureFixture,
) -> None:
    alike = [("good", label) for label in ("positive", "negative")] * (n_alike // 2)
    cleaned = clean([*make_reviews(40), *alike], reviews, split)
    assert len(cleaned) == 41
    n_rows = 40 + n_alike
    said = (
        f"{n_alike - 1} of {n_rows} rows are duplicates, {n_alike // 2} of them with a conflicting "
        "label"
    )
    assert (said in caplog.text) == (n_alike == 12)


def test_what_is_not_used_or_not_supported_is_told(
    split: SplitParameters, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    labels = ("joy", "joy|love", "love|joy", "love")
    rows = [
        (" ".join(text.split()[:4]), text, label, str(number))
        for number, (text, label) in enumerate(make_reviews(80, labels))
    ]
    find(as_chunks(rows, ("title", "body", "label", "id")), split)
    assert "Other columns with texts, not used: 'title'" in caplog.text
    assert "Labels such as 'joy|love' seem to be several labels of one text" in caplog.text
    caplog.clear()
    find(as_chunks(make_reviews(80), ("body", "label")), split)
    assert "Other columns with texts" not in caplog.text
    assert "several labels" not in caplog.text


def test_a_web_page_is_told(split: SplitParameters) -> None:
    with pytest.raises(InputError, match="is a web page: use the URL of the table itself"):
        find(as_chunks([("<html lang='en'>",)] * 9, ("<!DOCTYPE html>",)), split)


def test_rows_without_a_label_can_be_learnt_from(
    reviews: ReviewsParameters, split: SplitParameters
) -> None:
    rows = make_reviews(200)
    partly = [(text, label if number < 150 else "") for number, (text, label) in enumerate(rows)]
    with pytest.raises(InputError, match=r"\(--params unlabelled_file=FILE with the same file"):
        clean(partly, reviews, split)
    with pytest.raises(InputError, match=r"or raise reviews\.max_rejected_fraction") as error:
        clean([*rows, ("more", ""), ("most", ""), ("last", "")], reviews, split)
    assert "unlabelled_file" not in str(error.value)


def test_an_order_that_is_not_known_is_told(
    split: SplitParameters, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    chunks = as_chunks(make_reviews(40, ("schlecht", "gut")), ("text", "label"))
    assert find(chunks, split).labels == ("gut", "schlecht")
    told = "gut (20), schlecht (20), in alphabetical order; positive class: 'schlecht'."
    assert told in caplog.text
    caplog.clear()
    find(chunks, split, labels=["schlecht", "gut"])
    assert "schlecht, gut; positive class: 'gut'." in caplog.text


def test_ordered_labels_need_an_order_that_is_known(split: SplitParameters) -> None:
    numbers = ("one", "two", "three", "four")
    chunks = as_chunks(make_reviews(50, numbers), ("text", "label"))
    with pytest.raises(
        InputError, match="the order of the labels in the column 'label' is unknown"
    ) as error:
        find(chunks, split, ordered=True)
    assert read_block(error)["labels"] == ["four", "one", "three", "two"]
    assert find(chunks, split, ordered=True, labels=numbers).labels == numbers
    chunks = as_chunks(make_reviews(50, ("5 stars", "1 star")), ("text", "label"))
    assert find(chunks, split, ordered=True).labels == ("1 star", "5 stars")


def test_labels_of_a_sorted_table_are_all_found(split: SplitParameters) -> None:
    rows = sorted(make_reviews(90, ("neutral", "positive", "negative")), key=lambda row: row[1])
    found = find(as_chunks(rows, size=10), split)
    assert found.labels == ("negative", "neutral", "positive")


def test_what_is_given_is_taken_as_it_is(
    split: SplitParameters, caplog: pytest.LogCaptureFixture
) -> None:
    given = {"text_column": "b", "label_column": "c", "labels": ["x", "y"]}
    chunks = as_chunks([("a", "b", "X")], ("review", "b", "c"))
    found = find(chunks, split, **given)
    assert found.model_dump(include={*given}) == given | {"labels": ("x", "y")}
    assert caplog.text == ""
    assert find(chunks, split, **given | {"text_column": "auto"}).text_column == "review"


def test_tables_of_other_datasets_are_read(split: SplitParameters) -> None:
    table = pd.DataFrame(make_reviews(60), columns=["text", "stars"])
    table["stars"] = [1.0, 2.0, float("nan")] * 20
    found = find(table, split)
    assert found.labels == ("1", "2")
    checked = pd.concat(check_all(iter([table[:30], table[30:]]), found, split))
    assert checked["row"].tolist() == list(range(1, 61))
    assert checked["reason"].value_counts().to_dict() == {"": 40, "no label": 20}
    assert checked["code"].tolist() == [0, 1, -1] * 20


@pytest.mark.parametrize(
    ("labels", "cells"),
    [
        ([0, 1], ["0", "1.0", "1"]),
        ([False, True], ["False", "TRUE", "true"]),
        (["1.5", 2], ["1.5", "2.00", "2"]),
    ],
)
def test_labels_match_however_a_table_writes_them(
    labels: list[Any], cells: list[str], split: SplitParameters
) -> None:
    rows = [(str(n), cell) for n, cell in enumerate(cells)]
    found = find(as_chunks(rows), split, labels=labels)
    assert pd.concat(check_all(as_chunks(rows), found, split))["code"].tolist() == [0, 1, 1]


def test_a_column_that_was_not_divided_is_told(split: SplitParameters) -> None:
    rows = [(f"{text},{label}",) for text, label in make_reviews(60)]
    with pytest.raises(InputError, match=r"contain several: set the delimiter .*=comma"):
        find(as_chunks(rows, ("review,sentiment",)), split)
    with pytest.raises(InputError) as error:
        find(as_chunks(rows, ("review",)), split)
    assert "reviews_delimiter" not in str(error.value)


def test_lines_above_the_header_are_no_header(split: SplitParameters) -> None:
    named = [(*review, "rating" if n % 2 else "text") for n, review in enumerate(make_reviews(60))]
    find(as_chunks(named, ("review", "sentiment", "kind")), split)  # whose header has the names
    rows = [("Date: 2020", ""), ("review", "sentiment"), *make_reviews(60)]
    with pytest.raises(InputError, match="row 2 seems to be the header: delete the lines above it"):
        find(as_chunks(rows, ("My survey export", "unnamed_1")), split)


def test_half_an_emoji_in_the_first_rows_is_no_hindrance(split: SplitParameters) -> None:
    rows = make_reviews(60)
    rows[0] = (f"{rows[0][0]} \ud83d", rows[0][1])
    found = find(as_chunks(rows, ("utterance", "kind")), split)
    assert (found.text_column, found.label_column) == ("utterance", "kind")


def test_a_sorted_table_may_begin_with_another_label(split: SplitParameters) -> None:
    labels = ["neutral"] * 20 + ["bad"] * 20 + ["good"] * 20
    rows = [(text, label) for (text, _), label in zip(make_reviews(60), labels, strict=True)]
    found = find(as_chunks(rows, size=10), split, labels=["bad", "good"])
    assert found.labels == ("bad", "good")
    with pytest.raises(InputError, match=r"has none of the labels of reviews\.labels"):
        find(as_chunks(rows, size=10), split, labels=["worse", "better"])
    with pytest.raises(InputError, match="YAML reads yes and no as true and false unless"):
        find(as_chunks(rows, size=10), split, labels=["false", "true"])


def test_all_problems_are_told_at_once(split: SplitParameters) -> None:
    texts = [text for text, _ in make_reviews(60)]
    rows = [(f"{n}", text, text.upper(), str(n % 3)) for n, text in enumerate(texts)]
    chunks = as_chunks(rows, ("id", "a", "b: \x1b", "score"))
    with pytest.raises(InputError, match=r"^mine\.csv can't be used yet: ") as error:
        find(chunks, split.model_copy(update={"group_column": "film"}), label_column="stars")
    message = str(error.value)
    assert "there is no column 'stars' (reviews.label_column)" in message
    assert "there is no column 'film' (split.group_column)" in message
    assert "the column with the texts may be 'a' or 'b" in message
    assert "Its columns are: id, a, b: \\x1b, score." in message
    assert '# or "b: \\u001b"' in message
    assert read_block(error) == {
        "text_column": "a",
        "label_column": "score",
        "labels": ["0", "1", "2"],
    }


def test_a_column_in_another_case_is_proposed(split: SplitParameters) -> None:
    own = split.model_copy(update={"method": "column", "group_column": "film"})
    rows = [(*review, "train", "x") for review in make_reviews(60)]
    for names, told in (
        ((" Split", "Film"), {"split.column": " Split", "split.group_column": "Film"}),
        (("Splits", "films"), {"split.column": "Splits", "split.group_column": "films"}),
        (("part", "block"), {"split.method": "random", "split.group_column": None}),
    ):
        said = "Set split.column to one of them, or split.method to random; set split.group_column "
        said += "to one of them, or to null"

        with pytest.raises(InputError, match="there is no column 'split'") as error:
            find(as_chunks(rows, ("review", "sentiment", *names)), own)
        assert error.value.parameters == told
        assert said in str(error.value)
        assert "text_column" not in str(error.value)  # it is found
    grouped = split.model_copy(update={"group_column": "reviewer"})
    with pytest.raises(InputError, match="there is no column 'reviewer'") as error:
        find(as_chunks(rows, ("review", "sentiment", "a", "b")), grouped)
    assert error.value.parameters == {"split.group_column": None}  # not the texts


def test_scores_with_decimals_are_no_labels_unless_they_are_listed(split: SplitParameters) -> None:
    rows = [(text, str((n % 30) / 50)) for n, (text, _) in enumerate(make_reviews(120))]
    chunks = as_chunks(rows, ("review", "rated"))
    with pytest.raises(InputError, match="'rated' has 30 different numbers, and regression is no"):
        find(chunks, split, label_column="rated")
    labels = [str(n / 50) for n in range(30)]
    assert len(find(chunks, split, label_column="rated", labels=labels).labels) == 30


@pytest.mark.parametrize(("n_labels", "is_told"), [(2, False), (5, True)])
def test_numbers_may_be_ratings(
    n_labels: int, is_told: bool, split: SplitParameters, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    rows = [(text, str(n % n_labels)) for n, (text, _) in enumerate(make_reviews(60))]
    find(as_chunks(rows, ("review", "stars")), split)
    assert ("reviews.ordered=true,tuning.metric=quadratic_kappa" in caplog.text) == is_told


def test_a_table_that_is_sorted_by_its_labels_is_in_doubt(split: SplitParameters) -> None:
    rows = [(t, f"c{n % 2}", "ab"[n >= 40]) for n, (t, _) in enumerate(make_reviews(80))]
    names = ("text", "country", "meinung")
    with pytest.raises(InputError, match="may be 'country' or 'meinung'"):
        find(as_chunks(rows, names, size=20), split)
    rows = [(text, country, "b") for text, country, _ in rows]
    assert find(as_chunks(rows, names, size=80), split).label_column == "country"


def test_nested_columns_are_told(split: SplitParameters) -> None:
    rows = [({"text": text}, label) for text, label in make_reviews(60)]
    table = pd.DataFrame(rows, columns=["review", "sentiment"])
    for options in ({}, {"text_column": "review"}):
        with pytest.raises(
            InputError, match=r"cells of review are objects or lists \(docs/data.md explains"
        ):
            find(table, split, **options)


def test_there_is_nothing_to_set_if_all_is_nested(split: SplitParameters) -> None:
    rows = [({"text": text, "label": label},) for text, label in make_reviews(60)]
    with pytest.raises(InputError) as error:
        find(pd.DataFrame(rows, columns=["attributes"]), split)
    message = str(error.value)
    assert message.count("cells of attributes are objects or lists") == 1
    assert message.endswith("Its columns are: attributes.")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("text", " POSITIVE "), "' POSITIVE ' is one of its labels"),
        (
            ("I loved this film, and so will you, I think.", "label"),
            "'I loved this film, and so will you, I think.' looks like a text",
        ),
    ],
)
def test_a_table_without_a_header_is_told(
    names: tuple[str, str], message: str, split: SplitParameters
) -> None:
    chunks = as_chunks(make_reviews(60), names)
    for options in ({}, {"labels": ["negative", "positive"]}):
        with pytest.raises(InputError, match=f"no header, as the column name {message}") as error:
            find(chunks, split, **options)
    found = find(chunks, split, **read_block(error))  # these are the names
    assert (found.text_column, found.label_column) == names


def test_what_is_given_stays_in_the_lines_to_paste(split: SplitParameters) -> None:
    chunks = as_chunks(make_reviews(60), ("text", "stars"))
    with pytest.raises(InputError, match="no column 'body'") as error:
        find(chunks, split, text_column="body", labels=["positive", "negative"])
    assert read_block(error)["labels"] == ["positive", "negative"]
    with pytest.raises(InputError, match="no column looks like labels") as error:
        find(as_chunks([("a", "b")], ("x", "text")), split)
    assert read_block(error) == {"text_column": "text", "label_column": "?", "labels": ["?", "?"]}


@pytest.mark.parametrize(
    ("cells", "message", "labels"),
    [
        (
            ["yes", "no", "N/A"],
            "'N/A' in the column 'label' may stand for a missing label",
            ["no", "yes"],
        ),
        (
            ["0", "1", "negative", "positive"],
            "'0', '1' as well as 'negative', 'positive' in the column 'label' may be two scales",
            ["0", "1", "negative", "positive"],
        ),
        (
            ["Y", "Yes", "N", "no"],
            "'N' and 'no', or 'Y' and 'Yes' in the column 'label' may be spellings of one label",
            ["N", "no", "Y", "Yes"],
        ),
        (
            ["N/A", "only"],
            "'N/A' in the column 'label' may stand for a missing label",
            ["only", "?"],
        ),
        (["", " "], r"the column 'label' has no label\. Its columns", ["?", "?"]),
        ([f"{n}" for n in range(75)], "'label' has no label in 3 rows or more", ["?", "?"]),
        ([str(n) for n in range(201)] * 3, "'label' has at least 201 distinct values", ["?", "?"]),
        (
            [f"{n} {n}" for n in range(1200)],
            "'label' has at least 1,200 distinct values, too many for labels: choose another",
            ["?", "?"],
        ),
    ],
)
def test_doubtful_labels_are_told(
    cells: list[str], message: str, labels: list[str], split: SplitParameters
) -> None:
    n = max(75, len(cells))
    rows = [(f"text {i}", cells[i % len(cells)]) for i in range(n)]
    with pytest.raises(InputError, match=message) as error:
        find(as_chunks(rows, ("text", "label")), split)
    block = read_block(error)
    assert block["label_column"] == "label"
    assert block["labels"] == labels


def test_the_command_allows_for_rows_without_a_label(split: SplitParameters) -> None:
    rows = [(text, "ab"[n % 2], "uv"[n % 2]) for n, (text, _) in enumerate(make_reviews(100))]
    rows += [(f"text {n}", " " if n % 20 else f"slip {n}", "") for n in range(60)]
    with pytest.raises(InputError, match="labels may be 'kind' or 'user'") as error:
        find(as_chunks(rows, ("text", "kind", "user"), size=30), split)
    fraction = 0.38  # 60 of 160 rows, rounded up
    assert read_block(error)["max_rejected_fraction"] == fraction
    assert "\n  # 57 rows without a label: to learn from their texts" in str(error.value)
    assert error.value.parameters == {
        "reviews.label_column": "kind",
        "reviews.max_rejected_fraction": fraction,
    }


def test_a_table_with_one_label_is_told(split: SplitParameters) -> None:
    """The lines to paste lead to a run as soon as there are other reviews, or another column."""
    rows = [(f"text {number}", "good", "low" if number % 2 else "high") for number in range(90)]
    names = ("text", "label", "level")
    one = r"only 'good' in 3 rows or more \(add reviews with another label, or name another column"
    with pytest.raises(InputError, match=one) as error:
        find(as_chunks([*rows, ("odd", "slip", "low")], names), split)
    assert 'labels: auto  # now only "good"\n  # left out: "slip" (1 row)' in str(error.value)
    options = read_block(error)
    more = [(f"bad {number}", "bad", "low") for number in range(9)]
    assert find(as_chunks(rows + more, names), split, **options).labels == ("bad", "good")
    options["label_column"] = "level"
    assert find(as_chunks(rows, names), split, **options).labels == ("low", "high")
    misspelt = [(f"bad {number}", "goood", "low") for number in range(4)]
    with pytest.raises(InputError, match=one) as error:
        find(as_chunks(rows + misspelt, names), split)
    assert 'labels: ["good", "?"]  # rows: 90; replace "?" with a value left' in str(error.value)


def test_long_names_and_labels_do_not_fill_the_message(
    split: SplitParameters, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    long = "x" * 4000
    each = as_chunks([(f"text {n}", f"{n} {long}") for n in range(300)], ("text", "label"))
    some = as_chunks([(f"text {n}", f"{n % 201} {long}") for n in range(603)], ("text", "label"))
    names = as_chunks([(f"{n}", f"{n}") for n in range(90)], (long, f"b{long}"))
    for chunks in (each, some, names):
        with pytest.raises(InputError, match="can't be used yet") as error:
            find(chunks, split)
        assert len(str(error.value)) < 4000
    found = find(as_chunks(make_reviews(60, (f"a{long}", f"b{long}"))), split)
    assert found.labels == (f"a{long}", f"b{long}")
    assert len(caplog.messages[-1]) < 1000


def test_the_lines_can_be_pasted_as_they_are(split: SplitParameters) -> None:
    """Names and labels that YAML would take for something else, or for several lines."""
    texts = [text for text, _ in make_reviews(80)]
    labels = ["no", "1e3", 'a "b": c #', "\N{LATIN SMALL LETTER U WITH DIAERESIS} \u2028 x"]
    names = ("*x", "- y", "null: \\")
    chunks = as_chunks([(t, t[::-1], labels[n % 4]) for n, t in enumerate(texts)], names)
    with pytest.raises(InputError, match="can't be used yet") as error:
        find(chunks, split)
    assert len(str(error.value).splitlines()) == 5
    found = find(chunks, split, **read_block(error))
    assert (found.text_column, found.label_column) == (names[0], names[2])
    codes = pd.concat(check_all(chunks, found, split))["code"]
    assert sorted(codes.unique()) == [0, 1, 2, 3]


def test_labels_that_are_not_named_are_told_with_lines_to_paste(
    reviews: ReviewsParameters, split: SplitParameters
) -> None:
    rows = make_reviews(90, ("negative", "positive", "neutral"))
    checked = check_all(as_chunks(rows), reviews, split)
    audit, _ = audit_reviews(checked, reviews)
    assert audit["unknown_labels"] == {"neutral": 30}
    message = r"unknown label: 30.*In conf/local/parameters\.yml:\nreviews:\n"
    with pytest.raises(InputError, match=message) as error:
        split_reviews(checked, audit, reviews, split)
    assert read_block(error) == {
        "text_column": "review",
        "label_column": "sentiment",
        "labels": ["negative", "positive", "neutral"],
    }


def test_the_lines_to_paste_keep_the_order_of_the_labels(
    reviews: ReviewsParameters, split: SplitParameters
) -> None:
    """The order of the codes decides which label is the positive one."""
    rows = make_reviews(100, ("Good", "bad", "awful", "n/a"))
    given = reviews.model_copy(update={"labels": ("good", "bad")})
    checked = check_all(as_chunks(rows), given, split)
    audit, _ = audit_reviews(checked, given)
    with pytest.raises(InputError, match="unknown label: 50") as error:
        split_reviews(checked, audit, given, split)
    assert read_block(error)["labels"] == ["good", "bad", "awful"]
    assert (
        '  # left out, since they may stand for missing labels: "n/a"'
        in str(error.value).splitlines()
    )


def test_the_audit_counts_every_row(reviews: ReviewsParameters, split: SplitParameters) -> None:
    rows = [
        ("one two three", "positive"),
        ("one", "negative"),
        ("one", "positive"),
        ("", "positive"),
        ("x", "meh"),
    ]
    checked = check_all(as_chunks(rows, size=2), reviews, split)
    audit, refused = audit_reviews(checked, reviews)
    assert audit == {
        "file": "sample_reviews.csv",
        "rows_read": 5,
        "accepted": 2,
        "rejected": 2,
        "duplicates": 1,
        "duplicates_with_another_label": 1,
        "rejected_by_reason": {"no text": 1, "unknown label": 1},
        "empty_rows": 0,
        "rejected_examples": ["row 4: no text", "row 5: unknown label: meh"],
        "unknown_labels": {"meh": 1},
        "unknown_splits": {},
        "accepted_by_label": {"negative": 1, "positive": 1},
        "accepted_by_own_split": {},
        "words_per_review": {"mean": 2.0, "median": 1, "max": 3},
        "scripts": {"Latin": 1.0},
    }
    assert pd.concat(refused).to_dict("records") == [
        {"row": 4, "reason": "no text", "review": "", "sentiment": "positive"},
        {"row": 5, "reason": "unknown label: meh", "review": "x", "sentiment": "meh"},
    ]
    for text, label in (("body", "row"), ("reason", "stars")):  # names that are taken
        other = reviews.model_copy(update={"text_column": text, "label_column": label})
        _, refused = audit_reviews(checked, other)
        assert list(next(refused)) == ["row", "reason", "text", "sentiment"]


def test_empty_rows_are_counted_and_stop_no_run(
    tmp_path: Path, reviews: ReviewsParameters, split: SplitParameters
) -> None:
    """Excel leaves them behind, with a delimiter for each column."""
    lines = [
        "id;review;sentiment;",
        *(f"{n};{t};{x};" for n, (t, x) in enumerate(make_reviews(60))),
    ]
    lines += [";;;", " ; ;;", "", "7;;;"] + [";;;"] * 200
    path = tmp_path / "excel.csv"
    path.write_text("\n".join(lines) + "\n")
    table = TableDataset(filepath=str(path)).load()
    found = find(list(table), split, max_rejected_fraction=0.02)
    assert found.labels == ("negative", "positive")
    checked = check_all(table, found, split)
    audit, rejected = audit_reviews(checked, found)
    assert (audit["rows_read"], audit["accepted"], audit["rejected"]) == (264, 60, 204)
    assert audit["rejected_by_reason"] == {"empty row": 203, "no text": 1}
    assert audit["empty_rows"] == 203
    assert audit["rejected_examples"] == ["row 64: no text"]
    assert len(pd.concat(rejected)) == 204
    assert len(pd.concat(split_reviews(checked, audit, found, split))) == 60
    strict = found.model_copy(update={"max_rejected_fraction": 0.01})
    with pytest.raises(InputError, match=r": 1 of 61 rows can't be used \(no text: 1\)") as error:
        split_reviews(checked, audit, strict, split)
    assert read_block(error) == {"max_rejected_fraction": 0.02}


def test_random_splits_are_stratified_and_whole(
    reviews: ReviewsParameters, split: SplitParameters
) -> None:
    rows = [
        (text, "positive" if i % 4 else "negative")
        for i, (text, _) in enumerate(make_reviews(1000))
    ]
    cleaned = clean(rows, reviews, split)
    sizes = cleaned["split"].value_counts()
    assert sizes.to_dict() == {"train": 720, "test": 200, "validation": 80}
    for _, part in cleaned.groupby("split"):
        assert part["code"].mean() == pytest.approx(0.75, abs=0.01)
    assert sorted(cleaned["row"]) == list(range(1, 1001))


def test_very_many_rows_are_drawn_label_by_label(
    reviews: ReviewsParameters, split: SplitParameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """scikit-learn's function takes too much memory for them."""
    texts = [text for text, _ in make_reviews(1000)]
    labels = np.random.default_rng(0).permutation(["negative"] * 10 + ["positive"] * 990)
    rows = list(zip(texts, labels.tolist(), strict=True))
    few = clean(rows, reviews, split)
    monkeypatch.setattr("imdb_sentiment.pipelines.data_processing.splits.MANY_ROWS", 700)
    monkeypatch.setattr("sklearn.model_selection.train_test_split", None)
    many, again = (clean(rows, reviews, split) for _ in range(2))
    other = clean(rows, reviews, split.model_copy(update={"seed": 1}))
    pd.testing.assert_frame_equal(many, again)
    assert (many["split"] != other["split"]).any()
    assert many.groupby("code")["split"].value_counts().to_dict() == {
        (0, "train"): 7,
        (0, "test"): 2,
        (0, "validation"): 1,
        (1, "train"): 713,
        (1, "test"): 198,
        (1, "validation"): 79,
    }
    drawn = many.loc[many["split"] == "test", "row"]
    assert drawn.min() < 50  # from the whole table
    assert drawn.max() > 950
    assert few["row"].tolist() == many["row"].tolist() == list(range(1, 1001))


def test_splits_depend_on_the_seed_alone(
    reviews: ReviewsParameters, split: SplitParameters
) -> None:
    rows = make_reviews(200)
    first, again = (clean(rows, reviews, split) for _ in range(2))
    other = clean(rows, reviews, split.model_copy(update={"seed": 1}))
    pd.testing.assert_frame_equal(first, again)
    assert (first["split"] != other["split"]).any()


def test_splits_of_the_csv_are_kept(reviews: ReviewsParameters, split: SplitParameters) -> None:
    own = split.model_copy(update={"method": "column", "validation_fraction": 0.2})
    rows = [
        (text, label, "Test" if i < 40 else "train ")
        for i, (text, label) in enumerate(make_reviews(100))
    ]
    cleaned = clean(rows, reviews, own, ("review", "sentiment", "split"))
    assert cleaned.loc[cleaned["split"] == "test", "row"].tolist() == list(range(1, 41))
    assert cleaned["split"].value_counts().to_dict() == {"train": 48, "test": 40, "validation": 12}


def test_splits_of_the_csv_may_have_their_usual_names(
    reviews: ReviewsParameters, split: SplitParameters
) -> None:
    own = split.model_copy(update={"method": "column"})
    names = [*["Training", "testing", "val", "Valid", "dev"] * 20]
    rows = [(*review, name) for review, name in zip(make_reviews(100), names, strict=True)]
    found = clean(rows, reviews, own, ("review", "sentiment", "split"))["split"]
    assert found.tolist() == ["train", "test", "validation", "validation", "validation"] * 20


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["0", "1"], "column 'split' instead of '0', '1', or split at random with --params .*$"),
        (["train", "holdout"], "instead of 'holdout', or split at random with .*=random$"),
        (
            ["train", "test", "train", ""],
            r"'split', split at random with .*, or raise reviews\.max_rejected_fraction",
        ),
    ],
)
def test_the_advice_on_unknown_splits_is_about_them(
    names: list[str], message: str, reviews: ReviewsParameters, split: SplitParameters
) -> None:
    own = split.model_copy(update={"method": "column"})
    rows = [(*review, names[n // 2 % len(names)]) for n, review in enumerate(make_reviews(80))]
    with pytest.raises(InputError, match=f"write train, validation or test into .*{message}"):
        clean(rows, reviews, own, ("review", "sentiment", "split"))


def test_a_table_is_not_to_be_rejected_as_a_whole(
    reviews: ReviewsParameters, split: SplitParameters
) -> None:
    rows = [("", label) for _, label in make_reviews(50)]
    message = r"fix them, or name another column in reviews\.text_column \(now 'review'\)$"
    with pytest.raises(InputError, match=message):
        clean(rows, reviews, split)


def test_validation_rows_of_the_csv_are_kept(
    reviews: ReviewsParameters, split: SplitParameters
) -> None:
    own = split.model_copy(update={"method": "column"})
    names = ["test"] * 20 + ["validation"] * 20 + ["train"] * 20
    rows = [(*review, name) for review, name in zip(make_reviews(60), names, strict=True)]
    assert clean(rows, reviews, own, ("review", "sentiment", "split"))["split"].tolist() == names


@pytest.mark.parametrize("method", ["random", "column"])
def test_a_group_is_never_torn(
    method: str, reviews: ReviewsParameters, split: SplitParameters
) -> None:
    grouped = split.model_copy(update={"method": method, "group_column": "film"})
    rows = [
        (*review, f" film {i // 2 % 60}", "test" if i // 2 % 60 < 12 else "train")
        for i, review in enumerate(make_reviews(600))
    ]
    columns = ("review", "sentiment", "film", "split")
    cleaned = clean(rows, reviews, grouped, columns)
    films = cleaned["row"].map(lambda row: rows[row - 1][2])
    splits_of = cleaned["split"].groupby(films).nunique()
    assert splits_of.tolist() == [1] * 60
    sizes = cleaned["split"].value_counts()
    assert sizes["test"] == pytest.approx(120, abs=10)
    assert sizes["validation"] == pytest.approx(48, abs=10)
    for _, part in cleaned.groupby("split"):
        assert part["code"].mean() == pytest.approx(0.5, abs=0.02)


def test_groups_are_drawn_at_random_and_near_the_fraction(
    reviews: ReviewsParameters, split: SplitParameters
) -> None:
    """A film with a tenth of the rows is in different splits for different seeds."""
    columns = ("review", "sentiment", "film")
    rows = [
        (*review, "heavy" if i % 10 == 0 else f"film {i // 10}")
        for i, review in enumerate(make_reviews(800))
    ]
    homes = set()
    for seed in range(5):
        grouped = split.model_copy(
            update={"group_column": "film", "test_fraction": 0.4, "seed": seed}
        )
        cleaned = clean(rows, reviews, grouped, columns)
        homes.add(cleaned.loc[cleaned["row"] == 1, "split"].item())
        assert (cleaned["split"] == "test").mean() == pytest.approx(0.4, abs=0.06)
    assert len(homes) > 1


@pytest.mark.parametrize(
    "fraction",
    [0.02, 0.2, 0.8, *(pytest.param(x, marks=pytest.mark.slow) for x in (0.03, 0.07, 0.33))],
)
def test_the_fraction_of_groups_is_the_one_that_is_asked_for(
    fraction: float, reviews: ReviewsParameters, split: SplitParameters
) -> None:
    grouped = split.model_copy(update={"group_column": "film", "test_fraction": fraction})
    rows = [(*review, f"film {i // 4}") for i, review in enumerate(make_reviews(2400))]
    cleaned = clean(rows, reviews, grouped, ("review", "sentiment", "film"))
    assert (cleaned["split"] == "test").mean() == pytest.approx(fraction, rel=0.1)


def test_a_test_set_of_few_groups_is_said_to_be_one(
    reviews: ReviewsParameters, split: SplitParameters, caplog: pytest.LogCaptureFixture
) -> None:
    grouped = split.model_copy(update={"method": "column", "group_column": "film"})
    for n_films in (1, 4, 5):
        caplog.clear()
        rows = [
            (*review, *(("test", f"film {i % n_films}") if i < 20 else ("train", f"other {i}")))
            for i, review in enumerate(make_reviews(100))
        ]
        clean(rows, reviews, grouped, ("review", "sentiment", "split", "film"))
        warning = f"The test reviews belong to only {n_films} of the groups in the column 'film'"
        assert (warning in caplog.text) == (n_films < 5)


def test_own_splits_that_divide_groups_are_pointed_out(
    reviews: ReviewsParameters, split: SplitParameters, caplog: pytest.LogCaptureFixture
) -> None:
    grouped = split.model_copy(update={"method": "column", "group_column": "film"})
    for n_divided, told in ((0, ""), (1, "20 groups of the"), (3, "20 groups of the")):
        caplog.clear()
        rows = [
            (*review, *(("test", f"film {i % 20}") if i < 40 else ("train", f"film {i}")))
            for i, review in enumerate(make_reviews(100))
        ]
        rows = [
            (*row[:3], f"film {i - 40}") if 40 <= i < 40 + n_divided else row
            for i, row in enumerate(rows)
        ]
        clean(rows, reviews, grouped, ("review", "sentiment", "split", "film"))
        found = [line for line in caplog.messages if "outside the test set" in line]
        assert len(found) == bool(n_divided)
        assert all(told in line and f"'film', {n_divided} also ha" in line for line in found)


def test_numbers_with_names_are_told(
    split: SplitParameters, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    rows = [(text, str(n % 3), "abc"[n % 3]) for n, (text, _) in enumerate(make_reviews(60))]
    assert find(as_chunks(rows, ("text", "label", "label text")), split).label_column == "label"
    assert "pass --params 'reviews.label_column=label text'" in caplog.text
    assert "quadratic_kappa" not in caplog.text


def test_a_column_without_a_name_may_be_below_a_title(split: SplitParameters) -> None:
    rows = [("a", *review) for review in make_reviews(60)]
    names = ("Customer feedback", "unnamed_1", "unnamed_2")
    with pytest.raises(InputError, match="the column 'unnamed_1' has no name in the first line"):
        find(as_chunks(rows, names), split)
    given = {"text_column": "unnamed_1", "label_column": "unnamed_2"}
    assert find(as_chunks(rows, names), split, **given).label_column == "unnamed_2"


def test_sections_that_may_be_numbers_are_all_proposed(split: SplitParameters) -> None:
    labels = ["1.1", "1.2", "1.10"]
    rows = [(text, labels[n % 3]) for n, (text, _) in enumerate(make_reviews(60))]
    with pytest.raises(InputError, match=r"'1\.1' and '1\.10'") as error:
        find(as_chunks(rows), split)
    assert sorted(read_block(error)["labels"]) == sorted(labels)


def test_later_lists_are_no_labels(split: SplitParameters, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "CHUNK", 12)
    first = as_chunks(make_reviews(60))
    lists = pd.Series([["negative", "positive"]] * len(first[0]), first[0].index, object)
    later = first[0].assign(sentiment=lists)
    assert find([*first, later], split).labels == ("negative", "positive")


def test_listed_labels_may_be_sections_or_numbers(
    reviews: ReviewsParameters, split: SplitParameters
) -> None:
    rows = [("one", "1.1"), ("two", "1.10"), ("three", "2.0")]
    for labels, codes in ((("1.1", "1.10", "2"), [0, 1, 2]), (("2", "1.100"), [1, 1, 0])):
        listed = ReviewsParameters.model_validate(reviews.model_dump() | {"labels": labels})
        (checked,) = check_all(as_chunks(rows), listed, split)
        assert checked["code"].tolist() == codes
    with pytest.raises(ValidationError, match="labels must differ"):
        ReviewsParameters.model_validate(reviews.model_dump() | {"labels": ("2", "2.0")})


@pytest.mark.parametrize("size", [1, 12])
def test_columns_are_found_in_the_first_rows_of_small_files(
    size: int, split: SplitParameters
) -> None:
    rows = [
        (text, f"class {n % 5}", ["web", "app"][n % 7 == 0])
        for n, (text, _) in enumerate(make_reviews(600))
    ]
    names = ("text", "Art", "Kanal")
    table = pd.DataFrame(rows, columns=list(names))
    with pytest.raises(InputError, match="the labels may be 'Art' or 'Kanal'"):
        find(table, split)
    files = [table[start : start + size] for start in range(0, len(table), size)]
    with pytest.raises(InputError, match="the labels may be 'Art' or 'Kanal'"):
        find(files, split)
    assert find([file.drop(columns="Kanal") for file in files], split).label_column == "Art"


@pytest.mark.parametrize("n_without", [1, 9])
def test_columns_that_the_first_objects_lack_are_found(
    n_without: int, split: SplitParameters
) -> None:
    reviews = [{"text": text, "stars": 1 + n % 2} for n, (text, _) in enumerate(make_reviews(100))]
    first = [{"id": n, "text": "not labelled"} for n in range(n_without)]
    parts = [pd.DataFrame(part) for part in (first, reviews[:7], reviews[7:])]
    found = find(parts, split)
    assert (found.label_column, found.labels) == ("stars", ("1", "2"))
    checked = pd.concat(check_all(parts, found, split))
    assert checked["reason"].tolist() == ["no label"] * n_without + [""] * 100


@pytest.mark.parametrize("size", [7, 30, 60])
def test_what_is_found_does_not_depend_on_the_size_of_chunks(
    size: int, split: SplitParameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "CHUNK", 30)
    rows = [
        (text, f"class {n % 3}", "web" if n < 40 else f"page {n}")
        for n, (text, _) in enumerate(make_reviews(60))
    ]
    chunks = as_chunks(rows, ("text", "Art", "Kanal"), size)
    with pytest.raises(InputError, match="may be 'Art' or 'Kanal'"):
        find(chunks, split)


def test_a_row_without_a_group_is_refused(
    reviews: ReviewsParameters, split: SplitParameters
) -> None:
    grouped = split.model_copy(update={"group_column": "film"})
    rows = [("one", "positive", "x"), ("two", "negative", " ")]
    checked = pd.concat(
        check_all(as_chunks(rows, ("review", "sentiment", "film")), reviews, grouped)
    )
    assert checked["reason"].tolist() == ["", "no group"]
    assert checked["group"].tolist() == ["x", ""]


def test_of_many_rows_each_split_has_a_rare_label(
    reviews: ReviewsParameters, split: SplitParameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imdb_sentiment.pipelines.data_processing.splits.MANY_ROWS", 0)
    halves = split.model_copy(update={"test_fraction": 0.5, "validation_fraction": 0.75})
    codes = np.repeat(np.arange(2, dtype=np.int16), (300, 4))
    assigned = assign_splits(codes, np.zeros(0, np.int8), None, halves, reviews)
    assert np.bincount(assigned[codes == 1], minlength=3).tolist() == [1, 1, 2]


@pytest.mark.parametrize(
    "counts", [(291, 6, 3), (485, 10, 5), (97, 3, 3), (200, 4), (6,) * 20, (3,) * 10], ids=str
)
def test_rare_labels_are_in_every_split(counts: tuple[int, ...], split: SplitParameters) -> None:
    codes = np.repeat(np.arange(len(counts), dtype=np.int16), counts)
    names = ReviewsParameters(
        **base_parameters()["reviews"] | {"labels": [f"l{code}" for code in range(len(counts))]}
    )
    assigned = assign_splits(codes, np.zeros(0, np.int8), None, split, names)
    found = [np.bincount(codes[assigned == part], minlength=len(counts)) for part in range(3)]
    assert np.array_equal(sum(found), counts)
    assert min(map(min, found)) >= 1
    for part, fraction in enumerate((0.72, 0.08, 0.2)):
        expected = fraction * np.array(counts)
        assert np.abs(found[part] - expected).max() <= 0.05 * expected.max() + 2


def test_too_few_groups_stop_the_run(reviews: ReviewsParameters, split: SplitParameters) -> None:
    grouped = split.model_copy(update={"group_column": "film"})
    rows = [(*review, "the only one") for review in make_reviews(100)]
    with pytest.raises(InputError, match="they form only 1 group, and at least 5 are needed"):
        clean(rows, reviews, grouped, ("review", "sentiment", "film"))


@pytest.mark.parametrize(
    ("n_groups", "given"), [(2, 0.7), (3, 0.09), (6, 0.09), (7, 0.09), (27, 0.036)]
)
def test_the_fraction_that_is_proposed_for_few_groups_can_be_drawn(
    n_groups: int, given: float, reviews: ReviewsParameters, split: SplitParameters
) -> None:
    small = split.model_copy(update={"group_column": "film", "test_fraction": given})
    codes = np.tile(np.arange(2, dtype=np.int16), 60)
    groups = (np.arange(120) % n_groups).astype(np.uint64)
    no_splits = np.zeros(0, np.int8)
    with pytest.raises(InputError, match="add reviews of other groups") as error:
        assign_splits(codes, no_splits, groups, small, reviews)
    proposed = re.findall(rf"test_fraction to (\S+) \(now {given}\)", str(error.value))
    assert len(proposed) == (n_groups > 2)  # two groups are too few for three parts
    for fraction in map(float, proposed):
        larger = {"test_fraction": fraction, "validation_fraction": 0.5}
        assigned = assign_splits(codes, no_splits, groups, small.model_copy(update=larger), reviews)
        assert set(assigned.tolist()) == {0, 1, 2}


def test_a_label_of_too_few_groups_needs_others(
    reviews: ReviewsParameters, split: SplitParameters
) -> None:
    grouped = split.model_copy(update={"group_column": "film"})
    rows = [(*review, str(n % 20)) for n, review in enumerate(make_reviews(200))]
    rows = [(f"words {n}", "mixed", str(n % 2)) for n in range(10)] + rows
    named = reviews.model_copy(update={"labels": (*reviews.labels, "mixed")})
    message = (
        r"the label mixed, and reviews of 3 groups with it are needed: add such reviews of other "
    )
    with pytest.raises(InputError, match=message):
        clean(rows, named, grouped, ("review", "sentiment", "film"))


def test_a_smaller_test_set_leaves_enough_rows(
    reviews: ReviewsParameters, split: SplitParameters
) -> None:
    codes = np.repeat(np.arange(2, dtype=np.int16), (60, 3))
    large, small = (split.model_copy(update={"test_fraction": n}) for n in (0.7, 0.4))
    with pytest.raises(
        InputError, match=r"such reviews, or lower split\.test_fraction \(now 0\.7\)$"
    ):
        assign_splits(codes, np.zeros(0, np.int8), None, large, reviews)
    assert len(assign_splits(codes, np.zeros(0, np.int8), None, small, reviews)) == 63


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (
            [*"abbbbbb"],
            [*"aabb"],
            "one of them has the label 'a'.*, or mark more rows as train or validation in the",
        ),
        (
            [*"ab"] * 20,
            [*"bb"],
            "no test row has the label a: add such reviews, or mark more rows as test in",
        ),
    ],
)
def test_labels_with_too_few_rows_are_named(
    train: list[str],
    test: list[str],
    message: str,
    reviews: ReviewsParameters,
    split: SplitParameters,
) -> None:
    labels = train + test
    names = ["train"] * len(train) + ["test"] * len(test)
    rows = [(f"text {n}", *row) for n, row in enumerate(zip(labels, names, strict=True))]
    given = reviews.model_copy(update={"labels": tuple(sorted(set(labels)))})
    own = split.model_copy(update={"method": "column" if test else "random"})
    with pytest.raises(InputError, match=message):
        clean(rows, given, own, ("review", "sentiment", "split"))


def test_unlabelled_reviews_bring_back_nothing_that_is_held_out(
    reviews: ReviewsParameters, split: SplitParameters
) -> None:
    cleaned, distinct = with_words(clean(make_reviews(100), reviews, split))
    nearly = [cleaned["text"][0].upper(), "Another!"]  # the words are the same
    texts = [*cleaned["text"], "new  <br />one", "new one", "", "another", *nearly]
    chunks = as_chunks([(text,) for text in texts], ("review",), size=7)
    words = [*distinct, "one"]
    no_rows = cleaned[:0]  # of a chunk whose rows are all rejected
    n = len(words)

    def clean_more(more: list[pd.DataFrame]) -> list[pd.DataFrame]:
        found = clean_unlabelled_reviews(
            unlabelled_reviews=more,
            clean_reviews=[cleaned, no_rows],
            words=words,
            reviews=reviews,
            script="auto",
            processing=HERE,
        )
        return list(found)

    found = pd.concat(clean_more(chunks))
    assert found["text"].tolist() == ["new one", "another"]
    assert found["row"].tolist() == [101, 104]
    assert unpack_numbers(found["words"])[0].tolist() == [n, n - 1, n]  # n: no labelled review
    assert clean_more([]) == []
    only_column = pd.concat(clean_more(as_chunks([("some new",), ("words",)], ("comment",))))
    assert only_column["text"].tolist() == ["some new", "words"]
    with pytest.raises(
        InputError, match=r"no column 'review', .*\. Its columns are: text, date\. Rename"
    ):
        clean_more(as_chunks([("a", "b")], ("text", "date")))
    with pytest.raises(InputError, match=r"Its columns are: text;date"):
        clean_more(as_chunks([("a;b",)], ("text;date",)))
    first = ("Three words first", "and then more of them after a comma than a name has")
    with pytest.raises(InputError, match="no header, as its column name 'and then more of them"):
        clean_more(as_chunks([("a", "b")], first))
    others = [*as_chunks([("more",)], ("review",)), *as_chunks([("Anna",)], ("user",))]
    with pytest.raises(InputError, match="have only a column 'user'"):
        clean_more(others)


def test_word_vectors_know_no_held_out_row(
    reviews: ReviewsParameters, split: SplitParameters, conf: dict[str, Any]
) -> None:
    method = WordVectorsParameters(**conf["word_vectors"] | {"size": 4})
    cleaned = clean(make_reviews(100), reviews, split)
    held_out = cleaned["split"] != "train"
    spoilt = cleaned.assign(text=cleaned["text"].where(~held_out, "awful lovely superb boring"))
    more = pd.DataFrame({"text": ["awful lovely superb boring"] * 50})
    both, words = with_words(pd.concat([cleaned, spoilt, more], ignore_index=True))
    n = len(cleaned)
    cleaned, spoilt, more = both[:n], both[n : 2 * n], both[2 * n :]
    tokenizer = fit_tokenizer([cleaned], words, TokenizerParameters(**conf["tokenizer"]))
    some, same, other = (
        fit_word_vectors([rows], unlabelled, tokenizer, words, method)
        for rows, unlabelled in ((cleaned, []), (spoilt, []), (cleaned, [more]))
    )
    np.testing.assert_array_equal(some, same)
    assert not np.allclose(some, other)


@pytest.mark.parametrize(("n_malformed", "told"), [(0, "5 of 9"), (4, "5 of 9"), (5, "")])
def test_malformed_unlabelled_rows_are_counted(
    *,
    n_malformed: int,
    told: str,
    reviews: ReviewsParameters,
    split: SplitParameters,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    cleaned, words = with_words(clean(make_reviews(100), reviews, split))
    texts = [*cleaned["text"][:4], *(f"more, {n}" for n in range(5))]
    lines = [f'"{text}"' for text in texts[n_malformed:]] + [
        f"{text}, a" for text in texts[:n_malformed]
    ]
    path = tmp_path / "more.csv"
    path.write_text("\n".join(["review", *lines]))

    def clean_more(delimiter: str) -> list[str]:
        load_args = {"chunksize": 2, "sep": delimiter}
        found = clean_unlabelled_reviews(
            unlabelled_reviews=TableDataset(filepath=str(path), load_args=load_args).load(),
            clean_reviews=[cleaned],
            words=words,
            reviews=reviews,
            script="auto",
            processing=HERE,
        )
        return [text for chunk in found for text in chunk["text"]]

    if not told:
        message = r"5 of 9 rows are malformed \(the first is row 5: .*unlabelled_delimiter=tab"
        with pytest.raises(InputError, match=message):
            clean_more("auto")
        assert len(clean_more("tab")) == 9
        return
    clean_more("auto")
    assert f"{told} unlabelled reviews are used" in caplog.text
    assert ("4 of 9 rows of unlabelled_file are malformed" in caplog.text) == (n_malformed > 0)


def test_a_table_of_malformed_rows_is_told_as_such(split: SplitParameters, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("text,label\n" + "Good, really,positive\n" * 40 + "bad,negative\n" * 30)
    message = r"mine.csv: 40 of 70 rows are malformed \(the first is row 1: 3 fields .* header"
    with pytest.raises(InputError, match=message):
        find(list(TableDataset(filepath=str(path)).load()), split)


@pytest.mark.parametrize(
    ("passes", "more", "expected"),  # passes with unlabelled reviews, and without
    [
        ((3, 0), ["new one", "long"], 3),
        ((3, 2), ["new one"], 3),
        ((0, 2), ["new one"], 0),
        ((3, 2), [], 2),
        ((3, 0), [], 0),
        ((1, 1), ["new one"], 0),  # fewer steps than required
        ((1, 1), [], 0),
        ((3, 1), [], 2),  # as many as required
    ],
)
def test_the_network_is_pretrained_on_all_reviews(
    passes: tuple[int, int],
    more: list[str],
    expected: int,
    conf: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[Any] = []

    def pretrain(texts: npt.NDArray[np.uint16], *arguments: Any, **shape: Any) -> tuple[Any, ...]:
        read.append(texts)
        return *arguments, shape

    monkeypatch.setattr("imdb_sentiment.pipelines.data_processing.nodes.pretrain_lstm", pretrain)
    train, vectors = make_encoded(5), np.zeros((2, 2), np.float32)
    tokenization = TokenizerParameters(
        kind="words", vocabulary_size=9, sequence_length=6, script="auto", head_fraction=0.5
    )
    tokenizer = train_tokenizer(["one one two"], tokenization)
    names = ("passes", "passes_without_unlabelled", "required_steps")
    changes = dict(zip(names, (*passes, 2), strict=True))
    settings = LanguageModelParameters(**conf["language_model"] | changes)
    shape: Any = {"units": 3, "bidirectional": True, "chrono_initialization": 5}
    cells = {"new one": [2, 0], "long": [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]}
    unlabelled = [
        pd.DataFrame(
            {"words": pack_numbers(np.array(cells[text], np.int32), np.array([len(cells[text])]))}
        )
        for text in more
    ]
    weights: Any = pretrain_network(
        train=train,
        clean_unlabelled_reviews=unlabelled,
        tokenizer=tokenizer,
        words=["one", "two"],
        word_vectors=vectors,
        tokenization=tokenization,
        language_model=settings,
        pretrained_embedding=True,
        **shape,
    )
    if not expected:
        assert weights == ()
        assert read == []
        return
    encoded = {"new one": [0, 0, 0, 0, 0, 2], "long": [2, 2, 2, 3, 3, 3]}
    assert weights == (vectors, settings, shape | {"passes": expected})
    assert read[0].tolist() == [*train.sequences.tolist(), *(encoded[text] for text in more)]


@pytest.mark.parametrize(("without_unlabelled", "is_said"), [(2, True), (0, False)])
def test_reviews_are_said_to_be_too_few_only_if_they_are(
    *,
    without_unlabelled: int,
    is_said: bool,
    conf: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    tokenization = TokenizerParameters(**conf["tokenizer"])
    changes = {"passes": 3, "passes_without_unlabelled": without_unlabelled}
    with caplog.at_level("INFO", "imdb_sentiment"):
        weights = pretrain_network(
            train=make_encoded(5),
            clean_unlabelled_reviews=[],
            tokenizer=train_tokenizer(["one one two"], tokenization),
            words=["one", "two"],
            word_vectors=np.zeros((2, 2), np.float32),
            tokenization=tokenization,
            language_model=LanguageModelParameters(**conf["language_model"] | changes),
            pretrained_embedding=True,
            units=3,
            bidirectional=True,
            chrono_initialization=0,
        )
    assert weights == ()
    says = "5 reviews are too few for language_model.required_steps"
    assert (says in caplog.text) == is_said
    other = "there are no unlabelled reviews, and language_model.passes_without_unlabelled is 0"
    assert (other in caplog.text) != is_said


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "has a header but no rows"),
        (
            make_reviews(50) + [("text", "meh")] * 2,
            r"2 of 52 rows can't be used \(unknown label: 2\).*row 51",
        ),
        (
            [*make_reviews(2), *[(f"t{i}", "positive") for i in range(200)]],
            "'negative' occurs in 1 usable row,",
        ),
        (
            [(text, "positive") for text, _ in make_reviews(50)],
            "'negative' occurs in 0 usable rows.*: add reviews$",
        ),
        (
            [("a film", "positive"), ("a book", "negative")] * 50,
            "if it is not 'review', where 98 of 100 texts repeat an earlier one",
        ),
    ],
)
def test_unusable_data_stop_the_run(
    rows: list[tuple[str, str]], message: str, reviews: ReviewsParameters, split: SplitParameters
) -> None:
    checked = check_all(as_chunks(rows), reviews, split)
    audit, _ = audit_reviews(checked, reviews)
    with pytest.raises(InputError, match=message):
        list(split_reviews(checked, audit, reviews, split))


@pytest.mark.parametrize(
    ("refused", "told"),
    [
        ([("", "positive")] * 2, {"max_rejected_fraction": 0.04}),
        ([("text", "meh")] * 3, {"labels": ["negative", "positive", "meh"]}),
    ],
)
def test_the_lines_to_paste_are_those_that_help(
    refused: list[tuple[str, str]],
    told: dict[str, Any],
    reviews: ReviewsParameters,
    split: SplitParameters,
) -> None:
    checked = check_all(as_chunks(make_reviews(50) + refused), reviews, split)
    audit, _ = audit_reviews(checked, reviews)
    with pytest.raises(InputError, match=r"data/02_intermediate/rejected_reviews\.csv") as error:
        list(split_reviews(checked, audit, reviews, split))
    assert told.items() <= read_block(error).items()
    assert ("reviews.labels" in str(error.value)) == ("labels" in told)
    assert f"max_rejected_fraction: 0.0{2 * len(refused)}" in str(error.value)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["1", "2", "4", "5"], ["1", "2", "3", "4", "5"]),
        (["5", "4", "2", "1"], ["5", "4", "3", "2", "1"]),
        (["1.0", "2.0", "4.0", "5.0"], ["1.0", "2.0", "3", "4.0", "5.0"]),
        (["1", "2", "3", "5"], ["1", "2", "3", "4", "5", "mixed"]),
        (["b", "d", "e"], ["b", "d", "e", "a", "c"]),  # of an order that is not known
    ],
)
def test_a_further_grade_is_proposed_in_its_place(
    given: list[str], told: list[str], reviews: ReviewsParameters, split: SplitParameters
) -> None:
    graded = reviews.model_copy(update={"labels": tuple(given), "ordered": True})
    names = "abcde" if "b" in given else "12345"
    rows = [(f"text {number}", names[number % 5]) for number in range(100)]
    rows += [(f"another text {number}", "mixed") for number in range(20 * ("mixed" in told))]
    checked = check_all(as_chunks(rows), graded, split)
    audit, _ = audit_reviews(checked, graded)
    with pytest.raises(InputError, match=r"0 of 1\d0 rows can't be used") as error:
        list(split_reviews(checked, audit, graded, split))
    assert read_block(error)["labels"] == told


def test_later_objects_of_json_may_lack_a_column(
    reviews: ReviewsParameters, split: SplitParameters
) -> None:
    chunks = as_chunks([("one", "positive"), ("two", "negative")], size=1)
    checked = pd.concat(check_all([chunks[0], chunks[1][["review", "_malformed"]]], reviews, split))
    assert checked["reason"].tolist() == ["", "no label"]


def test_later_objects_and_lists_are_rejected(
    reviews: ReviewsParameters, split: SplitParameters
) -> None:
    rows: list[tuple[Any, ...]] = [
        ("one", "positive"),
        (["a", "list"], "positive"),
        (np.array(["two"]), "positive"),
        ("three", {"label": "positive"}),
        ("four", "negative"),
    ]
    checked = check(rows, reviews, split)
    assert checked["reason"].tolist() == ["", *["object or list"] * 3, ""]
    assert checked["text"][1] == '["a", "list"]'  # for rejected_reviews.csv


@pytest.mark.parametrize(
    "text", ["\u200e", "&lrm; &rlm;", "\u2060\u200d", "\u00ad", "\ufe0f", "\u3164", "\u2800 \u200b"]
)
def test_a_text_that_is_not_seen_is_none(
    reviews: ReviewsParameters, split: SplitParameters, text: str
) -> None:
    rows = [
        (text, "positive"),
        (f"{text}\u05d8\u05d5\u05d1", "positive"),
        ("\u2764\ufe0f", "positive"),
    ]
    assert check(rows, reviews, split)["reason"].tolist() == ["no text", "", ""]
    unlabelled = pd.DataFrame({"review": [text, "\u2764"], "_malformed": ""})
    _, keys = read_unlabelled_chunk(unlabelled, "review", "auto")
    assert keys.is_usable.tolist() == [False, True]


def test_the_advised_fraction_is_enough(reviews: ReviewsParameters, split: SplitParameters) -> None:
    rows = [("", "positive")] * 29 + [*make_reviews(71)]
    with pytest.raises(InputError, match="max_rejected_fraction") as error:
        clean(rows, reviews, split)
    assert read_block(error) == {"max_rejected_fraction": 0.29}
    assert error.value.parameters == {"reviews.max_rejected_fraction": 0.29}
    clean(rows, reviews.model_copy(update=read_block(error)), split)


def test_objects_are_no_unlabelled_reviews() -> None:
    chunk = pd.DataFrame({"review": [{"body": "a"}], "_malformed": [""]})
    with pytest.raises(InputError, match=r"unlabelled_file: cells of review are .*flatten"):
        read_unlabelled_chunk(chunk, "review", "auto")


def test_unlabelled_reviews_without_a_header_are_refused() -> None:
    """The first text would be lost."""
    first = "A film, to be honest, that nobody of us will want to miss"
    chunk = pd.DataFrame({first: ["Dull.", "Fine."], "_malformed": ""})
    with pytest.raises(
        InputError, match=r"no header, as its column name 'A film.*texts to 'body',"
    ):
        read_unlabelled_chunk(chunk, "body", "auto")
    read, _ = read_unlabelled_chunk(chunk, first, "auto")  # it is the name
    assert list(read.rows["text"]) == ["Dull.", "Fine."]


def test_a_split_column_needs_test_rows(reviews: ReviewsParameters, split: SplitParameters) -> None:
    own = split.model_copy(update={"method": "column"})
    rows = [(*review, "train") for review in make_reviews(60)]
    with pytest.raises(InputError, match="no usable row has 'test'"):
        clean(rows, reviews, own, ("review", "sentiment", "split"))


def test_the_vocabulary_comes_from_training_rows_alone(
    tokenizer_parameters: TokenizerParameters,
) -> None:
    frame = pd.DataFrame(
        {"text": ["seen", "held", "out"], "split": ["train", "validation", "test"]}
    )
    texts, words = with_words(frame)
    assert set(fit_tokenizer([texts], words, tokenizer_parameters).get_vocab()) == {
        "[PAD]",
        "[UNK]",
        "seen",
    }


def test_encoded_sets_know_the_group_of_each_row(
    reviews: ReviewsParameters, split: SplitParameters, tokenizer_parameters: TokenizerParameters
) -> None:
    grouped = split.model_copy(update={"group_column": "film"})
    films = [f"film {number // 10}" for number in range(120)]
    rows = [(*review, film) for review, film in zip(make_reviews(120), films, strict=True)]
    cleaned, words = with_words(clean(rows, reviews, grouped, ("review", "sentiment", "film")))
    tokenizer = fit_tokenizer([cleaned], words, tokenizer_parameters)
    sets = encode_reviews([cleaned], tokenizer, words, reviews, tokenizer_parameters)
    found = {
        (films[row - 1], group)
        for part in chain(*sets)
        for row, group in zip(part.rows.tolist(), part.groups.tolist(), strict=True)
    }
    assert len(found) == len({group for _, group in found}) == 12  # one group for each film


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])  # in which Kedro saves the sets
def test_encoded_sets_hold_each_row_in_order(
    order: tuple[int, ...],
    reviews: ReviewsParameters,
    split: SplitParameters,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "imdb_sentiment")
    cleaned, distinct = with_words(clean(make_reviews(100), reviews, split))
    chunks = [cleaned[:30], cleaned[30:]]
    parameters = TokenizerParameters(
        kind="words", vocabulary_size=200, sequence_length=15, script="auto", head_fraction=0.0
    )
    tokenizer = fit_tokenizer(chunks, distinct, parameters)
    words = {number: word for word, number in tokenizer.get_vocab().items()}
    sets = encode_reviews(chunks, tokenizer, distinct, reviews, parameters)
    for place in order:
        name, part = SPLITS[place], reduce(add, sets[place])
        expected = cleaned[cleaned["split"] == name]
        assert part.rows.tolist() == expected["row"].tolist()
        assert part.codes.tolist() == expected["code"].tolist()
        assert len(set(part.groups)) == 1
        assert part.sequences.dtype == np.uint8
        decoded = [" ".join(words[i] for i in ids if i > 0) for ids in part.sequences.tolist()]
        known = [
            " ".join(word for word in text.split() if word in words.values())
            for text in expected["text"]
        ]
        assert decoded == known
    sizes = [int((cleaned["split"] == name).sum()) for name in SPLITS]
    said = "{} reviews for training, {} for validation, {} for the test".format(*sizes)
    assert caplog.messages.count(said) == 1


@pytest.mark.parametrize("is_async", [False, True])  # saves all outputs of a node at once
def test_the_pipeline_runs_on_a_few_rows(
    *,
    is_async: bool,
    tmp_path: Path,
    reviews: ReviewsParameters,
    split: SplitParameters,
    tokenizer_parameters: TokenizerParameters,
    conf: dict[str, Any],
) -> None:
    path = write_csv(
        tmp_path / "few.csv",
        [*make_reviews(120), ("again", "positive"), ("again", "positive"), ("bad", "?")],
    )
    catalog = DataCatalog(
        {
            "raw_reviews": TableDataset(filepath=str(path), load_args={"chunksize": 50}),
            "checked_reviews": PickleStreamDataset(filepath=str(tmp_path / "checked.pkl")),
            "words": LinesDataset(filepath=str(tmp_path / "words.txt")),
            "rejected_reviews": TableDataset(filepath=str(tmp_path / "rejected.csv")),
            "clean_reviews": PickleStreamDataset(filepath=str(tmp_path / "clean.pkl")),
            "clean_unlabelled_reviews": PickleStreamDataset(filepath=str(tmp_path / "more.pkl")),
            "audit": AtomicDataset(
                filepath=str(tmp_path / "audit.json"), dataset="json.JSONDataset"
            ),
            **{
                name: EncodedReviewsDataset(filepath=str(tmp_path / f"{name}.npy"))
                for name in ("train", "validation", "test")
            },
            "params:reviews": MemoryDataset(reviews),
            "params:split": MemoryDataset(split),
            "params:tokenizer": MemoryDataset(tokenizer_parameters),
            "params:tokenizer.script": MemoryDataset("auto"),
            "params:processing": MemoryDataset(HERE),
            "params:word_vectors": MemoryDataset(WordVectorsParameters(**conf["word_vectors"])),
            **{
                f"params:hyperparameters.{name}": MemoryDataset(value)
                for name, value in conf["hyperparameters"].items()
            },
            "params:language_model": MemoryDataset(
                LanguageModelParameters(**conf["language_model"])
            ),
            "unlabelled_reviews": TableDataset(filepath=None),
        }
    )
    SequentialRunner(is_async=is_async).run(create_pipeline(), catalog)
    audit = catalog.load("audit")
    assert (audit["rows_read"], audit["accepted"], audit["rejected"], audit["duplicates"]) == (
        123,
        121,
        1,
        1,
    )
    assert pd.read_csv(tmp_path / "rejected.csv")["row"].tolist() == [123]
    train, test = catalog.load("train"), catalog.load("test")
    assert train.sequences.shape == (len(train), tokenizer_parameters.sequence_length)
    assert not set(train.rows) & set(test.rows)
    words = catalog.load("words")
    for chunk in catalog.load("clean_reviews"):
        for text, cell in zip(chunk["text"], chunk["words"], strict=True):
            assert [words[number] for number in unpack_numbers([cell])[0]] == text.split()


@pytest.mark.parametrize("failure", ["no place", "no space"])
def test_with_async_a_failure_to_save_the_chunks_ends_the_run(
    failure: str,
    tmp_path: Path,
    reviews: ReviewsParameters,
    split: SplitParameters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "checked.pkl"
    if failure == "no place":
        path.mkdir()
        expected = "is a folder"
    else:
        expected = "No space left"
        fail = Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
        monkeypatch.setattr("imdb_sentiment.datasets.files.pickle.dump", fail)
    catalog = DataCatalog(
        {
            "chunks": MemoryDataset(list(as_chunks(make_reviews(9), size=2))),
            "checked_reviews": PickleStreamDataset(filepath=str(path)),
            "words": LinesDataset(filepath=str(tmp_path / "words.txt")),
        }
    )
    check = partial(check_reviews, reviews=reviews, split=split, script="auto", processing=HERE)
    pipeline = Pipeline([Node(check, "chunks", ["checked_reviews", "words"], name="check")])
    with pytest.raises(DatasetError, match=expected):
        SequentialRunner(is_async=True).run(pipeline, catalog)
    assert not (tmp_path / "words.txt").exists()


cells = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [
        "positive",
        "NEGATIVE ",
        "meh",
        "",
        " ",
        '"',
        ",",
        "\n",
        "\r\n",
        "<br />",
        "\ufeff",
        "\x00",
        "good film",
    ]
)


def account(
    content: str, reviews: ReviewsParameters, split: SplitParameters, path: Path
) -> tuple[dict[str, Any], pd.DataFrame]:
    path.write_bytes(content.encode("utf-8"))
    raw = TableDataset(filepath=str(path), load_args={"chunksize": 3}).load()
    checked = check_all(raw, reviews, split)
    audit, refused = audit_reviews(checked, reviews)
    rows = pd.concat(checked, ignore_index=True)
    assert audit["accepted"] + audit["rejected"] + audit["duplicates"] == audit["rows_read"]
    assert audit["rows_read"] == len(rows)
    assert rows["row"].tolist() == list(range(1, len(rows) + 1))
    assert sum(len(chunk) for chunk in refused) == audit["rejected"]
    assert sum(audit["rejected_by_reason"].values()) == audit["rejected"]
    return audit, rows


@pytest.fixture(scope="module")
def csv_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("property") / "any.csv"


property_test = settings(
    max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@property_test
@given(records=st.lists(st.lists(cells, min_size=1, max_size=4), max_size=12))
def test_no_record_is_lost_whatever_its_fields(
    records: list[list[str]], csv_path: Path, reviews: ReviewsParameters, split: SplitParameters
) -> None:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows([["review", "sentiment"], *records])
    audit, rows = account(buffer.getvalue(), reviews, split, csv_path)
    assert audit["rows_read"] == len(records)
    malformed = rows["reason"].str.startswith("malformed")
    assert malformed.tolist() == [len(record) > 2 for record in records]


@property_test
@given(body=st.text(st.sampled_from('ab",\n\r \x00é<>&;'), max_size=60))
def test_no_content_breaks_the_accounting(
    body: str, csv_path: Path, reviews: ReviewsParameters, split: SplitParameters
) -> None:
    content = "review,sentiment\n" + body
    try:
        audit, _ = account(content, reviews, split, csv_path)
    except InputError as error:
        assert "is never closed" in str(error)  # noqa: PT017
        assert '"' in body
        return
    if not set(body) & {"\r", "\x00"}:  # the csv module reads these two differently
        assert audit["rows_read"] == len(list(csv.reader(io.StringIO(content, newline="")))) - 1
