"""The search for the best hyperparameters, as an Optuna study that outlives a crash."""

import json
import logging
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import pandas as pd

from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.calibration import TEMPERATURE, fit_temperature
from imdb_sentiment.network.model import require_word_vectors, score_sequences
from imdb_sentiment.network.tensorflow_setup import tensorflow_setup
from imdb_sentiment.network.training import NO_ROWS_TO_WATCH, train_model
from imdb_sentiment.parameters import Hyperparameters, TrainingParameters, TuningParameters
from imdb_sentiment.search import (
    Limits,
    SharedStudy,
    explain_failure,
    format_values,
    open_workers,
    run_trials,
)
from imdb_sentiment.text.encoded_reviews import EncodedReviews, compute_fingerprint

logger = logging.getLogger(__name__)


def select_evaluation_set(
    validation: EncodedReviews, test: EncodedReviews, tuning: TuningParameters
) -> EncodedReviews:
    """Return the reviews that trials are scored on: validation, unless asked for the test set.

    Args:
        validation: Held out of training for this.
        test: Held out of everything; tuning on it makes the test accuracy too good.
        tuning: Says which.

    Returns:
        One of the two.

    """
    if tuning.evaluate_on == "test":
        logger.warning(
            "tuning.evaluate_on is 'test': the hyperparameters are chosen on the test set, so the "
            "test accuracy will flatter the model. It is marked so in the metrics."
        )
        return test
    return validation


def tune_hyperparameters(
    study_storage: optuna.storages.BaseStorage,
    train: EncodedReviews,
    evaluation: EncodedReviews,
    word_vectors: npt.NDArray[np.float32],
    *,
    hyperparameters: Hyperparameters,
    tuning: TuningParameters,
    training: TrainingParameters,
) -> tuple[optuna.Study, Hyperparameters]:
    """Run the trials that the study still lacks and return the best hyperparameters.

    A trial trains on `train` and is worth its best accuracy on `evaluation` over the epochs. With
    one worker, a study is the same trial by trial whether it was interrupted or not, since each of
    its `n_trials` places has a sampler with a seed of its own.

    Args:
        study_storage: Where the study lives; every trial is written to it as it ends.
        train: Reviews to learn from.
        evaluation: Reviews to score on.
        word_vectors: What a pretrained embedding begins with, shape (vocabulary, size).
        hyperparameters: Values of what is not searched.
        tuning: Search space, number of trials, sampler, pruner, workers, seed, name of the study.
        training: Says whether the final model will have rows held out.

    Returns:
        The study as it is now, apart from its storage, and all hyperparameters of the best trial.

    Raises:
        InputError: The study of that name was made from other data, another search space or
            another protocol; a hyperparameter needs what is not there; no trial completed; there
            is no Dask where it is asked for.

    """
    if _may_be_on("pretrained_embedding", hyperparameters, tuning):
        require_word_vectors(word_vectors, train.vocabulary_size)
    if training.use_validation_rows and _may_be_on(
        "early_stopping_patience", hyperparameters, tuning
    ):
        raise InputError(NO_ROWS_TO_WATCH)
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # the search says it, in one voice
    with open_workers(tuning.workers, tuning.scheduler_address) as workers:
        storage = workers.keep(study_storage) if tuning.dask_storage else study_storage
        study = SharedStudy(
            storage,
            tuning.study_name,
            {name: d.to_optuna() for name, d in tuning.search_space.items()},
            n_trials=tuning.n_trials,
            max_retries=tuning.max_retries,
            make_sampler=lambda n: tuning.make_sampler(tuning.seed + n),
            pruner=tuning.make_pruner(),
        )
        origin = _describe_origin(train, evaluation, word_vectors, hyperparameters, tuning)
        _require_same_origin(study.optuna_study, origin)
        try:
            run_trials(
                study,
                partial(train_candidate, hyperparameters=hyperparameters, tuning=tuning),
                (train, evaluation, word_vectors),
                limits=Limits(tuning.timeout, tuning.patience),
                workers=workers,
            )
        except KeyboardInterrupt:
            logger.warning(
                "Interrupted with %d of %d trials finished; they are kept. The same command goes "
                "on from there.",
                len(study.counted()),
                tuning.n_trials,
            )
            raise
        best = _require_best(study)
        logger.info(
            "Best of %d trials: number %d, %s accuracy %.4f with %s",
            len(study.counted()),
            best.number,
            tuning.evaluate_on,
            best.value,
            format_values(best.params),
        )
        chosen = Hyperparameters(**{**hyperparameters.model_dump(), **best.params})
        return _snapshot(study.optuna_study), chosen


def train_candidate(
    trial: optuna.Trial,
    data: tuple[EncodedReviews, EncodedReviews, npt.NDArray[np.float32]],
    hyperparameters: Hyperparameters,
    tuning: TuningParameters,
) -> float:
    """Train a network as the trial has it and return its best accuracy over the epochs.

    The temperature that calibrates the network goes to the trial's `user_attrs`.

    Args:
        trial: Has the values of what is searched; takes the accuracy after each epoch.
        data: Reviews to learn from, reviews to score on, and vectors of the words.
        hyperparameters: Values of what is not searched.
        tuning: Has the seed.

    Returns:
        Between 0 and 1.

    Raises:
        TrialPruned: The pruner takes the trial for lost.

    """
    candidate = Hyperparameters(**{**hyperparameters.model_dump(), **trial.params})

    def report(epoch: int, epochs: int, figures: dict[str, float]) -> None:
        logger.info(
            "Trial %d, epoch %d of %d: loss %.4f, %s accuracy %.4f",
            trial.number,
            epoch,
            epochs,
            figures["loss"],
            tuning.evaluate_on,
            figures["val_accuracy"],
        )

    train, evaluation, word_vectors = data
    with tensorflow_setup():
        import keras
        from optuna_integration import KerasPruningCallback

    try:
        pruning = KerasPruningCallback(trial, "val_accuracy")
        model, history = train_model(
            train,
            candidate,
            tuning.seed,
            evaluation,
            report,
            word_vectors=word_vectors,
            callbacks=[pruning],
        )
        found = score_sequences(model, evaluation.sequences)
        if np.isfinite(found).all():  # or the network has diverged, and its accuracy tells
            trial.set_user_attr(TEMPERATURE, fit_temperature(found, evaluation.codes))
        return max(history["val_accuracy"])
    finally:
        keras.backend.clear_session()  # or memory grows from trial to trial


def tabulate_trials(study: optuna.Study) -> pd.DataFrame:
    """Return one row a trial: how it went, what it took, its hyperparameters.

    Args:
        study: From `tune_hyperparameters`.

    Returns:
        The trials in the order in which they began, with `epochs`, how many it has finished,
        `failure`, the reason of one that failed, `retry_of`, the number of a failed trial that it
        tries again, and `params_NAME`.

    """
    return pd.DataFrame(
        {
            "number": trial.number,
            "state": trial.state.name.lower(),
            "value": trial.value,
            "started": trial.datetime_start,
            "seconds": trial.duration.total_seconds() if trial.duration else None,
            "epochs": len(trial.intermediate_values),
            "failure": explain_failure(trial),
            "retry_of": trial.system_attrs.get("failed_trial"),
            **{f"params_{name}": value for name, value in trial.params.items()},
        }
        for trial in study.trials
    )


def _may_be_on(name: str, hyperparameters: Hyperparameters, tuning: TuningParameters) -> bool:
    distribution = tuning.search_space.get(name)
    return any(distribution.values() if distribution else [getattr(hyperparameters, name)])


def _require_best(study: SharedStudy) -> optuna.trial.FrozenTrial:
    best = study.best()
    if best is None:
        reasons = [reason for trial in study.counted() if (reason := explain_failure(trial))]
        raise InputError(
            f"no trial of the study {study.name!r} completed: "
            + (f"the first failed with {reasons[0]!r}. " if reasons else "all were pruned. ")
            + "Mend that, and begin a new study with --params tuning.study_name=NAME"
        )
    return best


def _snapshot(study: optuna.Study) -> optuna.Study:
    memory = optuna.storages.InMemoryStorage()
    optuna.copy_study(
        from_study_name=study.study_name, from_storage=study._storage, to_storage=memory
    )
    return optuna.load_study(study_name=study.study_name, storage=memory)


def _describe_origin(
    train: EncodedReviews,
    evaluation: EncodedReviews,
    word_vectors: npt.NDArray[np.float32],
    hyperparameters: Hyperparameters,
    tuning: TuningParameters,
) -> dict[str, Any]:
    """Return what trials must share to be comparable, as plain JSON values."""
    fixed = hyperparameters.model_dump(exclude=set(tuning.search_space))
    data = [train.fingerprint(), evaluation.fingerprint()]
    if _may_be_on("pretrained_embedding", hyperparameters, tuning):
        data.append(compute_fingerprint(word_vectors))
    origin = {
        "data": data,
        "search space": {name: d.model_dump() for name, d in tuning.search_space.items()},
        "protocol": {"evaluate_on": tuning.evaluate_on, "seed": tuning.seed, **fixed},
    }
    return dict(json.loads(json.dumps(origin)))


def _require_same_origin(study: optuna.Study, origin: dict[str, Any]) -> None:
    if not study.trials:
        for name, value in origin.items():
            study.set_user_attr(name, value)
        return
    for name, value in origin.items():
        if study.user_attrs.get(name) != value:
            was = "" if name == "data" else f" ({study.user_attrs.get(name)} instead of {value})"
            raise InputError(
                f"the study {study.study_name!r} was made with another {name}{was}, and trials of "
                "both can't be compared: begin a new study with --params tuning.study_name=NAME, "
                "or delete data/06_models/study.db to begin all anew"
            )
