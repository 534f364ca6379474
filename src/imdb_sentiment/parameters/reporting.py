"""Parameters of the pipeline reporting."""

from typing import Annotated

from pydantic import Field

from imdb_sentiment.parameters.base import Parameters, Seed


class ReportParameters(Parameters):
    """The evaluation of the model on the test set, and the content of the report.

    Attributes:
        resamples: Number of bootstrap resamples per interval of a score other than the
            accuracy, and of the accuracy if reviews belong to groups; also the number of draws for
            the calibration error by chance.
        seed: Seed of the resampling.
        calibration_bins: Number of bins of the confidence, from its smallest possible value to 1.
        groups: Number of groups of reviews of similar length.
        words: Number of distinctive words shown per label; 0 for none.
        examples: Number of reviews in each list of mistakes.
        custom_reviews: Maximum number of custom reviews shown.
        model_megabytes: Maximum size of the model embedded in the report, where people can try it;
            0 for a report without the model.

    """

    resamples: Annotated[int, Field(ge=100)]
    seed: Seed
    calibration_bins: Annotated[int, Field(ge=2)]
    groups: Annotated[int, Field(ge=1)]
    words: Annotated[int, Field(ge=0)]
    examples: Annotated[int, Field(ge=0)]
    custom_reviews: Annotated[int, Field(ge=0)]
    model_megabytes: Annotated[float, Field(ge=0)]


class CustomReviewsParameters(Parameters):
    """The table of custom reviews, which the final model scores.

    Attributes:
        text_column: Name of its text column. With `auto`, it is the name of the text column in the
            training data; if there is no such column, it is detected.

    """

    text_column: str
