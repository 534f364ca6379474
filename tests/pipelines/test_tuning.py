import logging
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from optuna.trial import TrialState

from helpers import base_parameters, make_encoded
from imdb_sentiment.datasets import AtomicDataset, OptunaStorageDataset
from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.logits import to_probabilities
from imdb_sentiment.evaluation.objectives import make_metric
from imdb_sentiment.evaluation.stacking import HeldOutLogits
from imdb_sentiment.network.model import PretrainedWeights, score_logits
from imdb_sentiment.network.training import NetworkTrainer, PseudoLabels, train_model
from imdb_sentiment.parameters import (
    ClassWeight,
    Hyperparameters,
    MetricName,
    PseudoLabelsParameters,
    ReviewsParameters,
    SplitParameters,
    TuningParameters,
)
from imdb_sentiment.pipelines.tuning import create_pipeline
from imdb_sentiment.pipelines.tuning.nodes import (
    HELD_OUT_LOGITS,
    UNLABELLED_LOGITS,
    TrialData,
    assign_folds,
    hold_out_reviews,
    tabulate_trials,
    train_candidate,
    tune_hyperparameters,
)
from imdb_sentiment.pipelines.tuning.protocol import (
    HeldOutSet,
    count_unlabelled,
    pair_reviews,
)
from imdb_sentiment.text.encoded_reviews import EncodedReviews

RANDOM = {"name": "RandomSampler", "arguments": None}
POOL = make_encoded(72)
TRAIN, VALIDATION = POOL.take(np.arange(48)), POOL.take(np.arange(48, 72))
TEST = replace(make_encoded(10, seed=9), rows=np.arange(101, 111))
NO_VECTORS = np.zeros((0, 4), np.float32)
BY_ACCURACY: Any = {
    "metric": make_metric("accuracy", None, TRAIN.labels, are_ordered=False),
    "class_weight": None,
}


@pytest.fixture
def one_epoch(hyperparameters: Hyperparameters) -> Hyperparameters:
    return hyperparameters.model_copy(update={"epochs": 1})


def trials(storage: optuna.storages.BaseStorage, tuning: TuningParameters) -> list[tuple[Any, ...]]:
    study = optuna.load_study(study_name=tuning.study_name, storage=storage)
    return [(trial.params, trial.value) for trial in study.trials]


def tune(
    storage: optuna.storages.BaseStorage,
    hyperparameters: Hyperparameters,
    tuning: TuningParameters,
    held_out_sets: list[HeldOutSet] | None = None,
    *,
    vectors: npt.NDArray[np.float32] = NO_VECTORS,
    pretrained: PretrainedWeights = (),
    pseudo_labels: tuple[PseudoLabels, ...] = (),
    class_weight: ClassWeight = None,
    use_validation_rows: bool = False,
) -> tuple[optuna.Study, Hyperparameters, HeldOutLogits]:
    sets = held_out_sets or [(TRAIN, VALIDATION)]
    return tune_hyperparameters(
        storage,
        sets,
        vectors,
        pretrained_weights=pretrained,
        pseudo_labels=pseudo_labels,
        hyperparameters=hyperparameters,
        tuning=tuning,
        metric=make_metric(tuning.metric, None, sets[0][0].labels, are_ordered=False),
        class_weight=class_weight,
        use_validation_rows=use_validation_rows,
    )


def tune_once(
    hyperparameters: Hyperparameters,
    tuning: TuningParameters,
    held_out_sets: list[HeldOutSet] | None = None,
) -> tuple[optuna.trial.FrozenTrial, Hyperparameters, HeldOutLogits]:
    """Return the only trial of a study."""
    one = tuning.model_copy(update={"n_trials": 1})
    memory = optuna.storages.InMemoryStorage()
    study, best, held_out = tune(memory, hyperparameters, one, held_out_sets)
    return study.best_trial, best, held_out


def log_odds(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the log-odds of the second of two labels, shape (reviews, 1)."""
    return np.log(probabilities[:, 1:] / (1 - probabilities[:, 1:]))


@pytest.mark.usefixtures("no_training")
def test_the_best_trial_is_returned_whole(
    one_epoch: Hyperparameters, tuning: TuningParameters
) -> None:
    storage = optuna.storages.InMemoryStorage()
    study, best, _ = tune(storage, one_epoch, tuning)
    values = [trial.value for trial in study.trials]
    assert len(values) == len(set(values)) == tuning.n_trials
    assert study.best_value == max(value for value in values if value is not None)
    assert best.model_dump() == one_epoch.model_dump() | study.best_params
    for trial in study.trials:
        assert set(trial.params) == set(tuning.search_space)


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("space", [{}, {"units": {"type": "int", "low": 3, "high": 3}}])
def test_without_a_search_there_is_one_trial(
    space: dict[str, Any],
    one_epoch: Hyperparameters,
    tuning: TuningParameters,
    caplog: pytest.LogCaptureFixture,
) -> None:
    alone = TuningParameters(**tuning.model_dump() | {"search_space": space, "n_trials": 3})
    with caplog.at_level("INFO", "imdb_sentiment"):
        study, best, _ = tune(optuna.storages.InMemoryStorage(), one_epoch, alone)
    assert len(study.trials) == 1
    assert best == one_epoch.model_copy(update=dict.fromkeys(space, 3))
    says = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    first, trial, last = says
    assert first == "One trial is run, not 3: nothing is searched"
    assert re.fullmatch(
        r"Trial 0: \d\.\d{4}( with units 3)?, in .* \(1 of 1 trials, best .*\)", trial
    )
    assert re.fullmatch(r"Best of 1 trials: number 0, .* accuracy \d\.\d{4}( with units 3)?", last)


def tune_on_wrong_labels(
    patience: int, hyperparameters: Hyperparameters, tuning: TuningParameters
) -> tuple[float, list[float]]:
    """Return a trial's value and its accuracy after each epoch, which falls as it learns."""
    wrong = replace(VALIDATION, codes=1 - VALIDATION.codes)
    one_point = {"units": {"type": "int", "low": 3, "high": 3}}
    chosen = TuningParameters(**tuning.model_dump() | {"search_space": one_point, "seed": 0})
    slow = hyperparameters.model_copy(
        update={"epochs": 5, "learning_rate": 0.01, "early_stopping_patience": patience}
    )
    trial, _, held_out = tune_once(slow, chosen, [(TRAIN, wrong)])
    assert trial.value is not None
    assert trial.value == ((held_out.logits[:, 0] > 0) == wrong.codes).mean()
    epochs = list(trial.intermediate_values.values())
    assert epochs[-1] < max(epochs) - 0.2
    return trial.value, epochs


def test_a_trial_is_worth_its_last_epoch_and_not_its_best(
    hyperparameters: Hyperparameters, tuning: TuningParameters
) -> None:
    value, epochs = tune_on_wrong_labels(0, hyperparameters, tuning)
    assert len(epochs) == 5
    assert value == pytest.approx(epochs[-1])


@pytest.mark.parametrize(
    ("patience", "n_epochs"), [(2, 3), (9, 5)], ids=["it stops", "it never stops"]
)
def test_with_early_stopping_a_trial_is_worth_its_best_epoch(
    patience: int, n_epochs: int, hyperparameters: Hyperparameters, tuning: TuningParameters
) -> None:
    value, epochs = tune_on_wrong_labels(patience, hyperparameters, tuning)
    assert len(epochs) == n_epochs
    assert value == pytest.approx(max(epochs))


def divide(
    train: EncodedReviews,
    validation: EncodedReviews,
    tuning: TuningParameters,
    split: SplitParameters,
    own_splits: Iterable[str] = (),
    **changes: Any,
) -> list[HeldOutSet]:
    changed = TuningParameters(**tuning.model_dump() | changes).model_dump()
    names = ("folds", "evaluate_on", "seed")
    assigned = assign_folds(
        train,
        validation,
        split,
        {"accepted_by_own_split": dict.fromkeys(own_splits, 100)},
        **{name: changed[name] for name in names},
    )
    return hold_out_reviews(train, validation, TEST, assigned)


def count_labels(reviews: EncodedReviews) -> list[int]:
    return [int((reviews.codes == code).sum()) for code in range(len(reviews.labels))]


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_folds_divide_the_reviews_with_the_same_mix_of_labels(
    folds: int, tuning: TuningParameters, split: SplitParameters
) -> None:
    three = make_encoded(600, n_labels=3)
    rare = np.flatnonzero((three.codes < 2) | (three.rows < 100))  # 33 of the last label
    pool = three.take(np.random.default_rng(0).permutation(rare))
    train, validation = pool.take(np.arange(380)), pool.take(np.arange(380, len(pool)))
    sets = divide(train, validation, tuning, split, folds=folds)
    assert len(sets) == folds
    held_out_rows = [row for _, held_out in sets for row in held_out.rows.tolist()]
    assert sorted(held_out_rows) == sorted(pool.rows.tolist())
    by_row = {
        row: (ids, code)
        for row, ids, code in zip(
            pool.rows.tolist(), pool.sequences.tolist(), pool.codes.tolist(), strict=True
        )
    }
    for learnt, held_out in sets:
        assert set(learnt.rows) == set(pool.rows) - set(held_out.rows)
        for found, expected in zip(count_labels(held_out), count_labels(pool), strict=True):
            assert abs(found - expected / folds) < 1
        for part in (learnt, held_out):
            for row, ids, code in zip(
                part.rows.tolist(), part.sequences.tolist(), part.codes.tolist(), strict=True
            ):
                assert (ids, code) == by_row[row]


def test_folds_depend_on_the_seed_alone(tuning: TuningParameters, split: SplitParameters) -> None:
    first, again, other = (
        [
            held_out.rows.tolist()
            for _, held_out in divide(TRAIN, VALIDATION, tuning, split, folds=3, seed=seed)
        ]
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize(("n_rows", "folds"), [(72, 2), (1049, 2), (1050, 1)])
def test_few_reviews_are_cross_validated(
    n_rows: int, folds: int, tuning: TuningParameters, split: SplitParameters
) -> None:
    assert tuning.folds == "auto"
    pool = make_encoded(n_rows)
    train, validation = pool.take(np.arange(50)), pool.take(np.arange(50, n_rows))
    sets = divide(train, validation, tuning, split)
    assert len(sets) == folds
    assert sum(len(held_out) for _, held_out in sets) == (n_rows if folds > 1 else n_rows - 50)


@pytest.mark.parametrize(
    ("change", "own_splits"),
    [({"group_column": "film"}, ()), ({"method": "column"}, ("train", "validation", "test"))],
    ids=str,
)
@pytest.mark.parametrize("folds", ["auto", 1])
def test_a_single_group_and_named_validation_rows_are_not_cross_validated(
    folds: str | int,
    change: dict[str, Any],
    own_splits: tuple[str, ...],
    tuning: TuningParameters,
    split: SplitParameters,
) -> None:
    related = split.model_copy(update=change)
    ((learnt, held_out),) = divide(TRAIN, VALIDATION, tuning, related, own_splits, folds=folds)
    assert learnt is TRAIN
    assert held_out is VALIDATION


@pytest.mark.parametrize("folds", ["auto", 2])
def test_validation_rows_that_the_table_does_not_name_are_cross_validated(
    folds: str | int, tuning: TuningParameters, split: SplitParameters
) -> None:
    named = split.model_copy(update={"method": "column"})
    found = divide(TRAIN, VALIDATION, tuning, named, ("train", "test"), folds=folds)
    expected = divide(TRAIN, VALIDATION, tuning, split, folds=2)
    for sets in zip(found, expected, strict=True):
        for one, other in zip(*sets, strict=True):
            assert one.rows.tolist() == other.rows.tolist()


@pytest.mark.parametrize("folds", ["auto", 3])
def test_folds_never_divide_a_group(
    folds: str | int, tuning: TuningParameters, split: SplitParameters
) -> None:
    films = np.random.default_rng(0).integers(12, size=len(POOL)).astype(np.uint64)
    train, validation = (replace(part, groups=films[part.rows - 1]) for part in (TRAIN, VALIDATION))
    related = split.model_copy(update={"group_column": "film"})
    sets = divide(train, validation, tuning, related, folds=folds)
    assert len(sets) == (2 if folds == "auto" else 3)
    for learnt, held_out in sets:
        assert not set(learnt.groups) & set(held_out.groups)
        assert set(learnt.rows) | set(held_out.rows) == set(POOL.rows)
        for part in (learnt, held_out):
            assert part.groups.tolist() == films[part.rows - 1].tolist()


def test_folds_of_other_reviews_are_refused() -> None:
    for n in (71, 73):
        with pytest.raises(ValueError, match=rf"{n} folds for 48 \+ 24 reviews"):
            pair_reviews(TRAIN, VALIDATION, np.zeros(n, np.int32))


def test_a_label_needs_a_row_for_every_fold(
    tuning: TuningParameters, split: SplitParameters
) -> None:
    few = POOL.take(np.flatnonzero((POOL.codes == 0) | (POOL.rows <= 8)))
    assert count_labels(few) == [36, 4]
    train, validation = few.take(np.arange(9)), few.take(np.arange(9, len(few)))
    for _, held_out in divide(train, validation, tuning, split, folds=4):
        assert count_labels(held_out) == [9, 1]
    with pytest.raises(InputError, match=r"tuning\.folds is 5, but only 4 .* have 'positive'"):
        divide(train, validation, tuning, split, folds=5)


def test_the_test_set_is_chosen_on_only_when_asked_for(
    tuning: TuningParameters, split: SplitParameters, caplog: pytest.LogCaptureFixture
) -> None:
    rows = {row for pair in divide(TRAIN, VALIDATION, tuning, split) for row in pair[0].rows}
    assert rows == set(POOL.rows)
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        sets = divide(TRAIN, VALIDATION, tuning, split, evaluate_on="test", folds="auto")
    ((learnt, held_out),) = sets
    assert learnt is TRAIN
    assert held_out is TEST
    assert "too optimistic" in caplog.text


def test_a_label_in_one_group_is_named_even_if_another_has_fewer_rows(
    tuning: TuningParameters, split: SplitParameters
) -> None:
    by_film = split.model_copy(update={"group_column": "film"})
    pool = POOL.take(np.flatnonzero((POOL.codes == 0) | (POOL.rows <= 8)))
    groups = np.where(pool.codes == 0, 99, pool.rows).astype(np.uint64)  # 36 rows in one group
    few = replace(pool, groups=groups)
    train, validation = few.take(np.arange(9)), few.take(np.arange(9, len(few)))
    with pytest.raises(InputError, match="only 1 of 5 groups have 'negative', and a fold of whole"):
        divide(train, validation, tuning, by_film, folds=2)


def test_folds_of_whole_groups_need_as_many_groups(
    tuning: TuningParameters, split: SplitParameters
) -> None:
    by_film = split.model_copy(update={"group_column": "film"})
    few = replace(POOL, groups=(POOL.rows % 3).astype(np.uint64))
    train, validation = few.take(np.arange(9)), few.take(np.arange(9, len(few)))
    with pytest.raises(InputError, match="folds is 4, but there are only 3 groups: set it to a sm"):
        divide(train, validation, tuning, by_film, folds=4)


@pytest.mark.slow
@pytest.mark.parametrize("patience", [0, 1])
def test_each_fold_is_scored_by_a_network_that_has_learnt_from_the_others(
    patience: int,
    hyperparameters: Hyperparameters,
    tuning: TuningParameters,
    split: SplitParameters,
) -> None:
    chosen = hyperparameters.model_copy(
        update={"learning_rate": 0.05, "early_stopping_patience": patience}
    )
    sets = divide(TRAIN, VALIDATION, tuning, split, folds=2)
    trial, best, held_out = tune_once(chosen, tuning, sets)
    expected: dict[int, float] = {}
    hits: list[bool] = []
    for learnt, other in sets:
        model, _ = train_model(learnt, best, tuning.seed, other)
        scores = to_probabilities(score_logits(model, other.sequences))
        expected |= dict(zip(other.rows.tolist(), log_odds(scores)[:, 0], strict=True))
        hits += (scores.argmax(axis=1) == other.codes).tolist()
    assert len(hits) == len(POOL)
    assert trial.value == np.mean(hits)
    assert sorted(held_out.rows) == sorted(POOL.rows)
    assert held_out.logits.dtype == np.float64
    logits = np.array([expected[row] for row in held_out.rows.tolist()])
    np.testing.assert_allclose(held_out.logits[:, 0], logits, rtol=1e-3)
    # After each fold, the accuracy on all reviews that have been scored so far.
    assert trial.intermediate_values == {0: np.mean(hits[: len(sets[0][1])]), 1: trial.value}


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
) -> tuple[Hyperparameters, dict[str, list[float]]]:
    """Return the hyperparameters in place of a network."""
    return hyperparameters, {}


def score_at_once(
    hyperparameters: Hyperparameters, sequences: npt.NDArray[np.unsignedinteger]
) -> npt.NDArray[np.float64]:
    """Return logits for right and wrong labels, as many as the hyperparameters deserve."""
    codes = sequences[:, -1].astype(np.intp) - 20
    accuracy = 1 - abs(hyperparameters.dropout_rate - 0.3)
    is_right = np.arange(len(codes)) < accuracy * len(codes)
    return np.where(is_right == codes.astype(bool), 5.0, -5.0)[:, np.newaxis]


def replace_training(
    monkeypatch: pytest.MonkeyPatch, train: Any, score: Any = score_at_once
) -> None:
    """Let trials call functions with the arguments of `train_model` and `score_logits` instead."""

    class Trainer:
        def __init__(self, hyperparameters: Hyperparameters, **options: Any) -> None:
            self._hyperparameters, self._options = hyperparameters, options

        def train(self, reviews: EncodedReviews, *arguments: Any, **options: Any) -> Any:
            _, history = train(
                reviews, self._hyperparameters, *arguments, **self._options, **options
            )
            return history

        def score_logits(self, sequences: npt.NDArray[np.unsignedinteger]) -> Any:
            return score(self._hyperparameters, sequences)

    monkeypatch.setattr("imdb_sentiment.pipelines.tuning.nodes.NetworkTrainer", Trainer)


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
        return train_at_once(arguments[0], arguments[1])

    replace_training(monkeypatch, train_two_epochs)
    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(lower=0.3 if is_lost else 0))
    trial = study.ask()
    data = TrialData([(TRAIN, VALIDATION)], NO_VECTORS)
    if is_lost:
        with pytest.raises(optuna.TrialPruned, match="after epoch 1"):
            train_candidate(trial, data, one_epoch, tuning, **BY_ACCURACY)
    else:
        assert (
            train_candidate(trial, data, one_epoch, tuning, **BY_ACCURACY) == 1
        )  # of the scores, not an epoch
    reported = study.get_trials()[0].intermediate_values
    assert reported == ({0: 0.25} if is_lost else {0: 0.25, 1: 0.5})


@pytest.mark.parametrize("patience", [0, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("metric", "factor"),
    [
        ("f1_macro", 1.0),
        pytest.param("log_loss", 1.0, marks=pytest.mark.slow),
        pytest.param("log_loss", 4.0, marks=pytest.mark.slow),
    ],
)
def test_trials_are_valued_by_the_metric(
    metric: MetricName,
    factor: float,
    patience: int,
    hyperparameters: Hyperparameters,
    tuning: TuningParameters,
) -> None:
    """A rare label, which f1_macro counts like the others; log_loss is minimised."""
    learnt, held_out = TRAIN.take(np.r_[0:40:2, 1:9:2]), VALIDATION
    chosen = hyperparameters.model_copy(update={"epochs": 3, "early_stopping_patience": patience})
    by_metric = tuning.model_copy(update={"metric": metric, "n_trials": 2})
    memory = optuna.storages.InMemoryStorage()
    study, _, logits = tune(
        memory, chosen, by_metric, [(learnt, held_out)], class_weight={"positive": factor}
    )
    probabilities = to_probabilities(logits.logits - np.log(factor))  # as after the calibration
    values = [trial.value or 0 for trial in study.trials]
    if metric == "log_loss":
        expected = -np.log(probabilities[np.arange(len(held_out)), held_out.codes]).mean()
        assert study.best_value == min(values)
    else:
        predicted = probabilities.argmax(axis=1)
        f1s = []
        for code in (0, 1):
            hits = ((held_out.codes == code) & (predicted == code)).sum()
            n = (held_out.codes == code).sum() + (predicted == code).sum()
            f1s.append(2 * hits / n)
        expected = np.mean(f1s)
        assert study.best_value == max(values)
    assert study.best_value == pytest.approx(expected, abs=1e-3)  # logits are stored as float16
    reported = list(study.best_trial.intermediate_values.values())
    choose = min if metric == "log_loss" else max
    kept = choose(reported) if patience else reported[-1]
    assert study.best_value == pytest.approx(kept, abs=1e-6)
    title = study.user_attrs["protocol"]["metric"]
    assert title == {"f1_macro": "macro F1", "log_loss": "log loss"}[metric]


@pytest.mark.slow
def test_weights_of_labels_reach_every_trial(
    one_epoch: Hyperparameters,
    tuning: TuningParameters,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    given = []

    class Trainer(NetworkTrainer):
        def train(self, train: EncodedReviews, *args: Any, **kwargs: Any) -> Any:
            given.append((train, kwargs["label_weights"]))
            return super().train(train, *args, **kwargs)

    monkeypatch.setattr("imdb_sentiment.pipelines.tuning.nodes.NetworkTrainer", Trainer)
    learnt = TRAIN.take(np.r_[0:40:2, 1:9:2])  # 20 and 4 reviews
    storage = optuna.storages.InMemoryStorage()
    one = tuning.model_copy(update={"n_trials": 1})
    tune(storage, one_epoch, one, [(learnt, VALIDATION)], class_weight="balanced")
    ((reviews, weights),) = given
    assert reviews is learnt
    np.testing.assert_allclose(weights, [24 / 2 / 20, 24 / 2 / 4])
    tune(storage, one_epoch, one, [(learnt, VALIDATION)])
    assert "differ (class_weight: balanced there, none here)" in caplog.text
    assert len(given) == 2  # the second one in a study of its own
    # As YAML has them: Kedro gives a node that reads a single parameter no validated value.
    caplog.clear()
    as_read: list[Any] = [{"negative": 5}, {"negative": 5.0}]
    studies = [tune(storage, one_epoch, one, class_weight=weights)[0] for weights in as_read]
    assert studies[0].trials == studies[1].trials
    assert caplog.text.count("This run uses the study") == 2  # as neither is the first one
    with pytest.raises(InputError, match="names the label 'awful'"):
        tune(storage, one_epoch, one, class_weight={"awful": 2.0})


def test_a_lost_trial_ends_after_a_fold(
    one_epoch: Hyperparameters,
    tuning: TuningParameters,
    split: SplitParameters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained = []

    def train_one_epoch(*arguments: Any, **options: Any) -> Any:
        trained.append(arguments[0])
        arguments[4](1, 1, {"loss": 0.7})
        return train_at_once(arguments[0], arguments[1])

    replace_training(monkeypatch, train_one_epoch)
    poor = one_epoch.model_copy(update={"dropout_rate": 0.8})
    sets = divide(TRAIN, VALIDATION, tuning, split, folds=3)
    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(lower=0.6))
    with pytest.raises(optuna.TrialPruned, match="after fold 1"):
        train_candidate(study.ask(), TrialData(sets, NO_VECTORS), poor, tuning, **BY_ACCURACY)
    assert study.get_trials()[0].intermediate_values == {0: 0.5}
    assert trained == [sets[0][0]]
    good = one_epoch.model_copy(update={"dropout_rate": 0.3})
    assert (
        train_candidate(study.ask(), TrialData(sets, NO_VECTORS), good, tuning, **BY_ACCURACY) == 1
    )
    assert study.get_trials()[1].intermediate_values == {0: 1, 1: 1, 2: 1}
    # After the last fold, there is nothing left to save.
    late = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(lower=2, n_warmup_steps=2))
    assert (
        train_candidate(late.ask(), TrialData(sets, NO_VECTORS), good, tuning, **BY_ACCURACY) == 1
    )


@pytest.mark.parametrize(
    ("n_labels", "n_rows", "stored"),
    [(2, 5000, 5000), (2, 12_001, 5000), (8, 6000, 5000), (150, 1000, 1000), (201, 1500, 995)],
)
def test_the_logits_of_many_reviews_are_those_of_some_of_them(
    *,
    n_labels: int,
    n_rows: int,
    stored: int,
    one_epoch: Hyperparameters,
    tuning: TuningParameters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def score(_: object, sequences: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.float64]:
        outputs = 1 if n_labels == 2 else n_labels
        weights = np.random.default_rng(0).normal(size=(sequences.shape[1], outputs))
        return np.asarray(sequences @ weights / 10)

    replace_training(monkeypatch, train_at_once, score)

    encoded = make_encoded(n_rows, seed=3)
    names = tuple(f"label {code}" for code in range(n_labels))
    rows = np.random.default_rng(1).permutation(n_rows) + 7
    held_out_set = replace(encoded, labels=names, rows=rows)
    learnt = replace(TRAIN, labels=names)
    trial, _, held_out = tune_once(one_epoch, tuning, [(learnt, held_out_set)])

    # MySQL, the tightest of the databases, has room for 65,535 bytes.
    sizes = [
        len(value) for name, value in trial.user_attrs.items() if name.startswith(HELD_OUT_LOGITS)
    ]
    assert max(sizes) < 65_000
    assert len(held_out) == stored
    positions = {row: position for position, row in enumerate(rows.tolist())}
    chosen = [positions[row] for row in held_out.rows.tolist()]
    gaps = np.diff(chosen)
    assert gaps.min() >= 1  # each once, in their order
    assert gaps.max() <= np.ceil(n_rows / stored)  # from all parts of the set
    assert (chosen[0], chosen[-1]) == (0, n_rows - 1)
    expected = score(None, held_out_set.sequences[chosen])
    assert len(np.unique(expected.round(3))) > 1000
    np.testing.assert_allclose(held_out.logits, expected, rtol=1e-3, atol=1e-6)


def test_logits_of_a_study_that_stored_fewer_are_still_read(
    one_epoch: Hyperparameters, tuning: TuningParameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, a trial had a single attribute of 20,000 numbers, 99 rows for 201 labels."""

    def score(_: object, sequences: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.float64]:
        return np.tile(np.arange(len(sequences))[:, np.newaxis], 201)

    replace_training(monkeypatch, train_at_once, score)

    names = tuple(f"label {code}" for code in range(201))
    sets = [(replace(TRAIN, labels=names), replace(make_encoded(1500), labels=names))]
    one, storage = tuning.model_copy(update={"n_trials": 1}), optuna.storages.InMemoryStorage()
    with monkeypatch.context() as earlier:
        earlier.setattr("imdb_sentiment.pipelines.tuning.protocol.MAX_STORED_NUMBERS", 20_000)
        study, _, _ = tune(storage, one_epoch, one, sets)
    assert HELD_OUT_LOGITS in study.best_trial.user_attrs
    assert f"{HELD_OUT_LOGITS}_1" not in study.best_trial.user_attrs
    _, _, held_out = tune(storage, one_epoch, one, sets)
    chosen = np.linspace(0, 1499, 99).round().astype(int)
    np.testing.assert_array_equal(held_out.rows, sets[0][1].rows[chosen])
    np.testing.assert_allclose(held_out.logits[:, 0], chosen, rtol=1e-3)


@pytest.mark.parametrize("folds", [1, 2])
@pytest.mark.parametrize("metric", ["accuracy", pytest.param("log_loss", marks=pytest.mark.slow)])
def test_a_trial_that_may_be_the_best_keeps_what_it_predicts_for_unlabelled_reviews(
    *,
    metric: MetricName,
    folds: int,
    one_epoch: Hyperparameters,
    tuning: TuningParameters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    n = 15_000  # so two attributes for two folds
    unlabelled = np.arange(n) + 1
    tokens = unlabelled.reshape(-1, 1).astype(np.uint16)
    calls: list[int] = []

    def score(
        candidate: Hyperparameters, sequences: npt.NDArray[np.unsignedinteger]
    ) -> npt.NDArray[np.float64]:
        if len(sequences) != n:
            return score_at_once(candidate, sequences)
        calls.append(len(calls))
        fold = calls[-1] % folds
        return candidate.dropout_rate + fold + np.asarray(sequences[:, :1] / n, np.float64)

    replace_training(monkeypatch, train_at_once, score)
    monkeypatch.setattr("imdb_sentiment.pipelines.tuning.nodes.MIN_HELD_OUT_ROWS", len(VALIDATION))
    labels = PseudoLabels(tokens, np.full((n, 2), 0.5, np.float32), unlabelled)
    chosen = tuning.model_copy(update={"n_trials": 8, "metric": metric})
    sets = folds * [(TRAIN, VALIDATION)]
    study, _, held_out = tune(
        optuna.storages.InMemoryStorage(),
        one_epoch,
        chosen,
        sets,
        pseudo_labels=tuple((len(sets) + 1) * [labels]),
    )
    values = [trial.value or 0 for trial in study.trials]
    choose = min if metric == "log_loss" else max
    keeps = [UNLABELLED_LOGITS in trial.user_attrs for trial in study.trials]
    assert keeps == [value == choose(values[: k + 1]) for k, value in enumerate(values)]
    assert 1 < sum(keeps) < 8
    assert len(calls) == (sum(keeps) if folds == 1 else 8 * folds)
    rate = study.best_params["dropout_rate"]
    expected = [rate + fold + unlabelled[:, np.newaxis] / n for fold in range(folds)]
    np.testing.assert_allclose(held_out.unlabelled, expected, rtol=1e-3)


@pytest.mark.parametrize("reason", ["test", "few", "many"])
def test_unlabelled_reviews_are_not_scored_in_vain(
    reason: str,
    one_epoch: Hyperparameters,
    tuning: TuningParameters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There are too few held-out reviews to compare what n-grams learn, or many labelled ones."""
    replace_training(monkeypatch, train_at_once)
    n, n_held_out = len(TRAIN) + len(VALIDATION), len(VALIDATION)
    nodes = "imdb_sentiment.pipelines.tuning.nodes"
    monkeypatch.setattr(f"{nodes}.MIN_HELD_OUT_ROWS", n_held_out + (1 if reason == "few" else 0))
    monkeypatch.setattr(f"{nodes}.MAX_LABELLED_ROWS", n - (1 if reason == "many" else 0))
    labels = PseudoLabels(TRAIN.sequences, np.full((len(TRAIN), 2), 0.5, np.float32), TRAIN.rows)
    chosen = tuning.model_copy(update={"evaluate_on": "test"} if reason == "test" else {})
    storage = optuna.storages.InMemoryStorage()
    study, _, held_out = tune(storage, one_epoch, chosen, pseudo_labels=(labels, labels))
    assert held_out.unlabelled == ()
    assert not any(UNLABELLED_LOGITS in trial.user_attrs for trial in study.trials)


def test_of_very_many_unlabelled_reviews_some_are_scored() -> None:
    assert count_unlabelled(9, outputs=1, folds=2) == 9
    assert count_unlabelled(100_000, outputs=1, folds=2) == 50_000
    assert count_unlabelled(90_000, outputs=77, folds=2) == 2597


@pytest.mark.parametrize(("largest", "stored"), [(60_000.0, 60_000.0), (1e30, 65_504.0)])
def test_logits_are_stored_as_far_as_float16_reaches(
    *,
    largest: float,
    stored: float,
    one_epoch: Hyperparameters,
    tuning: TuningParameters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def score(_: object, sequences: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.float64]:
        return np.where(np.arange(len(sequences)) == 1, -largest, 40.0)[:, np.newaxis]

    replace_training(monkeypatch, train_at_once, score)
    trial, _, held_out = tune_once(one_epoch, tuning)
    assert trial.state == TrialState.COMPLETE
    assert set(held_out.logits[:, 0]) == {40, -stored}


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_a_trial_whose_network_diverges_has_failed(
    metric: str, one_epoch: Hyperparameters, tuning: TuningParameters
) -> None:
    steep = one_epoch.model_copy(update={"learning_rate": 1e38, "epochs": 2})
    scored = TuningParameters(**tuning.model_dump() | {"metric": metric})
    says = "no trial of the study .* completed: the first failed with .*network has diverged: lower"
    with pytest.raises(InputError, match=says):
        tune_once(steep, scored)


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


@pytest.mark.slow
@pytest.mark.usefixtures("no_training")
def test_every_second_trial_is_the_next_best_of_an_earlier_study(
    one_epoch: Hyperparameters, tuning: TuningParameters, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    storage = optuna.storages.InMemoryStorage()
    four = tuning.model_copy(update={"n_trials": 4})
    before, *_ = tune(storage, one_epoch, four)
    more_rows = [(make_encoded(60, seed=7), VALIDATION)]
    following = four.model_copy(update={"start_from": tuning.study_name})
    after, *_ = tune(storage, one_epoch, following, more_rows)
    ranked = sorted(before.trials, key=lambda trial: trial.value or 0, reverse=True)
    tried = [trial.params for trial in after.trials]
    assert tried[::2] == [trial.params for trial in ranked[:2]]
    assert all(trial.params not in tried[1::2] for trial in before.trials)  # nothing twice
    assert after.study_name == f"{tuning.study_name} 2"
    assert "4 of its trials are in the search space" in caplog.text
    with pytest.raises(InputError, match=r"tuning\.start_from names the study of this run"):
        tune(storage, one_epoch, four.model_copy(update={"start_from": tuning.study_name}))
    unknown = four.model_copy(update={"study_name": "even more", "start_from": "none"})
    with pytest.raises(InputError, match=r"no study 'none', which tuning\.start_from names: set"):
        tune(storage, one_epoch, unknown, more_rows)


@pytest.mark.slow
@pytest.mark.usefixtures("no_training")
def test_an_increased_study_skips_no_trial_of_the_earlier_one(
    one_epoch: Hyperparameters, tuning: TuningParameters
) -> None:
    storage = optuna.storages.InMemoryStorage()
    tune(storage, one_epoch, tuning.model_copy(update={"n_trials": 6}))

    def search(name: str, n_trials: int) -> list[tuple[Any, ...]]:
        update = {"study_name": name, "start_from": tuning.study_name, "n_trials": n_trials}
        following = tuning.model_copy(update=update)
        tune(storage, one_epoch, following)
        return trials(storage, following)

    search("increased", 2)
    search("increased", 5)
    increased = search("increased", 8)
    assert increased == search("in one piece", 8)


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(("warmup", "told"), [(0, False), (1, True), (0.5, True)])
def test_a_pruner_that_waits_for_the_last_fold_is_told(
    warmup: float,
    told: bool,
    one_epoch: Hyperparameters,
    tuning: TuningParameters,
    caplog: pytest.LogCaptureFixture,
) -> None:
    median = {"name": "MedianPruner", "arguments": {"n_warmup_steps": warmup}}
    pruned = TuningParameters(**tuning.model_dump() | {"pruner": median})
    with caplog.at_level("INFO", "imdb_sentiment"):
        tune_once(one_epoch, pruned, [(TRAIN, VALIDATION), (VALIDATION, TRAIN)])
    words = f"no trial is pruned: tuning.pruner.arguments.n_warmup_steps is {warmup}, and may be 0"
    assert (words in caplog.text) == told


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learnt": make_encoded(48, seed=7)}, "the data of the study"),
        ({"held_out": make_encoded(24, seed=7)}, "the data of the study"),
        (
            {"space": {"units": {"type": "int", "low": 2, "high": 3}}},
            "the search space of the study",
        ),
        ({"fixed": {"epochs": 2}}, "the protocol of the study"),
        ({"evaluate_on": "test"}, "the protocol of the study"),
        ({"seed": 5}, "the protocol of the study"),
        ({"metric": "log_loss"}, "the protocol of the study"),
        ({"folds": 2}, r"the protocol of the study .* differ \(folds: 1 there, 2 here\)"),
    ],
)
def test_trials_of_another_origin_have_a_study_of_their_own(
    *,
    change: dict[str, Any],
    message: str,
    one_epoch: Hyperparameters,
    tuning: TuningParameters,
    split: SplitParameters,
    caplog: pytest.LogCaptureFixture,
) -> None:
    storage = optuna.storages.InMemoryStorage()
    one = tuning.model_copy(update={"n_trials": 1})
    first, *_ = tune(storage, one_epoch, one)
    other = one.model_dump()
    other["search_space"] |= change.get("space", {})
    other |= {name: change[name] for name in ("evaluate_on", "metric", "seed") if name in change}
    fixed = one_epoch.model_copy(update=change.get("fixed", {}))
    sets = [(change.get("learnt", TRAIN), change.get("held_out", VALIDATION))]
    if "folds" in change:
        sets = divide(TRAIN, VALIDATION, tuning, split, folds=change["folds"])
    caplog.set_level("INFO")
    for _ in range(2):  # the second time, it has a trial
        second, *_ = tune(storage, fixed, TuningParameters(**other), sets)
        assert second.study_name == f"{tuning.study_name} 2"
        assert len(second.trials) == 1
        assert re.search(f"uses the study '.* 2': {message}", caplog.text)
    again, *_ = tune(storage, one_epoch, one)
    assert again.study_name == first.study_name == tuning.study_name
    assert len(again.trials) == 1


@pytest.mark.usefixtures("no_training")
def test_word_vectors_belong_to_the_origin_where_they_are_used(
    one_epoch: Hyperparameters, tuning: TuningParameters
) -> None:
    some, others = np.random.default_rng(0).normal(size=(2, 30, 4)).astype(np.float32)
    one = tuning.model_copy(update={"n_trials": 1})

    def tune_with(storage: optuna.storages.BaseStorage, vectors: Any, *, used: bool) -> None:
        chosen = one_epoch.model_copy(update={"pretrained_embedding": used})
        tune(storage, chosen, one, vectors=vectors)

    without = optuna.storages.InMemoryStorage()
    tune_with(without, some, used=False)
    tune_with(without, others, used=False)
    used = optuna.storages.InMemoryStorage()
    tune_with(used, some, used=True)
    tune_with(used, some, used=True)
    assert len(optuna.get_all_study_names(used)) == 1
    tune_with(used, others, used=True)
    assert len(optuna.get_all_study_names(used)) == 2


def make_pretrained(units: int = 3, width: int = 4) -> list[npt.NDArray[np.float32]]:
    """Return weights like those of `pretrain_lstm`, of an LSTM in one direction."""
    shapes = [(30, width), (width, 4 * units), (units, 4 * units), (4 * units,)]
    rng = np.random.default_rng(units)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def test_trials_start_from_the_pretrained_weights(
    one_epoch: Hyperparameters, tuning: TuningParameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[Any] = []

    def train(*arguments: Any, **options: Any) -> Any:
        starts.append(options["pretrained"])
        return train_at_once(*arguments[:2])

    replace_training(monkeypatch, train)
    storage = optuna.storages.InMemoryStorage()
    space = {"dropout_rate": {"type": "float", "low": 0.2, "high": 0.5}}
    one = TuningParameters(**tuning.model_dump() | {"n_trials": 1, "search_space": space})
    chosen = one_epoch.model_copy(update={"pretrained_embedding": True, "units": 3})
    pretrained = make_pretrained()
    tune(storage, chosen, one, pretrained=pretrained)
    assert starts == [pretrained]
    tune(storage, chosen, one, pretrained=pretrained)
    assert len(starts) == 1
    tune(storage, chosen, one, pretrained=[2 * weights for weights in pretrained])
    assert len(starts) == 2  # in a study of its own


@pytest.mark.parametrize(
    ("change", "searched", "message"),
    [
        ({}, ["units"], "can't have units, which the pretrained LSTM determines"),
        ({"units": 4}, [], "another size or another number of directions"),
        ({"bidirectional": True}, [], "another size or another number of directions"),
        ({"pretrained_embedding": False, "units": 4}, ["units"], None),  # not used
    ],
)
@pytest.mark.usefixtures("no_training")
def test_an_lstm_of_another_shape_than_the_pretrained_one_is_refused_before_any_trial(
    change: dict[str, Any],
    searched: list[str],
    message: str | None,
    one_epoch: Hyperparameters,
    tuning: TuningParameters,
) -> None:
    space = {name: {"type": "int", "low": 3, "high": 4} for name in searched}
    one = TuningParameters(**tuning.model_dump() | {"n_trials": 1, "search_space": space})
    settings = {"pretrained_embedding": True, "units": 3} | change
    chosen = one_epoch.model_copy(update=settings)
    storage = optuna.storages.InMemoryStorage()
    if message is None:
        tune(storage, chosen, one, pretrained=make_pretrained())
        return
    with pytest.raises(InputError, match=message):
        tune(storage, chosen, one, pretrained=make_pretrained())
    assert storage.get_all_studies() == []


def test_a_search_over_epochs_without_effect_is_refused_before_any_trial(
    hyperparameters: Hyperparameters, tuning: TuningParameters
) -> None:
    space = {"epochs": {"type": "int", "low": 1, "high": 3}}
    searching = TuningParameters(**tuning.model_dump() | {"search_space": space})
    many = hyperparameters.model_copy(update={"min_steps": 1000})
    storage = optuna.storages.InMemoryStorage()
    with pytest.raises(
        InputError, match="has epochs, which has no effect in any trial: 1000 steps"
    ):
        tune(storage, many, searching)
    assert storage.get_all_studies() == []


@pytest.mark.parametrize(
    ("name", "low", "other", "unused", "used"),
    [
        ("embedding_size", 2, "pretrained_embedding", True, False),
        ("naive_bayes_scale", 2, "pretrained_embedding", False, True),
        ("initial_length_fraction", 1, "early_stopping_patience", 2, 0),
    ],
)
@pytest.mark.usefixtures("no_training")
def test_a_hyperparameter_without_effect_is_not_searched(
    *,
    name: str,
    low: int,
    other: str,
    unused: Any,
    used: Any,
    one_epoch: Hyperparameters,
    tuning: TuningParameters,
) -> None:
    vectors = np.ones((30, 4), np.float32)

    def search(value: Any, **space: list[Any]) -> None:
        choices = {key: {"type": "categorical", "choices": found} for key, found in space.items()}
        one = TuningParameters(**tuning.model_dump() | {"n_trials": 1, "search_space": choices})
        settings = one_epoch.model_copy(update={other: value})
        tune(optuna.storages.InMemoryStorage(), settings, one, vectors=vectors)

    found = rf"search_space has {name}, .* {other} is {'on' if unused else 'off'}: set .* to null"
    with pytest.raises(InputError, match=found):
        search(unused, **{name: [low]})
    with pytest.raises(InputError, match=found):
        search(used, **{name: [low], other: [unused]})
    search(used, **{name: [low]})
    search(unused, **{name: [low], other: [unused, used]})


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
            tune(
                storage,
                hyperparameters,
                chosen,
                use_validation_rows=True,
            )
        assert storage.get_all_studies() == []


@pytest.mark.slow
def test_every_hyperparameter_can_be_searched(
    one_epoch: Hyperparameters, tuning: TuningParameters
) -> None:
    space = {
        "bidirectional": {"type": "categorical", "choices": [True, False]},
        "lstm_layers": {"type": "int", "low": 1, "high": 2},
        "pooling": {"type": "categorical", "choices": ["last", "mean", "max_mean"]},
        "spatial_dropout_rate": {"type": "float", "low": 0.0, "high": 0.5},
        "chrono_initialization": {"type": "int", "low": 0, "high": 9},
        "naive_bayes_scale": {"type": "categorical", "choices": [0.0, 1.0]},
        "initial_length_fraction": {"type": "float", "low": 0.25, "high": 1.0},
        "early_stopping_patience": {"type": "int", "low": 0, "high": 1},
        "batch_size": {"type": "int", "low": 16, "high": 32},
        "pretrained_embedding": {"type": "categorical", "choices": [True, False]},
    }
    wide = TuningParameters(
        **tuning.model_dump() | {"search_space": space, "n_trials": 3, "sampler": RANDOM}
    )
    vectors = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    study, best, _ = tune(optuna.storages.InMemoryStorage(), one_epoch, wide, vectors=vectors)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 3
    assert best.model_dump(include=set(space)) == study.best_params


@pytest.mark.slow
def test_an_epoch_is_reported_and_a_lost_trial_ends_early(
    hyperparameters: Hyperparameters, tuning: TuningParameters
) -> None:
    median = {"name": "MedianPruner", "arguments": {"n_startup_trials": 1}}
    settings = {"n_trials": 4, "pruner": median, "sampler": RANDOM}
    pruning = TuningParameters(**tuning.model_dump() | settings)
    whole = pruning.model_copy(update={"pruner": tuning.pruner})
    slow = hyperparameters.model_copy(update={"learning_rate": 0.003, "epochs": 3})
    sets = [(make_encoded(96), make_encoded(24, seed=5))]
    studies = [
        tune(optuna.storages.InMemoryStorage(), slow, parameters, sets)[0]
        for parameters in (pruning, whole)
    ]
    pruned = [trial for trial in studies[0].trials if trial.state == TrialState.PRUNED]
    assert 0 < len(pruned) < 4
    assert min(len(trial.intermediate_values) for trial in pruned) < 3
    for mine, theirs in zip(*(study.trials for study in studies), strict=True):
        assert theirs.state == TrialState.COMPLETE
        assert len(theirs.intermediate_values) == 3
        assert mine.params == theirs.params
        assert mine.intermediate_values.items() <= theirs.intermediate_values.items()


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    "sampler",
    [
        "TPESampler",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("RandomSampler", "CmaEsSampler", "QMCSampler")
        ),
    ],
)
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


@pytest.mark.usefixtures("no_training")
def test_the_trials_draw_from_one_quasi_random_sequence(
    one_epoch: Hyperparameters, tuning: TuningParameters
) -> None:
    settings = {"n_trials": 5, "sampler": {"name": "QMCSampler", "arguments": {"scramble": True}}}
    storage = optuna.storages.InMemoryStorage()
    tune(storage, one_epoch, TuningParameters(**tuning.model_dump() | settings))
    attributes = storage.get_study_system_attrs(storage.get_study_id_from_name(tuning.study_name))
    (drawn,) = (value for name, value in attributes.items() if name.startswith("qmc"))
    assert drawn > 1


@pytest.mark.usefixtures("no_training")
def test_if_no_trial_was_begun_in_time_the_run_says_so(
    one_epoch: Hyperparameters, tuning: TuningParameters
) -> None:
    late = tuning.model_copy(update={"timeout": 1e-9})
    with pytest.raises(InputError, match=r"has ended: raise tuning\.timeout"):
        tune(optuna.storages.InMemoryStorage(), one_epoch, late)


def test_a_fold_without_a_label_is_not_a_reason_to_prune(
    one_epoch: Hyperparameters, monkeypatch: pytest.MonkeyPatch, tuning: TuningParameters
) -> None:
    """Its ROC AUC is not defined."""
    replace_training(monkeypatch, lambda *arguments, **_: train_at_once(*arguments[:2]))
    alike = POOL.take(np.flatnonzero(POOL.codes == 0))
    sets = [(POOL, alike), (POOL, POOL)]
    pruner = {"name": "MedianPruner", "arguments": {"n_startup_trials": 0}}
    changes = {"metric": "roc_auc", "pruner": pruner, "n_trials": 3}
    chosen = TuningParameters(**tuning.model_dump() | changes)
    study, *_ = tune(optuna.storages.InMemoryStorage(), one_epoch, chosen, sets)
    assert {trial.state for trial in study.trials} == {TrialState.COMPLETE}
    assert [list(trial.intermediate_values) for trial in study.trials] == [[1]] * 3
    assert tabulate_trials(study)["folds"].tolist() == [2] * 3


def test_a_bad_combination_fails_alone(
    one_epoch: Hyperparameters,
    tuning: TuningParameters,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
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
    with caplog.at_level("INFO", "imdb_sentiment"):
        study, best, _ = tune(storage, one_epoch, six)
    table = tabulate_trials(study)
    failed = table["params_optimizer"] == "rmsprop"
    assert (
        f"Best of 6 trials ({failed.sum()} failed): number {study.best_trial.number},"
        in caplog.text
    )
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


def test_if_the_processes_of_all_trials_died_they_can_be_retried(
    one_epoch: Hyperparameters, tuning: TuningParameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no room")

    died = {0, 1}
    nodes = "imdb_sentiment.pipelines.tuning.nodes"
    monkeypatch.setattr("imdb_sentiment.network.training.build_model", fail)
    monkeypatch.setattr(f"{nodes}.has_died", lambda trial: trial.number in died)
    with pytest.raises(InputError, match="died each time") as error:
        tune(optuna.storages.InMemoryStorage(), one_epoch, tuning)
    assert error.value.parameters == {"tuning.max_retries": tuning.max_retries + 1}
    died = {0}
    with pytest.raises(InputError, match="the first failed with 'RuntimeError: no room'"):
        tune(optuna.storages.InMemoryStorage(), one_epoch, tuning)


@pytest.mark.slow
def test_a_trial_whose_process_died_each_time_is_named_and_can_be_tried_again(
    one_epoch: Hyperparameters, tuning: TuningParameters, caplog: pytest.LogCaptureFixture
) -> None:
    storage = optuna.storages.InMemoryStorage()
    strict = tuning.model_copy(update={"n_trials": 1, "max_retries": 0})
    tune(storage, one_epoch, strict)
    study = optuna.load_study(study_name=tuning.study_name, storage=storage)
    study.enqueue_trial({}, user_attrs={"slot": 1, "owner": "a process that is gone"})
    study.tell(study.ask(), state=TrialState.FAIL)
    more = strict.model_copy(update={"n_trials": 2})
    with caplog.at_level("WARNING"):
        assert len(tune(storage, one_epoch, more)[0].trials) == 2
    assert "their process died each time: 1. One of them might have been the best." in caplog.text
    assert "--params tuning.max_retries=1" in caplog.text
    caplog.clear()
    again, _, _ = tune(storage, one_epoch, more.model_copy(update={"max_retries": 1}))
    assert [trial.state.name for trial in again.trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert "died each time" not in caplog.text


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


def run_pipeline(
    folder: Path,
    hyperparameters: Hyperparameters,
    tuning: TuningParameters,
    split: SplitParameters,
    own_splits: Iterable[str] = (),
) -> tuple[DataCatalog, dict[str, Any]]:
    catalog = DataCatalog(
        {
            "train": MemoryDataset(TRAIN),
            "validation": MemoryDataset(VALIDATION),
            "test": MemoryDataset(TEST),
            "word_vectors": MemoryDataset(NO_VECTORS),
            "pretrained_weights": MemoryDataset(()),
            "clean_reviews": MemoryDataset([]),
            "clean_unlabelled_reviews": MemoryDataset([]),
            "tokenizer": MemoryDataset(None),
            "words": MemoryDataset([]),
            "params:tokenizer": MemoryDataset(None),
            "params:pseudo_labels": MemoryDataset(PseudoLabelsParameters(max_reviews=0)),
            "study_storage": OptunaStorageDataset(filepath=str(folder / "study.db")),
            "study": AtomicDataset(
                filepath=str(folder / "study.pkl"), dataset="pickle.PickleDataset"
            ),
            "params:tuning": MemoryDataset(tuning),
            **{
                f"params:tuning.{name}": MemoryDataset(value)
                for name, value in tuning.model_dump().items()
            },
            "params:tuning.pruner.name": MemoryDataset(tuning.pruner.name),
            "review_settings": MemoryDataset(ReviewsParameters(**base_parameters()["reviews"])),
            "params:training.class_weight": MemoryDataset(None),
            "params:training.use_validation_rows": MemoryDataset(False),
            "params:hyperparameters": MemoryDataset(hyperparameters),
            "params:split": MemoryDataset(split),
            "audit": MemoryDataset({"accepted_by_own_split": dict.fromkeys(own_splits, 100)}),
        }
    )
    return catalog, SequentialRunner().run(create_pipeline(), catalog)


def test_the_pipeline_tunes_without_the_test_set(
    tmp_path: Path,
    one_epoch: Hyperparameters,
    tuning: TuningParameters,
    split: SplitParameters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used: list[set[int]] = []

    def train_and_note(*arguments: Any, **options: Any) -> Any:
        used.append(set(arguments[0].rows.tolist()))
        assert arguments[3] is None  # epochs are not scored in a cross-validation
        return train_at_once(arguments[0], arguments[1])

    replace_training(monkeypatch, train_and_note)
    catalog, outputs = run_pipeline(tmp_path, one_epoch, tuning, split)
    assert used[:2] == used[2:]  # two folds for each of two trials
    assert used[0] | used[1] == set(POOL.rows.tolist())
    assert not used[0] & used[1]
    table: pd.DataFrame = outputs["trials"].load()
    assert table["state"].tolist() == ["complete"] * 2
    assert table["folds"].tolist() == [2, 2]
    study = catalog.load("study")
    assert study.best_value == table["value"].max()
    assert study.best_params.items() <= outputs["best_hyperparameters"].load().model_dump().items()
    assert sorted(outputs["network_held_out"].load().rows) == sorted(POOL.rows)


@pytest.mark.parametrize(
    ("change", "own_splits"),
    [({"group_column": "film"}, ()), ({"method": "column"}, ("train", "validation", "test"))],
    ids=str,
)
def test_folds_that_are_not_possible_are_refused_before_any_trial(
    *,
    change: dict[str, Any],
    own_splits: tuple[str, ...],
    tmp_path: Path,
    one_epoch: Hyperparameters,
    tuning: TuningParameters,
    split: SplitParameters,
) -> None:
    two = tuning.model_copy(update={"folds": 2})
    with pytest.raises(InputError, match=r"tuning\.folds .*: set it to .*, or to auto"):
        run_pipeline(tmp_path, one_epoch, two, split.model_copy(update=change), own_splits)
    storage = OptunaStorageDataset(filepath=str(tmp_path / "study.db")).load()
    assert storage.get_all_studies() == []
