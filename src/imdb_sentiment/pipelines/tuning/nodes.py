"""The search for the best hyperparameters, as an Optuna study that survives a crash."""

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
    RETRIED_TRIAL,
    SharedStudy,
    explain_failure,
    format_values,
    make_pruner,
    make_sampler,
    open_workers,
    run_trials,
)
from imdb_sentiment.text.encoded_reviews import EncodedReviews, compute_fingerprint

logger = logging.getLogger(__name__)


def select_evaluation_set(
    validation: EncodedReviews, test: EncodedReviews, tuning: TuningParameters
) -> EncodedReviews:
    """Return the reviews that trials are scored on.

    Args:
        validation: Reviews held out of training for this purpose.
        test: Reviews held out of everything; if trials are scored on them, the test accuracy is too
            high.
        tuning: Which of the two to use: `evaluate_on`.

    Returns:
        One of the two.

    """
    if tuning.evaluate_on == "test":
        logger.warning(
            "tuning.evaluate_on is 'test': the hyperparameters are chosen on the test set, so the "
            "test accuracy will be too optimistic. The metrics record this."
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
    """Run the missing trials of the study and return the best hyperparameters.

    A trial trains a network on `train`; its value is the best accuracy on `evaluation` of all
    epochs. With one worker, the trials are the same whether the study was interrupted or not, since
    each of its `n_trials` slots has a sampler with a seed of its own.

    Args:
        study_storage: Storage of the study; every trial is written to it when it ends.
        train: Reviews to train on.
        evaluation: Reviews to score on.
        word_vectors: Initial values of a pretrained embedding, shape (vocabulary, size).
        hyperparameters: Values of the hyperparameters that are not searched.
        tuning: Search space, number of trials, sampler, pruner, workers, seed, name of the study.
        training: Whether rows will be held out when the final model is trained.

    Returns:
        The study, copied into memory, and all hyperparameters of the best trial.

    Raises:
        InputError: The study of that name was made with other data, another search space or another
            protocol; a hyperparameter requires word vectors or held-out rows that are missing; no
            trial has completed; Dask is needed but missing.

    """
    _require_inputs(train, word_vectors, hyperparameters, tuning, training)
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # the search has a log of its own
    with open_workers(tuning.workers, tuning.scheduler_address) as workers:
        storage = workers.share_storage(study_storage) if tuning.dask_storage else study_storage
        study = _open_study(storage, tuning)
        origin = _describe_origin(train, evaluation, word_vectors, hyperparameters, tuning)
        _require_same_origin(study.optuna_study, origin)
        try:
            run_trials(
                study,
                partial(train_candidate, hyperparameters=hyperparameters, tuning=tuning),
                (train, evaluation, word_vectors),
                workers=workers,
                timeout=tuning.timeout,
                patience=tuning.patience,
            )
        except KeyboardInterrupt:
            logger.warning(
                "Interrupted with %d of %d trials finished; they are kept. The same command "
                "continues from there.",
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
        return _copy_into_memory(study), _override(hyperparameters, best.params)


def train_candidate(
    trial: optuna.Trial,
    data: tuple[EncodedReviews, EncodedReviews, npt.NDArray[np.float32]],
    hyperparameters: Hyperparameters,
    tuning: TuningParameters,
) -> float:
    """Train a network with the hyperparameters of a trial: the objective of the search.

    The temperature that calibrates the network is stored in the trial's `user_attrs`.

    Args:
        trial: The trial; the accuracy after each epoch is reported to it.
        data: Reviews to train on, reviews to score on, and word vectors.
        hyperparameters: Values of the hyperparameters that are not searched.
        tuning: Seed of the training.

    Returns:
        The best accuracy of all epochs, between 0 and 1.

    Raises:
        TrialPruned: The pruner has ended the trial.

    """
    train, evaluation, word_vectors = data

    def report(epoch: int, epochs: int, figures: dict[str, float]) -> None:
        accuracy = figures["val_accuracy"]
        logger.info(
            "Trial %d, epoch %d of %d: loss %.4f, %s accuracy %.4f",
            trial.number,
            epoch,
            epochs,
            figures["loss"],
            tuning.evaluate_on,
            accuracy,
        )
        trial.report(accuracy, step=epoch - 1)
        if trial.should_prune():
            raise optuna.TrialPruned(f"pruned after epoch {epoch}")

    with tensorflow_setup():
        import keras

    try:
        candidate = _override(hyperparameters, trial.params)
        model, history = train_model(
            train, candidate, tuning.seed, evaluation, report, word_vectors=word_vectors
        )
        scores = score_sequences(model, evaluation.sequences)
        if np.isfinite(scores).all():  # else the network has diverged, as its accuracy shows
            trial.set_user_attr(TEMPERATURE, fit_temperature(scores, evaluation.codes))
        return max(history["val_accuracy"])
    finally:
        keras.backend.clear_session()  # otherwise memory grows from trial to trial


def tabulate_trials(study: optuna.Study) -> pd.DataFrame:
    """Return a table with one row per trial.

    Args:
        study: From `tune_hyperparameters`.

    Returns:
        The trials in the order of their creation, with the columns `number`, `state`, `value`,
        `started`, `seconds`, `epochs` (how many have finished), `failure` (the reason, if the trial
        has failed), `retry_of` (number of the failed trial that this one retries) and `params_NAME`
        for each hyperparameter that was searched.

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
            "retry_of": trial.system_attrs.get(RETRIED_TRIAL),
            **{f"params_{name}": value for name, value in trial.params.items()},
        }
        for trial in study.trials
    )


def _require_inputs(
    train: EncodedReviews,
    word_vectors: npt.NDArray[np.float32],
    hyperparameters: Hyperparameters,
    tuning: TuningParameters,
    training: TrainingParameters,
) -> None:
    if _may_be_on("pretrained_embedding", hyperparameters, tuning):
        require_word_vectors(word_vectors, train.vocabulary_size)
    if training.use_validation_rows and _may_be_on(
        "early_stopping_patience", hyperparameters, tuning
    ):
        raise InputError(NO_ROWS_TO_WATCH)


def _may_be_on(name: str, hyperparameters: Hyperparameters, tuning: TuningParameters) -> bool:
    """Return whether any trial may have a value of this hyperparameter other than 0 or False."""
    searched = tuning.search_space.get(name)
    return any(searched.values() if searched else [getattr(hyperparameters, name)])


def _open_study(storage: optuna.storages.BaseStorage, tuning: TuningParameters) -> SharedStudy:
    return SharedStudy(
        storage,
        tuning.study_name,
        {name: searched.to_optuna() for name, searched in tuning.search_space.items()},
        n_trials=tuning.n_trials,
        max_retries=tuning.max_retries,
        make_sampler=lambda slot: make_sampler(
            **tuning.sampler.model_dump(),
            seed=tuning.seed + slot,
            is_parallel=tuning.is_parallel,
        ),
        pruner=make_pruner(**tuning.pruner.model_dump()),
    )


def _override(hyperparameters: Hyperparameters, chosen: dict[str, Any]) -> Hyperparameters:
    return Hyperparameters(**{**hyperparameters.model_dump(), **chosen})


def _require_best(study: SharedStudy) -> optuna.trial.FrozenTrial:
    best = study.best()
    if best is None:
        reasons = [reason for trial in study.counted() if (reason := explain_failure(trial))]
        raise InputError(
            f"no trial of the study {study.name!r} completed: "
            + (f"the first failed with {reasons[0]!r}. " if reasons else "all were pruned. ")
            + "Fix that, and begin a new study with --params tuning.study_name=NAME"
        )
    return best


def _copy_into_memory(study: SharedStudy) -> optuna.Study:
    memory = optuna.storages.InMemoryStorage()
    optuna.copy_study(from_study_name=study.name, from_storage=study.storage, to_storage=memory)
    return optuna.load_study(study_name=study.name, storage=memory)


def _describe_origin(
    train: EncodedReviews,
    evaluation: EncodedReviews,
    word_vectors: npt.NDArray[np.float32],
    hyperparameters: Hyperparameters,
    tuning: TuningParameters,
) -> dict[str, Any]:
    """Return what all trials of a study must have in common, as JSON values."""
    fixed = hyperparameters.model_dump(exclude=set(tuning.search_space))
    data = [train.fingerprint(), evaluation.fingerprint()]
    if _may_be_on("pretrained_embedding", hyperparameters, tuning):
        data.append(compute_fingerprint(word_vectors))
    space = {name: range_.model_dump(mode="json") for name, range_ in tuning.search_space.items()}
    return {
        "data": data,
        "search space": space,
        "protocol": {"evaluate_on": tuning.evaluate_on, "seed": tuning.seed, **fixed},
    }


def _require_same_origin(study: optuna.Study, origin: dict[str, Any]) -> None:
    """Record the origin of a new study; refuse an old one with another origin."""
    if not study.trials:
        for name, value in origin.items():
            study.set_user_attr(name, value)
        return
    for name, value in origin.items():
        if study.user_attrs.get(name) != value:
            was = "" if name == "data" else f" ({study.user_attrs.get(name)} instead of {value})"
            raise InputError(
                f"the study {study.study_name!r} was made with another {name}{was}, so the trials "
                "can't be compared: begin a new study with --params tuning.study_name=NAME, or "
                "delete data/06_models/study.db to delete all studies"
            )
