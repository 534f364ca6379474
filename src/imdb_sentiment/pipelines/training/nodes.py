"""Training the best network, and the linear model that it has to beat."""

import logging
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import sklearn.pipeline
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from tokenizers import Tokenizer

from imdb_sentiment.encoded import EncodedReviews, GuessedReviews
from imdb_sentiment.errors import InputError
from imdb_sentiment.export import convert_to_onnx
from imdb_sentiment.model import History, KerasModel, predict_probabilities, train_model
from imdb_sentiment.parameters import (
    BaselineParameters,
    CustomReviewsParameters,
    Hyperparameters,
    SelfTrainingParameters,
    TrainingParameters,
)
from imdb_sentiment.predictions import choose_texts
from imdb_sentiment.serving import Predictor
from imdb_sentiment.text import encode_texts

logger = logging.getLogger(__name__)

# Of a probability: what the arithmetic of two runtimes may make of the same weights.
MAX_EXPORT_DIFFERENCE = 1e-4
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
    networks = np.zeros((len(sequences), len(train.labels)))
    for number in range(1, self_training.teachers + 1):
        logger.info("Teacher %d of %d", number, self_training.teachers)
        teacher, _ = fit_best_model(
            train=train,
            validation=validation,
            guessed_reviews=nothing,
            best_hyperparameters=best_hyperparameters,
            word_vectors=word_vectors,
            training=training.model_copy(update={"seed": training.seed + number}),
        )
        networks += predict_probabilities(teacher, sequences) / self_training.teachers
    linear = np.concatenate(
        [baseline.predict_proba(chunk["text"]) for chunk in clean_unlabelled_reviews if len(chunk)]
    )
    share = self_training.baseline_weight
    return GuessedReviews(sequences, (1 - share) * networks + share * linear)


def fit_best_model(
    *,
    train: EncodedReviews,
    validation: EncodedReviews,
    guessed_reviews: GuessedReviews,
    best_hyperparameters: dict[str, Any],
    word_vectors: npt.NDArray[np.float32],
    training: TrainingParameters,
) -> tuple[KerasModel, History]:
    """Train the network with the best hyperparameters.

    Args:
        train: Reviews to learn from.
        validation: Reviews to learn from as well, or to score after each epoch.
        guessed_reviews: From `guess_labels`, to learn from as well.
        best_hyperparameters: From the tuning pipeline.
        word_vectors: What a pretrained embedding begins with, shape (vocabulary, size).
        training: Says what the validation reviews are for, and the seed.

    Returns:
        The network after its last epoch, or its best with early stopping, and its figures epoch by
        epoch.

    Raises:
        InputError: A hyperparameter needs what is not there: word vectors, or rows held out.

    """
    hyperparameters = Hyperparameters(**best_hyperparameters)

    def report(epoch: int, figures: dict[str, float]) -> None:
        logger.info(
            "Epoch %d of %d: %s",
            epoch,
            hyperparameters.epochs,
            ", ".join(f"{name} {value:.4f}" for name, value in figures.items()),
        )

    learnt, held_out = (
        (train + validation, None) if training.use_validation_rows else (train, validation)
    )
    return train_model(
        learnt,
        hyperparameters,
        training.seed,
        held_out,
        report,
        word_vectors=word_vectors,
        guessed=guessed_reviews,
    )


def export_model(
    *,
    model: KerasModel,
    tokenizer: Tokenizer,
    train: EncodedReviews,
    validation: EncodedReviews,
    guessed_reviews: GuessedReviews,
    custom_reviews: pd.DataFrame,
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
        training: Says whether the network has learnt from the validation reviews too.
        custom: Names the column with their text.

    Returns:
        The ONNX model, and the largest difference between its probabilities and the network's.

    Raises:
        RuntimeError: They differ by more than 1e-4.

    """
    learnt = train + validation if training.use_validation_rows else train
    facts = {"training_data_sha256": learnt.fingerprint()}
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
    expected = predict_probabilities(model, with_words)
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
