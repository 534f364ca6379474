"""Parameters of the pipeline reporting."""

from typing import Annotated

from pydantic import Field

from imdb_sentiment.parameters.base import Parameters


class ReportParameters(Parameters):
    """How the test is judged and what the report shows.

    Attributes:
        resamples: Bootstrap draws behind an interval.
        seed: Of these draws.
        calibration_bins: Between the least confidence there can be and 1.
        groups: Of reviews of like length.
        words: That tell a label from the others, for each.
        examples: Reviews in each list of mistakes.
        custom_reviews: Of the user's own reviews, how many are shown.

    """

    resamples: Annotated[int, Field(ge=100)]
    seed: int
    calibration_bins: Annotated[int, Field(ge=2)]
    groups: Annotated[int, Field(ge=1)]
    words: Annotated[int, Field(ge=1)]
    examples: Annotated[int, Field(ge=0)]
    custom_reviews: Annotated[int, Field(ge=0)]


class CustomReviewsParameters(Parameters):
    """The reviews that the finished model is tried on.

    Attributes:
        text_column: Column of the custom reviews' CSV with the text.

    """

    text_column: str
