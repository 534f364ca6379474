import logging
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from optuna.trial import TrialState

from helpers import (
    base_parameters,
    make_encoded,
)
from imdb_sentiment.datasets import AtomicDataset, OptunaStorageDataset
from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.calibration import fit_temperature
from imdb_sentiment.network.model import score_sequences
from imdb_sentiment.network.training import train_model
from imdb_sentiment.parameters import Hyperparameters, TrainingParameters, TuningParameters
from imdb_sentiment.pipelines.tuning import create_pipeline
from imdb_sentiment.pipelines.tuning.nodes import (
    select_evaluation_set,
    tabulate_trials,
    train_candidate,
    tune_hyperparameters,
)
from imdb_sentiment.text.encoded_reviews import EncodedReviews

RANDOM = {"name": "RandomSampler", "arguments": None}
TRAIN, VALIDATION = make_encoded(48), make_encoded(24, seed=5)
TRAINING = TrainingParameters(
    **{**base_parameters()["training"], "use_validation_rows": False, "seed": 0}
)
NO_VECTORS = np.zeros((0, 4), np.float32)


@pytest.fixture
def one_epoch(hyperparameters: Hyperparameters) -> Hyperparameters:
    return hyperparameters.model_copy(update={"epochs": 1})


def trials(storage: optuna.storages.BaseStorage, tuning: TuningParameters) -> list[tuple[Any, ...]]:
    study = optuna.load_study(study_name=tuning.study_name, storage=storage)
    return [(trial.params, trial.value) for trial in study.trials]


def tune(
    storage: optuna.storages.BaseStorage, hyperparameters: Hyperparameters, tuning: TuningParameters
) -> tuple[optuna.Study, Hyperparameters]:
    return tune_hyperparameters(
        storage,
        TRAIN,
        VALIDATION,
        NO_VECTORS,
        hyperparameters=hyperparameters,
        tuning=tuning,
        training=TRAINING,
    )


def test_the_best_trial_is_returned_whole(
    one_epoch: Hyperparameters, tuning: TuningParameters
) -> None:
    storage = optuna.storages.InMemoryStorage()
    study, best = tune(storage, one_epoch, tuning)
    values = [trial.value for trial in study.trials]
    assert len(values) == tuning.n_trials
    assert study.best_value == max(value for value in values if value is not None)
    assert best.model_dump() == one_epoch.model_dump() | study.best_params
    for trial in study.trials:
        assert set(trial.params) == set(tuning.search_space)
        assert trial.value == max(trial.intermediate_values.values())


def test_a_trial_keeps_the_temperature_of_its_network(
    one_epoch: Hyperparameters, tuning: TuningParameters
) -> None:
    one = tuning.model_copy(update={"n_trials": 1})
    study, best = tune(optuna.storages.InMemoryStorage(), one_epoch, one)
    model, _ = train_model(TRAIN, best, tuning.seed, VALIDATION)
    found = score_sequences(model, VALIDATION.sequences)
    expected = fit_temperature(found, VALIDATION.codes)
    assert study.best_trial.user_attrs["temperature"] == pytest.approx(expected)


@pytest.mark.slow
def test_a_longer_search_goes_on_and_equals_one_in_a_piece(
    one_epoch: Hyperparameters, tuning: TuningParameters, tmp_path: Path
) -> None:
    three = tuning.model_copy(update={"n_trials": 3})
    piece = optuna.storages.InMemoryStorage()
    tune(piece, one_epoch, three)

    for n_trials in (1, 3, 3):
        storage = OptunaStorageDataset(filepath=str(tmp_path / "study.db")).load()
        some = tuning.model_copy(update={"n_trials": n_trials})
        tune(storage, one_epoch, some)
    assert trials(storage, tuning) == trials(piece, tuning)
    assert len(trials(storage, tuning)) == 3
    assert len({str(parameters) for parameters, _ in trials(piece, tuning)}) == 3


def train_at_once(
    train: EncodedReviews, hyperparameters: Hyperparameters, *_: object, **__: object
) -> tuple[None, dict[str, list[float]]]:
    """Return a value that depends on the hyperparameters, and no network."""
    return None, {"val_accuracy": [1 - abs(hyperparameters.dropout_rate - 0.3)]}


def replace_training(monkeypatch: pytest.MonkeyPatch, train: Any) -> None:
    nodes = "imdb_sentiment.pipelines.tuning.nodes"
    monkeypatch.setattr(f"{nodes}.train_model", train)
    monkeypatch.setattr(f"{nodes}.score_sequences", lambda *_: np.ones((1, 2)))
    monkeypatch.setattr(f"{nodes}.fit_temperature", lambda *_: 1.0)


@pytest.mark.parametrize("is_lost", [False, True])
def test_epochs_are_reported_and_a_lost_trial_ends(
    *,
    is_lost: bool,
    one_epoch: Hyperparameters,
    tuning: TuningParameters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As an epoch callback of training would call it; the slow tier trains networks for this."""

    def train_two_epochs(*arguments: Any, **options: Any) -> Any:
        on_epoch_end = arguments[4]
        on_epoch_end(1, 2, {"loss": 0.7, "val_accuracy": 0.25})
        on_epoch_end(2, 2, {"loss": 0.6, "val_accuracy": 0.5})
        return None, {"val_accuracy": [0.25, 0.5]}

    replace_training(monkeypatch, train_two_epochs)
    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(lower=0.3 if is_lost else 0))
    trial = study.ask()
    data = (TRAIN, VALIDATION, NO_VECTORS)
    if is_lost:
        with pytest.raises(optuna.TrialPruned):
            train_candidate(trial, data, one_epoch, tuning)
    else:
        assert train_candidate(trial, data, one_epoch, tuning) == 0.5
    reported = study.get_trials()[0].intermediate_values
    assert reported == ({0: 0.25} if is_lost else {0: 0.25, 1: 0.5})


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_training(monkeypatch, train_at_once)


@pytest.mark.slow
@pytest.mark.usefixtures("no_training")
def test_a_trial_left_behind_by_a_crash_does_not_sway_the_next(
    one_epoch: Hyperparameters, tuning: TuningParameters
) -> None:
    sixteen = tuning.model_copy(update={"n_trials": 16})
    whole, crashed = optuna.storages.InMemoryStorage(), optuna.storages.InMemoryStorage()
    tune(whole, one_epoch, sixteen)

    # TPE samples at random for ten trials; only later ones depend on earlier ones.
    twelve = tuning.model_copy(update={"n_trials": 12})
    tune(crashed, one_epoch, twelve)
    study = optuna.load_study(study_name=tuning.study_name, storage=crashed)
    study.ask().suggest_float("dropout_rate", 0.2, 0.5)
    tune(crashed, one_epoch, sixteen)
    finished = [trial for trial in trials(crashed, tuning) if trial[1] is not None]
    assert finished == trials(whole, tuning)


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": make_encoded(48, seed=7)}, "another data"),
        ({"evaluation": make_encoded(24, seed=7)}, "another data"),
        ({"space": {"units": {"type": "int", "low": 2, "high": 3}}}, "another search space"),
        ({"fixed": {"epochs": 2}}, "another protocol"),
        ({"evaluate_on": "test"}, "another protocol"),
    ],
)
def test_a_study_of_another_origin_is_refused(
    change: dict[str, Any], message: str, one_epoch: Hyperparameters, tuning: TuningParameters
) -> None:
    storage = optuna.storages.InMemoryStorage()
    one = tuning.model_copy(update={"n_trials": 1})
    tune(storage, one_epoch, one)
    other = one.model_dump()
    other["search_space"] |= change.get("space", {})
    other["evaluate_on"] = change.get("evaluate_on", "validation")
    with pytest.raises(InputError, match=rf"{message}.*tuning\.study_name=NAME"):
        tune_hyperparameters(
            storage,
            change.get("train", TRAIN),
            change.get("evaluation", VALIDATION),
            NO_VECTORS,
            hyperparameters=one_epoch.model_copy(update=change.get("fixed", {})),
            tuning=TuningParameters(**other),
            training=TRAINING,
        )
    assert len(trials(storage, tuning)) == 1


def test_word_vectors_belong_to_the_origin_where_they_are_used(
    one_epoch: Hyperparameters, tuning: TuningParameters
) -> None:
    some, others = np.random.default_rng(0).normal(size=(2, 30, 4)).astype(np.float32)
    one = tuning.model_copy(update={"n_trials": 1})

    def tune_with(storage: optuna.storages.BaseStorage, vectors: Any, *, used: bool) -> None:
        chosen = one_epoch.model_copy(update={"pretrained_embedding": used})
        tune_hyperparameters(
            storage,
            TRAIN,
            VALIDATION,
            vectors,
            hyperparameters=chosen,
            tuning=one,
            training=TRAINING,
        )

    without = optuna.storages.InMemoryStorage()
    tune_with(without, some, used=False)
    tune_with(without, others, used=False)
    used = optuna.storages.InMemoryStorage()
    tune_with(used, some, used=True)
    tune_with(used, some, used=True)
    with pytest.raises(InputError, match="another data"):
        tune_with(used, others, used=True)


@pytest.mark.parametrize(
    ("name", "searched", "message"),
    [
        ("pretrained_embedding", [True, False], "needs word vectors"),
        ("early_stopping_patience", [0, 2], "needs rows that are held out"),
    ],
)
def test_what_can_not_be_trained_is_found_before_any_trial(
    name: str,
    searched: list[Any],
    message: str,
    one_epoch: Hyperparameters,
    tuning: TuningParameters,
) -> None:
    on = one_epoch.model_copy(update={name: searched[0] or searched[1]})
    space = {name: {"type": "categorical", "choices": searched}}
    wide = TuningParameters(**tuning.model_dump() | {"search_space": space})
    for hyperparameters, chosen in ((on, tuning), (one_epoch, wide)):
        storage = optuna.storages.InMemoryStorage()
        with pytest.raises(InputError, match=message):
            tune_hyperparameters(
                storage,
                TRAIN,
                VALIDATION,
                NO_VECTORS,
                hyperparameters=hyperparameters,
                tuning=chosen,
                training=TRAINING.model_copy(update={"use_validation_rows": True}),
            )
        assert storage.get_all_studies() == []


@pytest.mark.slow
def test_every_hyperparameter_can_be_searched(
    one_epoch: Hyperparameters, tuning: TuningParameters
) -> None:
    space = {
        "bidirectional": {"type": "categorical", "choices": [True, False]},
        "lstm_layers": {"type": "int", "low": 1, "high": 2},
        "pooling": {"type": "categorical", "choices": ["last", "max_mean", "attention"]},
        "spatial_dropout_rate": {"type": "float", "low": 0.0, "high": 0.5},
        "recurrent_dropout_rate": {"type": "categorical", "choices": [0.0, 0.2]},
        "gradient_clip_norm": {"type": "float", "low": 0.1, "high": 10.0, "log": True},
        "ema_momentum": {"type": "categorical", "choices": [0.0, 0.9]},
        "early_stopping_patience": {"type": "int", "low": 0, "high": 1},
        "pretrained_embedding": {"type": "categorical", "choices": [True, False]},
    }
    wide = TuningParameters(
        **tuning.model_dump() | {"search_space": space, "n_trials": 4, "sampler": RANDOM}
    )
    vectors = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    study, best = tune_hyperparameters(
        optuna.storages.InMemoryStorage(),
        TRAIN,
        VALIDATION,
        vectors,
        hyperparameters=one_epoch,
        tuning=wide,
        training=TRAINING,
    )
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 4
    assert best.model_dump(include=set(space)) == study.best_params


def test_the_test_set_is_chosen_on_only_when_asked_for(
    tuning: TuningParameters, caplog: pytest.LogCaptureFixture
) -> None:
    test = make_encoded(10, seed=9)
    assert select_evaluation_set(VALIDATION, test, tuning) is VALIDATION
    assert not caplog.records
    on_test = tuning.model_copy(update={"evaluate_on": "test"})
    with caplog.at_level(logging.WARNING):
        assert select_evaluation_set(VALIDATION, test, on_test) is test
    assert "too optimistic" in caplog.text


@pytest.mark.slow
def test_an_epoch_is_reported_and_a_lost_trial_ends_early(
    hyperparameters: Hyperparameters, tuning: TuningParameters
) -> None:
    median = {"name": "MedianPruner", "arguments": {"n_startup_trials": 1}}
    settings = {"n_trials": 6, "pruner": median, "sampler": RANDOM}
    pruning = TuningParameters(**tuning.model_dump() | settings)
    whole = pruning.model_copy(update={"pruner": tuning.pruner})
    slow = hyperparameters.model_copy(update={"learning_rate": 0.003, "epochs": 3})
    studies = [
        tune_hyperparameters(
            optuna.storages.InMemoryStorage(),
            make_encoded(96),
            VALIDATION,
            NO_VECTORS,
            hyperparameters=slow,
            tuning=parameters,
            training=TRAINING,
        )[0]
        for parameters in (pruning, whole)
    ]
    pruned = [trial for trial in studies[0].trials if trial.state == TrialState.PRUNED]
    assert 0 < len(pruned) < 6
    assert min(len(trial.intermediate_values) for trial in pruned) < 3
    for mine, theirs in zip(*(study.trials for study in studies), strict=True):
        assert theirs.state == TrialState.COMPLETE
        assert len(theirs.intermediate_values) == 3
        assert mine.params == theirs.params
        assert mine.intermediate_values.items() <= theirs.intermediate_values.items()


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("sampler", ["TPESampler", "RandomSampler", "CmaEsSampler", "QMCSampler"])
def test_the_sampler_is_a_parameter_and_its_study_reproducible(
    sampler: str, one_epoch: Hyperparameters, tuning: TuningParameters
) -> None:
    settings = {"n_trials": 4, "sampler": {"name": sampler, "arguments": {}}}
    chosen = TuningParameters(**tuning.model_dump() | settings)
    storages = optuna.storages.InMemoryStorage(), optuna.storages.InMemoryStorage()
    for storage in storages:
        tune(storage, one_epoch, chosen)
    assert trials(storages[0], tuning) == trials(storages[1], tuning)
    assert len({str(parameters) for parameters, _ in trials(storages[0], tuning)}) == 4


def test_a_bad_combination_fails_alone(
    one_epoch: Hyperparameters, tuning: TuningParameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train_adam_at_once(
        train: EncodedReviews, hyperparameters: Hyperparameters, *arguments: Any, **options: Any
    ) -> Any:
        if hyperparameters.optimizer == "rmsprop":
            raise RuntimeError("rmsprop ran out of memory")
        return train_at_once(train, hyperparameters)

    replace_training(monkeypatch, train_adam_at_once)
    six = tuning.model_copy(update={"n_trials": 6})
    storage = optuna.storages.InMemoryStorage()
    study, best = tune(storage, one_epoch, six)
    table = tabulate_trials(study)
    failed = table["params_optimizer"] == "rmsprop"
    assert len(table) == 6
    assert 0 < failed.sum() < 6
    assert ((table["state"] == "fail") == failed).all()
    assert set(table.loc[failed, "failure"]) == {"RuntimeError: rmsprop ran out of memory"}
    assert best.optimizer == "adam"


def test_if_all_trials_fail_the_first_reason_is_told(
    one_epoch: Hyperparameters, tuning: TuningParameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr("imdb_sentiment.network.training.build_model", refuse)
    storage = optuna.storages.InMemoryStorage()
    with pytest.raises(InputError, match=r"the first failed with 'RuntimeError: no room'"):
        tune(storage, one_epoch, tuning)
    assert len(trials(storage, tuning)) == tuning.n_trials


def test_trials_become_a_table() -> None:
    def objective(trial: optuna.Trial) -> float:
        units = trial.suggest_int("units", 1, 9)
        for epoch in range(3):
            trial.report(units / 10, epoch)
            if trial.number == 1:
                raise optuna.TrialPruned
        return units / 10

    study = optuna.create_study(direction="maximize")
    study.optimize(objective, n_trials=2)
    table = tabulate_trials(study)
    assert table["state"].tolist() == ["complete", "pruned"]
    assert table["epochs"].tolist() == [3, 1]
    np.testing.assert_allclose(table["params_units"] / 10, table["value"])
    assert (table["seconds"] >= 0).all()


def test_the_pipeline_tunes_without_the_test_set(
    tmp_path: Path, one_epoch: Hyperparameters, tuning: TuningParameters
) -> None:
    one = tuning.model_copy(update={"n_trials": 1})
    results = []
    for number, test in enumerate((make_encoded(10, seed=1), make_encoded(30, seed=2))):
        folder = tmp_path / str(number)
        catalog = DataCatalog(
            {
                "train": MemoryDataset(TRAIN),
                "validation": MemoryDataset(VALIDATION),
                "test": MemoryDataset(test),
                "word_vectors": MemoryDataset(NO_VECTORS),
                "study_storage": OptunaStorageDataset(filepath=str(folder / "study.db")),
                "study": AtomicDataset(
                    filepath=str(folder / "study.pkl"), dataset="pickle.PickleDataset"
                ),
                "params:tuning": MemoryDataset(one),
                "params:training": MemoryDataset(TRAINING),
                "params:hyperparameters": MemoryDataset(one_epoch),
            }
        )
        outputs = SequentialRunner().run(create_pipeline(), catalog)
        table: pd.DataFrame = outputs["trials"].load()
        results.append(table[["value", "params_units", "params_dropout_rate"]])
        assert len(catalog.load("study").trials) == 1
    pd.testing.assert_frame_equal(results[0], results[1])
