"""What is wrong with a parameter is said in one line, with its name and what it may be."""

import math
from typing import Any

import pytest
from pydantic import ValidationError

from helpers import base_parameters
from imdb_sentiment.framework.configuration import _merge
from imdb_sentiment.framework.hooks import MODELS
from imdb_sentiment.framework.problems import explain_problems

UNITS = "tuning.search_space.units"


def explain(name: str, value: Any) -> str:
    """Return what is said about a value of a parameter."""
    group = name.partition(".")[0]
    values = _merge(base_parameters(), {name: value})[group]
    with pytest.raises(ValidationError) as error:
        MODELS[group].model_validate(values)
    return explain_problems(error.value, group, MODELS[group])


def test_each_group_of_parameters_has_a_model() -> None:
    assert MODELS.keys() == base_parameters().keys()


@pytest.mark.parametrize(
    ("name", "proposal"),
    [
        ("tuning.n_trails", "n_trials"),
        ("training.ngrams.shaer", "share"),
        (f"{UNITS}.hihg", "high"),
        ("training.decision_target.recal", "recall"),
    ],
)
def test_a_misspelt_name_gets_the_nearest_one(name: str, proposal: str) -> None:
    assert f"there is no parameter {name!r}: did you mean {proposal}?" in explain(name, 1)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("tuning.n_trials", "many", "'many': it must be a whole number of at least 1"),
        ("tuning.n_trials", 2.5, "2.5: it must be a whole number of at least 1"),
        (
            "training.ngrams.character_ngram",
            2,
            "2: it must be 0 or a whole number of at least 3 and of at most 20",
        ),
        ("tuning.timeout", -1, "-1: it must be a number greater than 0 or null"),
        (
            "tuning.timeout",
            math.inf,
            "Infinity, which is not finite: it must be a number greater than 0 or null",
        ),
        ("hyperparameters.learning_rate", math.inf, "Infinity, which is not finite: it must be a"),
        ("hyperparameters.learning_rate", math.nan, "NaN, which is not finite: it must be a"),
        ("tuning.folds", 0, "0: it must be auto or a whole number of at least 1"),
        (
            "tuning.metric",
            "acuracy",
            "'acuracy': it must be accuracy, balanced_accuracy, f1_macro, ",
        ),
        ("tuning.sampler", None, "null: it must be a group of parameters"),
        (f"{UNITS}.low", "a", "'a': it must be a whole number"),
        (
            UNITS,
            {"type": "x"},
            '{"type": "x"}: it must be a group whose type is categorical, float',
        ),
        ("hyperparameters.dropout_rate", 1, "1: it must be a number of at least 0 and less than 1"),
        ("hyperparameters.bidirectional", "x", "'x': it must be true or false"),
        ("reviews.labels", ["a"], '["a"]: it must be auto or a list of at least 2 values'),
        ("training.class_weight.positive", 0, "0: it must be a number greater than 0"),
        ("training.class_weight", 3, "3: it must be balanced, a group of parameters or null"),
    ],
)
def test_a_wrong_value_is_shown_with_what_it_may_be(name: str, value: Any, message: str) -> None:
    assert f"{name} is {message}" in explain(name, value)


def test_what_the_projects_own_rules_say_is_kept() -> None:
    said = explain("reviews", base_parameters()["reviews"] | {"text_column": "sentiment"})
    assert said == "reviews: text_column and label_column must differ"


def test_a_missing_parameter_is_named() -> None:
    values = base_parameters()["split"]
    del values["seed"]
    assert explain("split", values) == "split.seed is missing"


def test_one_wrong_value_is_one_problem() -> None:
    """Not one for each type that its list or group might have had."""
    said = explain("reviews.labels", ["a", None])
    assert said == "reviews.labels.1 is null: it must be text"
    said = explain("training.class_weight", {"a": "x"})
    assert said == "training.class_weight.a is 'x': it must be a number greater than 0"
