"""Parameters of the pipeline label_check."""

from typing import Annotated

from pydantic import Field

from imdb_sentiment.parameters.base import Parameters, Seed


class LabelCheckParameters(Parameters):
    """The check of the labels, and the number of unlabelled rows that are proposed.

    Attributes:
        folds: Number of folds of the cross-validation: each row is scored by a model that has
            learnt from the other folds.
        rows_to_label: Number of unlabelled rows that are proposed for labelling.
        seed: Seed of the division into folds.

    """

    folds: Annotated[int, Field(ge=2)]
    rows_to_label: Annotated[int, Field(ge=0)]
    seed: Seed
