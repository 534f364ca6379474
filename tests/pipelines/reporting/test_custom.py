"""The custom reviews: which are shown, what is expected of them, and their scores."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.framework.project import configure_project

from helpers import PROJECT, make_predictions
from imdb_sentiment.datasets import TableDataset
from imdb_sentiment.errors import InputError
from imdb_sentiment.parameters import (
    CustomReviewsParameters,
    ReviewsParameters,
    TokenizerParameters,
)
from imdb_sentiment.pipeline_registry import register_pipelines
from imdb_sentiment.pipelines.reporting.nodes.custom import (
    CustomReviews,
    choose_custom_reviews,
    count_right,
    find_custom_texts,
)
from imdb_sentiment.pipelines.reporting.nodes.scoring import score_custom_reviews
from imdb_sentiment.pipelines.tuning.nodes import tune_hyperparameters
from imdb_sentiment.text.sample_reviews import are_samples
from imdb_sentiment.text.tokenizer import train_tokenizer
from services import make_tokenizer

SAMPLES = PROJECT / "data/01_raw/custom_reviews.csv"


def choose(
    table: Any, reviews: ReviewsParameters, custom: CustomReviewsParameters
) -> CustomReviews:
    """Return the custom reviews of a model whose vocabulary is of another language."""
    predictions = make_predictions(60, reviews.labels)
    predictions["review"] = [f"w{n % 28} " * (1 + n % 7) for n in range(60)]
    found = find_custom_texts(table, reviews, custom)
    return choose_custom_reviews(table, predictions, make_tokenizer(), reviews, found)


def test_custom_reviews_keep_their_columns_and_gaps(
    exported: bytes, reviews: ReviewsParameters, custom: CustomReviewsParameters
) -> None:
    texts = ["w1 w2", None, " <br> ", "qqq zzz"]
    table = pd.DataFrame({"id": [7, 8, 9, 10], "review": texts}, index=[3, 4, 5, 6])
    scored = score_custom_reviews(exported, choose(table, reviews, custom))
    assert scored.columns.tolist() == [
        "id",
        "review",
        "predicted_sentiment",
        "probability",
        "probability_negative",
        "probability_positive",
    ]
    assert scored["id"].tolist() == [7, 8, 9, 10]
    assert scored.index.tolist() == table.index.tolist()
    for column in scored.columns[2:]:
        assert scored[column].notna().tolist() == [True, False, False, False]
    named = CustomReviewsParameters(text_column="review")
    with pytest.raises(InputError, match=r"no column 'review'\. Its columns are: text"):
        choose(pd.DataFrame({"text": []}), reviews, named)


def test_custom_reviews_may_be_any_table(
    exported: bytes,
    reviews: ReviewsParameters,
    custom: CustomReviewsParameters,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"n": 1, "body": "w1 w2 \\ud83d"}\n{"n": 2\n{"n": 3, "body": "w2"}\n')
    chunks = TableDataset(filepath=str(path), load_args={"chunksize": 1}).load()
    scored = score_custom_reviews(exported, choose(chunks, reviews, custom))
    assert scored.columns.tolist()[:3] == ["n", "body", "predicted_sentiment"]
    assert scored["body"].fillna("").tolist() == ["w1 w2 \ufffd", "", "w2"]
    assert scored["probability"].notna().tolist() == [True, False, True]
    assert "Row 2 of the file of custom reviews can't be read" in caplog.text


def test_predictions_of_an_earlier_run_are_replaced(
    exported: bytes, reviews: ReviewsParameters, custom: CustomReviewsParameters
) -> None:
    table = pd.DataFrame({"review": ["w1", "w2 w3"]})
    once = score_custom_reviews(exported, choose(table, reviews, custom))
    again = score_custom_reviews(exported, choose(once.assign(probability="?"), reviews, custom))
    pd.testing.assert_frame_equal(once, again)


def test_what_is_expected_may_be_in_the_column_of_the_training_labels(
    reviews: ReviewsParameters,
    custom: CustomReviewsParameters,
    caplog: pytest.LogCaptureFixture,
) -> None:
    table = pd.DataFrame({"review": ["w1", "w2", "w3"], "sentiment": [" Positive", None, "mixed"]})
    found = choose(table, reviews, custom)
    assert found.expected == ["positive", None, None]
    assert (
        "Expected labels of custom reviews that are no labels of the model are ignored: mixed"
        in (caplog.text)
    )
    table["expected_sentiment"] = ["negative", "negative", None]
    assert choose(table, reviews, custom).expected == ["negative", "negative", None]
    assert count_right(["negative", "negative", None], ["negative", None, "positive"]) == (1, 1)
    table = table.rename(columns={"review": "probability"})
    named = custom.model_copy(update={"text_column": "probability"})
    with pytest.raises(InputError, match="in the column 'probability', which the file of their"):
        find_custom_texts(table, reviews, named)


def test_columns_of_custom_reviews_may_have_numbers_as_their_names(
    reviews: ReviewsParameters, custom: CustomReviewsParameters
) -> None:
    """As those of `pandas.ExcelDataset` have."""
    texts = [f"w{n} w1 w2 w3 w4 w5" for n in range(6)]
    found = choose(pd.DataFrame({7: range(6), 2024: texts}), reviews, custom)
    assert found.texts == texts
    assert found.table.columns.tolist() == ["7", "2024"]


def test_the_samples_are_those_of_the_project() -> None:
    table = pd.read_csv(SAMPLES)
    assert are_samples(table)
    assert not are_samples(table[:9])
    assert not are_samples(table.rename(columns={"review": "text"}))


def read_samples() -> pd.DataFrame:
    return pd.concat(TableDataset(filepath=str(SAMPLES)).load()).drop(columns="_malformed")


@pytest.mark.parametrize("kind", ["words", "bpe"])
def test_the_samples_are_shown_for_their_labels_in_their_language(
    kind: Any, reviews: ReviewsParameters, custom: CustomReviewsParameters
) -> None:
    english = pd.read_csv(PROJECT / "data/01_raw/sample_reviews.csv")["review"][:100]
    options = {
        "vocabulary_size": 2000,
        "sequence_length": 50,
        "script": "auto",
        "head_fraction": 0.0,
    }
    tokenizer = train_tokenizer(english, TokenizerParameters(kind=kind, **options))
    predictions = make_predictions(60, reviews.labels).assign(review="w1 w2")
    settings = find_custom_texts(read_samples(), reviews, custom)
    found = choose_custom_reviews(read_samples(), predictions, tokenizer, reviews, settings)
    assert not found.are_test_reviews
    assert found.expected == ["positive"] * 5 + ["negative"] * 5
    assert len(found.table) == 10


@pytest.mark.parametrize("labels", [("negative", "positive"), ("1", "2", "3")])
def test_otherwise_test_reviews_of_all_labels_lengths_and_confidences_are(
    labels: tuple[str, ...], reviews: ReviewsParameters, custom: CustomReviewsParameters
) -> None:
    other = reviews.model_copy(update={"labels": labels, "text_column": "text"})
    found = choose(read_samples(), other, custom)
    assert found.are_test_reviews
    assert found.table.columns.tolist() == ["row", "text", "expected_sentiment"]
    assert found.table["text"].tolist() == found.texts
    assert found.table["expected_sentiment"].tolist() == found.expected
    assert set(found.expected) == set(labels)
    assert len(set(map(len, found.texts))) > 3
    predictions = make_predictions(60, labels).set_index("row")
    confidence = predictions.loc[found.table["row"], "probability"]
    assert confidence.min() < predictions["probability"].quantile(0.2)
    assert confidence.max() > predictions["probability"].quantile(0.8)
    again = choose(read_samples(), other, custom)
    pd.testing.assert_frame_equal(again.table, found.table)


def test_a_file_that_cannot_be_used_ends_a_run_before_the_search() -> None:
    configure_project("imdb_sentiment")
    order = [node.func for node in register_pipelines()["__default__"].nodes]
    assert order.index(find_custom_texts) < order.index(tune_hyperparameters)
