"""Parameters of the pipeline inference."""

from imdb_sentiment.parameters.base import Parameters


class InferenceParameters(Parameters):
    """The CSV that the final model scores.

    Attributes:
        text_column: Name of its column with the texts.

    """

    text_column: str
