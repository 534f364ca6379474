"""The search for the best hyperparameters, as an Optuna study that outlives a crash."""

import json
import logging
from typing import Any

import optuna
import pandas as pd
from optuna.trial import TrialState

from imdb_sentiment.encoded import EncodedReviews
from imdb_sentiment.errors import InputError
from imdb_sentiment.model import train_model
from imdb_sentiment.parameters import (
    Choices,
    Distribution,
    Hyperparameters,
    IntRange,
    TuningParameters,
)

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
    hyperparameters: Hyperparameters,
    tuning: TuningParameters,
) -> tuple[optuna.Study, dict[str, Any]]:
    """Run the trials that the study still lacks and return the best hyperparameters.

    A trial trains on `train` and is worth its best accuracy on `evaluation` over the epochs. The
    sampler is TPE (Bergstra et al., NeurIPS 2011), seeded anew before each trial by the number of
    trials finished, so a study that was interrupted goes on as if it had not been.

    Args:
        study_storage: Where the study lives; every trial is written to it as it ends.
        train: Reviews to learn from.
        evaluation: Reviews to score on.
        hyperparameters: Values of what is not searched.
        tuning: Search space, number of trials, seed and name of the study.

    Returns:
        The study as it is now, apart from its storage, and all hyperparameters of the best trial.

    Raises:
        InputError: The study of that name was made from other data, another search space or
            another protocol.

    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # the lines below say it, in one voice
    study = optuna.create_study(
        storage=study_storage,
        study_name=tuning.study_name,
        direction="maximize",
        load_if_exists=True,
    )
    _require_same_origin(study, _describe_origin(train, evaluation, hyperparameters, tuning))

    def objective(trial: optuna.Trial) -> float:
        chosen = {name: _suggest(trial, name, d) for name, d in tuning.search_space.items()}
        candidate = Hyperparameters(**{**hyperparameters.model_dump(), **chosen})
        logger.info("Trial %d of %d: %s", finished + 1, tuning.n_trials, _format(chosen))

        def report(epoch: int, figures: dict[str, float]) -> None:
            trial.report(figures["val_accuracy"], epoch)
            logger.info(
                "Trial %d of %d, epoch %d of %d: loss %.4f, %s accuracy %.4f",
                finished + 1,
                tuning.n_trials,
                epoch,
                candidate.epochs,
                figures["loss"],
                tuning.evaluate_on,
                figures["val_accuracy"],
            )

        _, history = train_model(train, candidate, tuning.seed, evaluation, report)
        return max(history["val_accuracy"])

    try:
        while (finished := _count_finished(study)) < tuning.n_trials:
            study.sampler = optuna.samplers.TPESampler(
                seed=tuning.seed + finished,
                constant_liar=False,  # a trial that a crash left behind must not sway the next
            )
            study.optimize(objective, n_trials=1)
    except KeyboardInterrupt:
        logger.warning(
            "Interrupted with %d of %d trials finished; they are kept. The same command goes on "
            "from there.",
            _count_finished(study),
            tuning.n_trials,
        )
        raise
    logger.info(
        "Best of %d trials: %s accuracy %.4f with %s",
        _count_finished(study),
        tuning.evaluate_on,
        study.best_value,
        _format(study.best_params),
    )
    best = Hyperparameters(**{**hyperparameters.model_dump(), **study.best_params})
    return _snapshot(study_storage, tuning.study_name), best.model_dump()


def tabulate_trials(study: optuna.Study) -> pd.DataFrame:
    """Return one row a trial: number, state, value, start, duration in seconds, hyperparameters.

    Args:
        study: From `tune_hyperparameters`.

    Returns:
        The trials in the order in which they began; hyperparameters as columns `params_NAME`.

    """
    return pd.DataFrame(
        {
            "number": trial.number,
            "state": trial.state.name.lower(),
            "value": trial.value,
            "started": trial.datetime_start,
            "seconds": trial.duration.total_seconds() if trial.duration else None,
            **{f"params_{name}": value for name, value in trial.params.items()},
        }
        for trial in study.trials
    )


def _snapshot(storage: optuna.storages.BaseStorage, study_name: str) -> optuna.Study:
    memory = optuna.storages.InMemoryStorage()
    optuna.copy_study(from_study_name=study_name, from_storage=storage, to_storage=memory)
    return optuna.load_study(study_name=study_name, storage=memory)


def _suggest(trial: optuna.Trial, name: str, distribution: Distribution) -> Any:
    if isinstance(distribution, Choices):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntRange):
        return trial.suggest_int(
            name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)


def _count_finished(study: optuna.Study) -> int:
    return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def _describe_origin(
    train: EncodedReviews,
    evaluation: EncodedReviews,
    hyperparameters: Hyperparameters,
    tuning: TuningParameters,
) -> dict[str, Any]:
    """Return what trials must share to be comparable, as plain JSON values."""
    fixed = hyperparameters.model_dump(exclude=set(tuning.search_space))
    origin = {
        "data": [train.fingerprint(), evaluation.fingerprint()],
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


def _format(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values.items()
    )
