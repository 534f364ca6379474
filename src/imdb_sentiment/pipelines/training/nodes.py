"""Training the best network, and the linear model that it has to beat."""

import logging
from collections.abc import Iterable
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
from imdb_sentiment.network.ngrams import NgramModel, describe_origin, fit_ngram_model
from imdb_sentiment.network.training import History, train_model
from imdb_sentiment.parameters import (
    BaselineParameters,
    CustomReviewsParameters,
    Hyperparameters,
    SelfTrainingParameters,
    TrainingParameters,
)
from imdb_sentiment.serving import Predictor
from imdb_sentiment.text.encoded_reviews import EncodedReviews, GuessedReviews
from imdb_sentiment.text.tokenizer import encode_texts

logger = logging.getLogger(__name__)

# Of a probability: what the arithmetic of two runtimes may make of the same weights.
MAX_EXPORT_DIFFERENCE = 1e-4
# With fewer, a network's temperature is more chance than anything else, and another's no guide.
LEAST_CALIBRATION_ROWS = 1000
LEAST_TEMPERATURE = 0.2  # where hardly any prediction is wrong, the best one is near 0
MAX_EXAMPLES = 10  # custom reviews that travel with the model


def guess_labels(
    *,
    train: EncodedReviews,
    validation: EncodedReviews,
    clean_unlabelled_reviews: Iterable[pd.DataFrame],
    tokenizer: Tokenizer,
    best_hyperparameters: dict[str, Any],
    word_vectors: npt.NDArray[np.float32],
    baseline: sklearn.pipeline.Pipeline,
    training: TrainingParameters,
    self_training: SelfTrainingParameters,
) -> GuessedReviews:
    """Guess labels of the unlabelled reviews, for the final model to learn from.

    Args:
        train: Reviews that the teachers learn from.
        validation: Reviews to learn from as well, or to score after each epoch.
        clean_unlabelled_reviews: Chunks with the column `text`, perhaps none; iterated twice.
        tokenizer: That of the training.
        best_hyperparameters: From the tuning pipeline.
        word_vectors: What a pretrained embedding begins with, shape (vocabulary, size).
        baseline: From `fit_baseline`.
        training: Says what the validation reviews are for, and the first seed.
        self_training: Number of teachers, and what the baseline's guess counts.

    Returns:
        The reviews with the probabilities of their labels; none without teachers.

    """
    nothing = GuessedReviews(train.sequences[:0], np.zeros((0, len(train.labels))))
    if not self_training.teachers:
        return nothing
    encoded = [
        encode_texts(tokenizer, chunk["text"].tolist()) for chunk in clean_unlabelled_reviews
    ]
    sequences = np.concatenate([nothing.sequences, *encoded])
    if not len(sequences):
        logger.warning(
            "There are no reviews without labels to learn from: --params unlabelled_file=NAME "
            "names a CSV of them."
        )
        return nothing
    learnt, held_out = _divide(train, validation, training)
    networks = np.zeros((len(sequences), len(train.labels)))
    for number in range(1, self_training.teachers + 1):
        logger.info("Teacher %d of %d", number, self_training.teachers)
        teacher, _ = train_model(
            learnt,
            Hyperparameters(**best_hyperparameters),
            training.seed + training.networks - 1 + number,
            held_out,
            _log_epoch,
            word_vectors=word_vectors,
        )
        networks += score_sequences(teacher, sequences) / self_training.teachers
    linear = np.concatenate(
        [baseline.predict_proba(chunk["text"]) for chunk in clean_unlabelled_reviews if len(chunk)]
    )
    share = self_training.baseline_weight
    return GuessedReviews(sequences, (1 - share) * networks + share * linear)


def fit_ngrams(
    train: EncodedReviews, validation: EncodedReviews, training: TrainingParameters
) -> NgramModel:
    """Fit the linear model of n-grams that is averaged with the networks.

    Args:
        train: Reviews to learn from. (Guessed labels are for the networks alone.)
        validation: Reviews to learn from as well, or not.
        training: Says what the validation reviews are for, what n-grams count, and their share.

    Returns:
        Their weights; of no n-grams where these have no share in the final model.

    Raises:
        InputError: No n-gram occurs in enough reviews.

    """
    if not training.ngrams.share:
        return NgramModel.of_nothing()
    learnt, _ = _divide(train, validation, training)
    return fit_ngram_model(learnt, training.ngrams)


def fit_best_model(
    *,
    train: EncodedReviews,
    validation: EncodedReviews,
    guessed_reviews: GuessedReviews,
    best_hyperparameters: dict[str, Any],
    word_vectors: npt.NDArray[np.float32],
    ngram_model: NgramModel,
    training: TrainingParameters,
) -> tuple[KerasModel, History]:
    """Train the network with the best hyperparameters, or several, and average what there is.

    Args:
        train: Reviews to learn from.
        validation: Reviews to learn from as well, or to score after each epoch.
        guessed_reviews: From `guess_labels`, to learn from as well.
        best_hyperparameters: From the tuning pipeline.
        word_vectors: What a pretrained embedding begins with, shape (vocabulary, size).
        ngram_model: From `fit_ngrams`, to be averaged with the networks.
        training: Says what the validation reviews are for, the number of networks, and the seed.

    Returns:
        The network after its last epoch, or its best with early stopping, and its figures epoch by
        epoch; of several networks, or with n-grams, the average, and the first network's figures.

    Raises:
        InputError: A hyperparameter needs what is not there: word vectors, or rows held out; or
            the n-gram model is of another run.

    """
    learnt, held_out = _divide(train, validation, training)
    if training.ngrams.share and ngram_model.origin != describe_origin(learnt, training.ngrams):
        raise InputError(
            "the n-gram model was fitted to other reviews or with other parameters: run "
            "kedro run --pipelines training from its beginning"
        )
    trained = []
    for number in range(training.networks):
        if training.networks > 1:
            logger.info("Network %d of %d", number + 1, training.networks)
        trained.append(
            train_model(
                learnt,
                Hyperparameters(**best_hyperparameters),
                training.seed + number,
                held_out,
                _log_epoch,
                word_vectors=word_vectors,
                guessed=guessed_reviews,
            )
        )
    networks, histories = zip(*trained, strict=True)
    return average_networks(networks, ngram_model, training.ngrams.share), histories[0]


def _log_epoch(epoch: int, epochs: int, figures: dict[str, float]) -> None:
    logger.info(
        "Epoch %d of %d: %s",
        epoch,
        epochs,
        ", ".join(f"{name} {value:.4f}" for name, value in figures.items()),
    )


def _divide(
    train: EncodedReviews, validation: EncodedReviews, training: TrainingParameters
) -> tuple[EncodedReviews, EncodedReviews | None]:
    """Return the reviews that the final model learns from, and those held out from it."""
    return (train + validation, None) if training.use_validation_rows else (train, validation)


def calibrate_model(
    *,
    fitted_model: KerasModel,
    validation: EncodedReviews,
    guessed_reviews: GuessedReviews,
    study: optuna.Study,
    training: TrainingParameters,
) -> tuple[KerasModel, dict[str, Any]]:
    """Make the network's probabilities mean what they say, by temperature scaling.

    The temperature comes from 1,000 or more reviews that the network has not learnt from. If it has
    learnt from the validation reviews too, it is that of the best trial, which has the same
    hyperparameters and had not; so does scikit-learn's `CalibratedClassifierCV` with
    `ensemble=False`.

    Args:
        fitted_model: From `fit_best_model`.
        validation: The validation reviews.
        guessed_reviews: What the network has learnt from besides.
        study: From the tuning pipeline.
        training: Says whether the network has learnt from the validation reviews.

    Returns:
        The network, its last layer divided by the temperature, and `temperature` (1 where there is
        none) with what there is to say about it (`says`).

    """
    temperature, says = 1.0, ""
    if len(validation) < LEAST_CALIBRATION_ROWS:
        reason = f"{len(validation):,} validation reviews are too few to tell a temperature by"
    elif not training.use_validation_rows:
        found = score_sequences(fitted_model, validation.sequences)
        temperature = fit_temperature(found, validation.codes)
        says = "a temperature fitted on the validation reviews"
    elif study.user_attrs["protocol"]["evaluate_on"] == "test":
        reason = "the search has used up the test reviews, and the model all others"
    elif training.is_average:
        reason = "it is an average, and the best trial was one network"
    elif len(guessed_reviews):
        reason = "the best trial has not learnt from guessed labels, so its temperature is another"
    elif TEMPERATURE not in study.best_trial.user_attrs:
        reason = "the search was made before trials had a temperature"
    else:
        temperature = study.best_trial.user_attrs[TEMPERATURE]
        says = "the temperature of the best trial, fitted on the validation reviews"
    if says and not LEAST_TEMPERATURE <= temperature <= 1 / LEAST_TEMPERATURE:
        reason = f"{temperature:.2f}, {says}, is no sensible one"
        temperature, says = 1.0, ""
    says = (
        f"Its probabilities are calibrated with {says}: {temperature:.3f}."
        if says
        else f"Its probabilities are as trained, not calibrated: {reason}."
    )
    return divide_logits(fitted_model, temperature), {"temperature": temperature, "says": says}


def export_model(
    *,
    model: KerasModel,
    tokenizer: Tokenizer,
    train: EncodedReviews,
    validation: EncodedReviews,
    guessed_reviews: GuessedReviews,
    custom_reviews: pd.DataFrame,
    run_facts: dict[str, Any],
    training: TrainingParameters,
    custom: CustomReviewsParameters,
) -> tuple[bytes, dict[str, float]]:
    """Make the file that a deployment needs, and compare it with the network.

    Args:
        model: The trained network.
        tokenizer: That of the training.
        train: What the network has learnt from, for its fingerprint.
        validation: The reviews to compare on.
        guessed_reviews: What the network has learnt from besides, for its fingerprint.
        custom_reviews: The first ten travel along, for people to try the model with.
        run_facts: When this is.
        training: Says whether the network has learnt from the validation reviews too.
        custom: Names the column with their text.

    Returns:
        The ONNX model, and the largest difference between its probabilities and the network's.

    Raises:
        RuntimeError: They differ by more than 1e-4.

    """
    learnt, _ = _divide(train, validation, training)
    facts = {
        "made": run_facts["time"],
        "training": training.model_dump_json(),
        "training_data_sha256": learnt.fingerprint(),
    }
    if len(guessed_reviews):
        facts["guessed_reviews_sha256"] = guessed_reviews.fingerprint()
    exported = convert_to_onnx(
        model,
        tokenizer,
        train.labels,
        examples=[text for text in choose_texts(custom_reviews, custom) if text][:MAX_EXAMPLES],
        facts=facts,
    )
    with_words = validation.sequences[validation.lengths > 0]  # others get no prediction
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
        clean_reviews: Chunks with `text`, `code` and `split`.
        baseline: The n-grams counted, and the strength of the regularisation.
        training: Says whether validation rows belong to the training.

    Returns:
        A scikit-learn pipeline from texts to codes.

    Raises:
        InputError: No n-gram occurs in enough reviews.

    """
    learnt = ["train", "validation"] if training.use_validation_rows else ["train"]
    rows = pd.concat(
        chunk.loc[chunk["split"].isin(learnt), ["text", "code"]] for chunk in clean_reviews
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
