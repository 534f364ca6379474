"""Training the best network, and the linear model that it has to beat."""

import logging
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import sklearn.pipeline
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from tokenizers import Tokenizer

from imdb_sentiment.encoded import EncodedReviews
from imdb_sentiment.errors import InputError
from imdb_sentiment.export import convert_to_onnx
from imdb_sentiment.model import History, KerasModel, predict_probabilities, train_model
from imdb_sentiment.parameters import (
    BaselineParameters,
    CustomReviewsParameters,
    Hyperparameters,
    TrainingParameters,
)
from imdb_sentiment.predictions import choose_texts
from imdb_sentiment.serving import Predictor

logger = logging.getLogger(__name__)

# Of a probability: what the arithmetic of two runtimes may make of the same weights.
MAX_EXPORT_DIFFERENCE = 1e-4
MAX_EXAMPLES = 10  # custom reviews that travel with the model


def fit_best_model(
    train: EncodedReviews,
    validation: EncodedReviews,
    best_hyperparameters: dict[str, Any],
    training: TrainingParameters,
) -> tuple[KerasModel, History]:
    """Train the network with the best hyperparameters.

    Args:
        train: Reviews to learn from.
        validation: Reviews to learn from as well, or to score after each epoch.
        best_hyperparameters: From the tuning pipeline.
        training: Says what the validation reviews are for, and the seed.

    Returns:
        The network after its last epoch, and its figures epoch by epoch.

    """
    hyperparameters = Hyperparameters(**best_hyperparameters)

    def report(epoch: int, figures: dict[str, float]) -> None:
        logger.info(
            "Final model, epoch %d of %d: %s",
            epoch,
            hyperparameters.epochs,
            ", ".join(f"{name} {value:.4f}" for name, value in figures.items()),
        )

    if training.use_validation_rows:
        return train_model(train + validation, hyperparameters, training.seed, on_epoch_end=report)
    return train_model(train, hyperparameters, training.seed, validation, report)


def export_model(
    *,
    model: KerasModel,
    tokenizer: Tokenizer,
    train: EncodedReviews,
    validation: EncodedReviews,
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
        custom_reviews: The first ten travel along, for people to try the model with.
        training: Says whether the network has learnt from the validation reviews too.
        custom: Names the column with their text.

    Returns:
        The ONNX model, and the largest difference between its probabilities and the network's.

    Raises:
        RuntimeError: They differ by more than 1e-4.

    """
    learnt = train + validation if training.use_validation_rows else train
    exported = convert_to_onnx(
        model,
        tokenizer,
        train.labels,
        examples=[text for text in choose_texts(custom_reviews, custom) if text][:MAX_EXAMPLES],
        facts={"training_data_sha256": learnt.fingerprint()},
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
