"""Training of the final model, and of the linear baseline that it is compared with."""

import logging
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import pandas as pd
import sklearn.pipeline
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from tokenizers import Tokenizer

from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.calibration import TEMPERATURE, fit_temperature
from imdb_sentiment.evaluation.predictions import choose_texts
from imdb_sentiment.network.averaging import average_networks
from imdb_sentiment.network.export import convert_to_onnx
from imdb_sentiment.network.model import KerasModel, divide_logits, score_sequences
from imdb_sentiment.network.ngrams import NgramModel, fingerprint_fit, fit_ngram_model
from imdb_sentiment.network.training import History, train_model
from imdb_sentiment.parameters import (
    BaselineParameters,
    CustomReviewsParameters,
    Hyperparameters,
    TrainingParameters,
)
from imdb_sentiment.serving import Predictor
from imdb_sentiment.text.encoded_reviews import EncodedReviews

logger = logging.getLogger(__name__)

MAX_EXPORT_DIFFERENCE = 1e-4  # between probabilities; rounding alone stays far below
MIN_CALIBRATION_ROWS = 1000  # with fewer, the temperature depends too much on chance
MIN_TEMPERATURE = 0.2  # if hardly any prediction is wrong, the best temperature is near 0
MAX_EXAMPLES = 10  # custom reviews that are stored in the exported model


class TemperatureSource(StrEnum):
    """The model whose predictions for the validation reviews a temperature was fitted to."""

    FINAL_MODEL = "final_model"
    BEST_TRIAL = "best_trial"


class UncalibratedReason(StrEnum):
    """Why the probabilities of the final model are not calibrated."""

    TOO_FEW_ROWS = "too_few_rows"
    NO_UNSEEN_ROWS = "no_unseen_rows"
    MODEL_IS_AVERAGE = "model_is_average"
    TRIAL_WITHOUT_TEMPERATURE = "trial_without_temperature"
    IMPLAUSIBLE_TEMPERATURE = "implausible_temperature"


def fit_ngrams(
    train: EncodedReviews, validation: EncodedReviews, training: TrainingParameters
) -> NgramModel:
    """Fit the linear model of n-grams that is averaged with the networks.

    Args:
        train: Reviews to learn from.
        validation: Reviews to learn from as well, or not.
        training: Says whether to learn from the validation reviews, and describes the n-grams.

    Returns:
        The fitted model; an empty one if n-grams have no share in the final model.

    Raises:
        InputError: No n-gram occurs in enough reviews.

    """
    if not training.ngrams.share:
        return NgramModel(0, np.zeros((0, 0), np.float32), np.zeros(0, np.float32))
    training_set, _ = _choose_training_set(train, validation, training)
    return fit_ngram_model(training_set, training.ngrams)


def fit_best_model(
    *,
    train: EncodedReviews,
    validation: EncodedReviews,
    best_hyperparameters: Hyperparameters,
    word_vectors: npt.NDArray[np.float32],
    ngram_model: NgramModel,
    training: TrainingParameters,
) -> tuple[KerasModel, History]:
    """Train one or several networks with the best hyperparameters, and average what there is.

    Args:
        train: Reviews to learn from.
        validation: Reviews to learn from as well, or to score after each epoch.
        best_hyperparameters: From the tuning pipeline.
        word_vectors: Initial weights of a pretrained embedding, shape (vocabulary, width).
        ngram_model: From `fit_ngrams`, to be averaged with the networks.
        training: Says whether to learn from the validation reviews, the number of networks, and the
            seed.

    Returns:
        The network after its last epoch, or after its best with early stopping, and its metrics per
        epoch. With several networks or n-grams: their average, and the metrics of the first
        network.

    Raises:
        InputError: A hyperparameter needs word vectors or held-out reviews that are not there, or
            the n-gram model is from another run.

    """
    training_set, held_out = _choose_training_set(train, validation, training)
    ngrams = training.ngrams
    if ngrams.share and ngram_model.fit_fingerprint != fingerprint_fit(training_set, ngrams):
        raise InputError(
            "the n-gram model was fitted to other reviews or with other parameters: run "
            "kedro run --pipelines training from its beginning"
        )
    networks, histories = [], []
    for number in range(training.networks):
        if training.networks > 1:
            logger.info("Network %d of %d", number + 1, training.networks)
        network, history = train_model(
            training_set,
            best_hyperparameters,
            training.seed + number,
            held_out,
            _log_epoch,
            word_vectors=word_vectors,
        )
        networks.append(network)
        histories.append(history)
    return average_networks(networks, ngram_model, ngrams.share), histories[0]


def _log_epoch(epoch: int, epochs: int, figures: dict[str, float]) -> None:
    metrics = ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
    logger.info("Epoch %d of %d: %s", epoch, epochs, metrics)


def _choose_training_set(
    train: EncodedReviews, validation: EncodedReviews, training: TrainingParameters
) -> tuple[EncodedReviews, EncodedReviews | None]:
    """Return the reviews that the final model learns from, and those held out, if any."""
    return (train + validation, None) if training.use_validation_rows else (train, validation)


def calibrate_model(
    *,
    fitted_model: KerasModel,
    validation: EncodedReviews,
    study: optuna.Study,
    training: TrainingParameters,
) -> tuple[KerasModel, dict[str, Any]]:
    """Calibrate the probabilities of the network by temperature scaling.

    The temperature is fitted to the validation reviews, if there are at least 1,000. If the final
    model has learnt from them, its temperature is that of the best trial, which has the same
    hyperparameters but did not learn from them; scikit-learn's `CalibratedClassifierCV` does the
    same with `ensemble=False`.

    Args:
        fitted_model: From `fit_best_model`.
        validation: The validation reviews.
        study: From the tuning pipeline.
        training: Says whether the network has learnt from the validation reviews.

    Returns:
        The network with its logits divided by the temperature, and the facts about the calibration
        as JSON values: `temperature` (1 if not calibrated), `fitted_temperature` and its `source`
        (None if none was fitted), `uncalibrated_reason` (None if calibrated) and
        `validation_rows`.

    """
    fitted = source = reason = None
    if len(validation) < MIN_CALIBRATION_ROWS:
        reason = UncalibratedReason.TOO_FEW_ROWS
    elif not training.use_validation_rows:
        source = TemperatureSource.FINAL_MODEL
        found = score_sequences(fitted_model, validation.sequences)
        fitted = fit_temperature(found, validation.codes)
    elif study.user_attrs["protocol"]["evaluate_on"] == "test":
        reason = UncalibratedReason.NO_UNSEEN_ROWS
    elif training.is_average:
        reason = UncalibratedReason.MODEL_IS_AVERAGE
    elif TEMPERATURE not in study.best_trial.user_attrs:
        reason = UncalibratedReason.TRIAL_WITHOUT_TEMPERATURE
    else:
        source = TemperatureSource.BEST_TRIAL
        fitted = study.best_trial.user_attrs[TEMPERATURE]
    if fitted is not None and not MIN_TEMPERATURE <= fitted <= 1 / MIN_TEMPERATURE:
        reason = UncalibratedReason.IMPLAUSIBLE_TEMPERATURE
    temperature = 1.0 if fitted is None or reason else fitted
    return divide_logits(fitted_model, temperature), {
        "temperature": temperature,
        "fitted_temperature": fitted,
        "source": source,
        "uncalibrated_reason": reason,
        "validation_rows": len(validation),
    }


def export_model(
    *,
    model: KerasModel,
    tokenizer: Tokenizer,
    train: EncodedReviews,
    validation: EncodedReviews,
    custom_reviews: pd.DataFrame,
    run_facts: dict[str, Any],
    training: TrainingParameters,
    custom: CustomReviewsParameters,
) -> tuple[bytes, dict[str, float]]:
    """Export the network for deployment, and compare the probabilities of both.

    Args:
        model: The trained network.
        tokenizer: The tokenizer of the training.
        train: Reviews that the network has learnt from, for their fingerprint.
        validation: Reviews to compare the probabilities on.
        custom_reviews: The first ten are stored in the file, for people to try the model with.
        run_facts: Time of the run.
        training: Says whether the network has learnt from the validation reviews.
        custom: Name of the column with their text.

    Returns:
        The ONNX model, and the largest difference between its probabilities and the network's.

    Raises:
        RuntimeError: They differ by more than 1e-4.

    """
    training_set, _ = _choose_training_set(train, validation, training)
    facts = {
        "made": run_facts["time"],
        "training": training.model_dump_json(),
        "training_data_sha256": training_set.fingerprint(),
    }
    exported = convert_to_onnx(
        model,
        tokenizer,
        train.labels,
        examples=[text for text in choose_texts(custom_reviews, custom) if text][:MAX_EXAMPLES],
        facts=facts,
    )
    with_words = validation.sequences[validation.lengths > 0]  # the others get no prediction
    found = Predictor(exported).score_sequences(with_words)
    expected = score_sequences(model, with_words)
    difference = float(np.abs(found - expected).max(initial=0))
    if not difference <= MAX_EXPORT_DIFFERENCE:
        raise RuntimeError(
            f"the exported model's probabilities differ from the network's by up to {difference:g}"
        )
    return exported, {"largest_probability_difference": difference}


def fit_baseline(
    clean_reviews: Iterable[pd.DataFrame],
    baseline: BaselineParameters,
    training: TrainingParameters,
) -> sklearn.pipeline.Pipeline:
    """Fit TF-IDF and logistic regression to the rows that the network learns from.

    Args:
        clean_reviews: Chunks with the columns `text`, `code` and `split`.
        baseline: Length and frequency of the n-grams, and the strength of the regularisation.
        training: Says whether to learn from the validation reviews.

    Returns:
        A scikit-learn pipeline from texts to codes.

    Raises:
        InputError: No n-gram occurs in enough reviews.

    """
    splits = ["train", "validation"] if training.use_validation_rows else ["train"]
    rows = pd.concat(
        chunk.loc[chunk["split"].isin(splits), ["text", "code"]] for chunk in clean_reviews
    )
    model = sklearn.pipeline.make_pipeline(
        TfidfVectorizer(
            ngram_range=(1, baseline.max_ngram),
            min_df=baseline.min_document_frequency,
            sublinear_tf=True,
        ),
        LogisticRegression(C=baseline.inverse_regularisation, max_iter=1000),
    )
    try:
        return model.fit(rows["text"], rows["code"])
    except ValueError as error:
        raise InputError(
            f"the baseline can't learn from these reviews ({error}): lower "
            "baseline.min_document_frequency"
        ) from error
