"""The command with which a run that was refused would begin."""

import shlex

import pytest

from imdb_sentiment.framework.session import repeat_command


@pytest.mark.parametrize(
    ("typed", "parameters", "repeated"),
    [
        ("run", {"reviews_encoding": "cp1252"}, "run --params reviews_encoding=cp1252"),
        (
            "run --params reviews_encoding=utf-16,reviews_file='my table.csv' --pipelines tuning",
            {"reviews_encoding": "cp1252"},
            "run --pipelines tuning --params 'reviews_file=my table.csv,reviews_encoding=cp1252'",
        ),
        (
            "run --params=a.b=1 --env best",
            {"split.group_column": None, "reviews.text_column": "body"},
            "run --env best --params a.b=1,split.group_column=null,reviews.text_column=body",
        ),
        ("run", {"reviews.text_column": "one, two"}, None),
    ],
)
def test_a_command_is_repeated_with_other_parameters(
    typed: str, parameters: dict[str, str | None], repeated: str | None
) -> None:
    assert repeat_command(shlex.split(typed), parameters) == repeated
