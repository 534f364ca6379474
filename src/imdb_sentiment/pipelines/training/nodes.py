"""Training the best network, and the linear model that it has to beat."""

import logging
from collections.abc import Iterable
from typing import Any

import pandas as pd
import sklearn.pipeline
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from imdb_sentiment.encoded import EncodedReviews
from imdb_sentiment.errors import InputError
from imdb_sentiment.model import History, KerasModel, train_model
from imdb_sentiment.parameters import BaselineParameters, Hyperparameters, TrainingParameters

logger = logging.getLogger(__name__)


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
