"""The sets of reviews that the models of this pipeline learn from."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.decisions import compute_label_weights
from imdb_sentiment.parameters import TrainingParameters
from imdb_sentiment.text.encoded_reviews import EncodedReviews, join_codes


def list_learnable(
    train: EncodedReviews, validation: EncodedReviews, training: TrainingParameters
) -> list[EncodedReviews]:
    """Return the sets that the final model learns from; to join them would copy all sequences."""
    return [train, validation] if training.use_validation_rows else [train]


def weigh_labels(
    train: EncodedReviews, validation: EncodedReviews, training: TrainingParameters
) -> npt.NDArray[np.float64] | None:
    """Return what `compute_label_weights` returns for the rows that the final model learns from."""
    codes = join_codes(list_learnable(train, validation, training))
    return compute_label_weights(training.class_weight, codes, train.labels)


def find_rows(rows: npt.NDArray[np.int64], among: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    """Return the positions of the best trial's held-out rows among others.

    Raises:
        InputError: One of them is not there.

    """
    places = pd.Index(among).get_indexer(pd.Index(rows))
    if (places < 0).any():
        raise InputError(
            "the best trial was scored on reviews that no longer match the data, which have been "
            "processed again since. Run kedro run --pipelines tuning,training,reporting"
        )
    return places
