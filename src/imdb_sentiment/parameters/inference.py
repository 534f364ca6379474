"""Parameters of the pipeline inference."""

from imdb_sentiment.parameters.base import Parameters


class InferenceParameters(Parameters):
    """The file that the finished model is to score.

    Attributes:
        text_column: Its column with the text.

    """

    text_column: str
