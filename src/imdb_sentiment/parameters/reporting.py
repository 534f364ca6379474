"""Parameters of the pipeline reporting."""

from typing import Annotated

from pydantic import Field

from imdb_sentiment.parameters.base import Parameters, Seed


class ReportParameters(Parameters):
    """How the model is evaluated on the test set and what the report shows.

    Attributes:
        resamples: Number of bootstrap resamples per interval of a score other than the
            accuracy, and of the accuracy if reviews belong to groups.
        seed: Seed of the resampling.
        calibration_bins: Number of bins of the confidence, from its smallest possible value to 1.
        groups: Number of groups of reviews of similar length.
        words: Number of distinctive words shown per label.
        examples: Number of reviews in each list of mistakes.
        custom_reviews: Maximum number of custom reviews shown.
        model_megabytes: Largest size that the model may take inside the report, for people to try
            it there; 0 for a report without it.

    """

    resamples: Annotated[int, Field(ge=100)]
    seed: Seed
    calibration_bins: Annotated[int, Field(ge=2)]
    groups: Annotated[int, Field(ge=1)]
    words: Annotated[int, Field(ge=1)]
    examples: Annotated[int, Field(ge=0)]
    custom_reviews: Annotated[int, Field(ge=0)]
    model_megabytes: Annotated[float, Field(ge=0)]


class CustomReviewsParameters(Parameters):
    """The table of custom reviews, which the final model scores.

    Attributes:
        text_column: Name of its column with the texts. With `auto`, it is the name of that column
            in the training data, or if there is no such column, found as it is there.

    """

    text_column: str
