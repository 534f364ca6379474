import math
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from helpers import make_ngrams_parameters
from imdb_sentiment.errors import InputError
from imdb_sentiment.parameters import (
    Hyperparameters,
    LabelCheckParameters,
    LanguageModelParameters,
    ProcessingParameters,
    ReportParameters,
    ReviewsParameters,
    SplitParameters,
    TrainingParameters,
    TuningParameters,
    WordVectorsParameters,
)


def test_base_has_the_promised_defaults(conf: dict[str, Any]) -> None:
    tuning = TuningParameters(**conf["tuning"])
    expected = {
        "kind": "words",
        "vocabulary_size": 5000,
        "sequence_length": 200,
        "head_fraction": 0.25,
        "script": "auto",
    }
    assert conf["tokenizer"] == expected
    assert conf["hyperparameters"]["epochs"] == 5
    assert (tuning.n_trials, tuning.evaluate_on, tuning.folds) == (2, "validation", "auto")
    assert TrainingParameters(**conf["training"]).ngrams.share == "auto"
    assert conf["tuning"]["search_space"] == {
        "units": {"type": "int", "low": 50, "high": 100},
        "dropout_rate": {"type": "float", "low": 0.2, "high": 0.5},
        "optimizer": {"type": "categorical", "choices": ["adam", "rmsprop"]},
    }


@pytest.mark.parametrize("name", list(Hyperparameters.model_fields))
def test_any_hyperparameter_can_be_searched(name: str, conf: dict[str, Any]) -> None:
    value = conf["hyperparameters"][name]
    space = {name: {"type": "categorical", "choices": [value]}}
    tuning = TuningParameters(**{**conf["tuning"], "search_space": space})
    assert list(tuning.search_space[name].values()) == [value]


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"unit": {"type": "int", "low": 1, "high": 2}}, "unknown hyperparameter 'unit'"),
        ({"units": {"type": "int", "low": 0, "high": 2}}, "units = 0"),
        (
            {"units": {"type": "int", "low": 3, "high": 2}},
            "`low <= high` must hold",
        ),
        (
            {"units": {"type": "int", "low": 1, "high": 8, "step": 2, "log": True}},
            "only accept step is 1",
        ),
        ({"units": {"type": "int", "low": 1, "high": 8, "step": 0}}, "`step > 0` must hold"),
        ({"units": {"type": "categorical", "choices": []}}, "must contain one or more elements"),
        (
            {"units": {"type": "float", "low": 1, "high": 2}},
            "units can't have a fraction: use type int",
        ),
        ({"bidirectional": {"type": "float", "low": 0, "high": 1}}, "use type categorical"),
        (
            {"batch_size": {"type": "float", "low": 16, "high": 64}},
            "batch_size can't have",
        ),
        ({"batch_size": {"type": "int", "low": 0, "high": 64}}, "batch_size = 0"),
        (
            {"learning_rate": {"type": "float", "low": 0, "high": 1, "log": True}},
            "`low > 0` must hold",
        ),
        ({"dropout_rate": {"type": "float", "low": 0.2, "high": 1.0}}, "dropout_rate = 1.0"),
        (
            {"learning_rate": {"type": "categorical", "choices": [0.1, math.inf]}},
            "learning_rate = 'inf': Input should be a finite number",
        ),
        ({"optimizer": {"type": "categorical", "choices": ["adamant"]}}, "optimizer = 'adamant'"),
        (
            {"bidirectional": {"type": "categorical", "choices": [True, 1]}},
            "remove 1, which is the same as an earlier choice",
        ),
        ({"epochs": {"type": "categorical", "choices": ["3"]}}, "epochs = '3': leave out the quo"),
        ({"units": {"type": "uniform", "low": 1, "high": 2}}, "does not match"),
    ],
)
def test_a_search_space_must_fit(space: dict[str, Any], message: str, conf: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=message):
        TuningParameters(**{**conf["tuning"], "search_space": space})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sampler": {"name": "TPE", "arguments": {}}}, "'TPE': choose from .*TPESampler"),
        ({"sampler": {"name": "TPESampler", "arguments": {"speed": 1}}}, "TPESampler: .*'speed'"),
        ({"pruner": {"name": "MedianPruner", "arguments": {"n_startup_trials": -1}}}, "negative"),
        ({"pruner": {"name": "PatientPruner", "arguments": {}}}, "PatientPruner: .*wrapped_pruner"),
        (
            {"sampler": {"name": "TPESampler", "arguments": {"gamma": 0.25}}},
            r"sampler: TPESampler fails .* gamma: 0\.25 .*callable.* tuning\.sampler\.arguments",
        ),
        (
            {"sampler": {"name": "TPESampler", "arguments": {"n_startup_trials": "5"}}},
            "n_startup_trials: '5'",
        ),
        (
            {"pruner": {"name": "HyperbandPruner", "arguments": {"min_resource": 0}}},
            r"pruner: HyperbandPruner fails .* min_resource: 0 .*tuning\.pruner\.arguments",
        ),
        ({"sampler": {"name": "GridSampler", "arguments": {"search_space": {}}}}, "choose from"),
        ({"workers": 0}, "greater than or equal to 1"),
        ({"folds": 0}, "greater than or equal to 1"),
        ({"folds": "many"}, "should be 'auto'"),
        ({"folds": 5, "evaluate_on": "test"}, "folds is 5, but evaluate_on is test.* to auto"),
        ({"pruner": {"name": "WilcoxonPruner", "arguments": {}}}, "choose from .*MedianPruner"),
        (
            {"search_space": {"units": {"type": "int", "low": 50, "high": 100, "step": 7}}},
            "steps of 7 do not lead from 50 to 100: set high to 99 or 106",
        ),
    ],
)
def test_wrong_settings_of_the_search_are_refused(
    change: dict[str, Any], message: str, conf: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError, match=message):
        TuningParameters(**conf["tuning"] | change)


def test_a_sampler_whose_package_is_missing_is_refused(
    conf: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imdb_sentiment.search.samplers_and_pruners.find_spec", lambda name: None)
    with pytest.raises(ValidationError, match=r"CmaEsSampler needs .* pip install cmaes"):
        TuningParameters(**conf["tuning"] | {"sampler": {"name": "CmaEsSampler", "arguments": {}}})


@pytest.mark.parametrize("arguments", [None, {}, {"n_startup_trials": 2}])
def test_arguments_of_the_pruner_may_be_null(
    arguments: dict[str, Any] | None, conf: dict[str, Any]
) -> None:
    pruner = {"name": "MedianPruner", "arguments": arguments}
    tuning = TuningParameters(**conf["tuning"] | {"pruner": pruner})
    assert tuning.pruner.arguments == (arguments or {})


def test_two_workers_or_a_cluster_are_parallel(conf: dict[str, Any]) -> None:
    changes: list[dict[str, Any]] = [{}, {"workers": 2}, {"scheduler_address": "tcp://HOST:8786"}]
    several = [TuningParameters(**conf["tuning"] | change) for change in changes]
    assert [tuning.is_parallel for tuning in several] == [False, True, True]


def test_processing_needs_a_worker(conf: dict[str, Any]) -> None:
    assert ProcessingParameters(**conf["processing"]).workers == 1
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        ProcessingParameters(**conf["processing"] | {"workers": 0})


@pytest.mark.parametrize("seed", [-1, 2**31])
@pytest.mark.parametrize(
    ("group", "model"),
    {
        "label_check": LabelCheckParameters,
        "language_model": LanguageModelParameters,
        "report": ReportParameters,
        "split": SplitParameters,
        "training": TrainingParameters,
        "tuning": TuningParameters,
        "word_vectors": WordVectorsParameters,
    }.items(),
)
def test_a_seed_is_one_that_every_library_takes(
    group: str, model: type[BaseModel], seed: int, conf: dict[str, Any]
) -> None:
    model(**conf[group])
    with pytest.raises(ValidationError, match="seed"):
        model(**conf[group] | {"seed": seed})


def test_null_takes_a_hyperparameter_out_of_the_search(conf: dict[str, Any]) -> None:
    space = conf["tuning"]["search_space"] | {"units": None}
    tuning = TuningParameters(**{**conf["tuning"], "search_space": space})
    assert set(tuning.search_space) == {"dropout_rate", "optimizer"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["Positive", "positive "]}, "must differ"),
        ({"labels": ["positive"]}, "at least 2"),
        ({"text_column": "sentiment"}, "must differ"),
        ({"max_rejected_fraction": 1.5}, "less than or equal to 1"),
        ({"lables": ["a", "b"]}, "Extra inputs are not permitted"),
    ],
)
def test_wrong_reviews_parameters_are_refused(
    change: dict[str, Any], message: str, conf: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError, match=message):
        ReviewsParameters(**{**conf["reviews"], **change})


def test_labels_may_be_numbers(conf: dict[str, Any]) -> None:
    assert ReviewsParameters(**{**conf["reviews"], "labels": [0, 1]}).labels == ("0", "1")


def test_labels_may_be_truth_values(conf: dict[str, Any]) -> None:
    target = {"label": True, "recall": 0.9}
    training = TrainingParameters(
        **conf["training"] | {"class_weight": {True: 5}, "decision_target": target}
    )
    assert training.class_weight == {"true": 5}
    assert training.decision_target
    assert training.decision_target.label == "true"
    assert TuningParameters(**conf["tuning"] | {"metric_label": False}).metric_label == "false"


@pytest.mark.parametrize("share", [-0.1, 1.01, "all", None])
def test_a_share_of_the_ngrams_is_between_0_and_1(share: Any) -> None:
    with pytest.raises(ValidationError, match="share"):
        make_ngrams_parameters(share=share)


@pytest.mark.parametrize("length", [-1, 1, 2, 21, 4.5, "auto"])
def test_character_ngrams_have_a_sensible_length(length: Any) -> None:
    with pytest.raises(ValidationError, match="character_ngram"):
        make_ngrams_parameters(character_ngram=length)


@pytest.mark.parametrize("weight", [-0.1, 101, math.inf, math.nan, "all", None])
def test_the_weight_of_character_ngrams_is_finite(weight: Any) -> None:
    with pytest.raises(ValidationError, match="character_weight"):
        make_ngrams_parameters(character_weight=weight)


@pytest.mark.parametrize("dimensions", [-1, 1001, 0.5, "auto"])
def test_latent_dimensions_are_a_moderate_number(dimensions: Any) -> None:
    with pytest.raises(ValidationError, match="latent_dimensions"):
        make_ngrams_parameters(latent_dimensions=dimensions)


@pytest.mark.parametrize("share", ["auto", 0, 0.99, 1])
def test_a_share_of_the_ngrams_may_be_left_to_be_fitted(share: Any) -> None:
    assert make_ngrams_parameters(share=share).share == share


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "word2vec"}, "should be 'none' or 'svd'"),
        ({"size": 0}, "greater than or equal to 1"),
        ({"norm": 0}, "greater than 0"),
        ({"skip_gram": True}, "Extra inputs are not permitted"),
    ],
)
def test_word_vectors_of_another_kind_are_refused(
    change: dict[str, Any], message: str, conf: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError, match=message):
        WordVectorsParameters(**conf["word_vectors"] | change)


@pytest.mark.parametrize(
    ("n_rows", "n_labels", "epochs"),
    [
        *((1, 2, 90), (64, 2, 90), (65, 2, 45), (640, 2, 9), (1088, 2, 6), (1089, 2, 5)),
        *((25_000, 2, 5), (64, 5, 90), (64, 6, 108), (640, 77, 139), (25_000, 77, 5)),
        *((256_000, 2, 5), (256_001, 2, 4), (640_000, 2, 2), (640_001, 2, 1), (10**9, 2, 1)),
        (640_001, 1112, 3),  # 20,016 steps for the labels, of 10,001 per epoch
    ],
)
def test_the_number_of_epochs_depends_on_that_of_rows_and_labels(
    n_rows: int, n_labels: int, epochs: int, conf: dict[str, Any]
) -> None:
    """At least 90 steps of 64 reviews, and 18 steps per label; five epochs, or 20,000 steps."""
    chosen = Hyperparameters(**conf["hyperparameters"])
    assert chosen.count_epochs(n_rows, n_labels) == epochs


def test_without_a_minimum_of_steps_training_takes_at_least_one_epoch(
    conf: dict[str, Any],
) -> None:
    limits = {"min_steps": 0, "min_steps_per_label": 0, "max_steps": 1}
    chosen = Hyperparameters(**conf["hyperparameters"] | limits)
    assert chosen.count_epochs(65, 2) == 1
    assert chosen.model_copy(update={"max_steps": 0}).count_epochs(10**9, 2) == 5


def test_studies_made_before_there_was_a_maximum_of_steps_continue(conf: dict[str, Any]) -> None:
    """They have the default, which is left out of what all trials must have in common."""
    values = dict(conf["hyperparameters"])
    assert values.pop("max_steps") == 20_000
    assert "max_steps" not in Hyperparameters(**conf["hyperparameters"]).model_dump(
        exclude_defaults=True
    )
    assert Hyperparameters(**values) == Hyperparameters(**conf["hyperparameters"])


def test_a_search_over_epochs_that_the_limits_of_the_steps_override_is_refused(
    conf: dict[str, Any],
) -> None:
    chosen = Hyperparameters(**conf["hyperparameters"])

    def require(n_rows: int, n_labels: int, *others: int, **space: dict[str, Any]) -> None:
        tuning = TuningParameters(**conf["tuning"] | {"search_space": space})
        tuning.require_effect_of_epochs(chosen, (n_rows, *others), n_labels)

    epochs = {"type": "int", "low": 2, "high": 9}
    with pytest.raises(InputError, match=r"epochs to null, or lower hyperparameters\.min_steps$"):
        require(640, 2, epochs=epochs)  # at least 9 epochs
    with pytest.raises(
        InputError,
        match=r"\(hyperparameters\.min_steps_per_label\) take 11 epochs or more of 640 rows: set",
    ):
        require(640, 6, epochs=epochs)
    with pytest.raises(InputError, match=r"640,000 rows, 20000 steps \(.*allow no more than 2: "):
        require(640_000, 2, epochs=epochs)
    with pytest.raises(InputError, match=r"no more than 1: .*or raise hyperparameters\.max_steps$"):
        require(10**7, 2, 10**8, epochs=epochs)
    # Some trial, or some fold, takes more epochs than another.
    require(640_000, 2, epochs=epochs | {"low": 1})
    require(10**7, 2, 426_000, epochs=epochs)
    require(640_001, 2, epochs=epochs, batch_size={"type": "categorical", "choices": [64, 128]})
    require(640_000, 2, epochs=epochs, max_steps={"type": "int", "low": 0, "high": 20_000})
    require(640_000, 2, epochs=epochs, max_steps={"type": "int", "low": 1, "high": 30_000})
    require(640_000, 2, epochs={"type": "categorical", "choices": [5]})
    require(705, 2, epochs=epochs)  # at least 8 epochs of 12 steps
    require(640, 2)
    require(640, 2, epochs=epochs, batch_size={"type": "categorical", "choices": [64, 32]})
    require(640, 2, epochs=epochs, min_steps={"type": "int", "low": 80, "high": 90})


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("reviews.csv", "reviews.csv"),
        ("/home/me/my reviews.csv", "my reviews.csv"),
        ("folder/of/parts/", "parts"),
        ("s3://bucket/part-?.csv", "part-?.csv"),
        ("https://example.org/reviews.csv?key=secret", "reviews.csv"),
        ("https://example.org/reviews.csv#part", "reviews.csv"),
        ("/", "/"),
    ],
)
def test_a_title_has_the_name_of_the_file_alone(
    file: str, name: str, reviews: ReviewsParameters
) -> None:
    assert reviews.model_copy(update={"file": file}).file_name == name
