"""Parameters of the pipeline inference."""

from imdb_sentiment.parameters.base import Parameters


class InferenceParameters(Parameters):
    """The table that the final model scores.

    Attributes:
        text_column: Name of its text column. With `auto`, it is the name of the text column in the
            training data; if there is no such column, it is detected.

    """

    text_column: str
