"""Parameters of the pipeline inference."""

from imdb_sentiment.parameters.base import Parameters


class InferenceParameters(Parameters):
    """The table that the final model scores.

    Attributes:
        text_column: Name of its column with the texts. With `auto`, it is the name of that column
            in the training data, or if there is no such column, found as it is there.

    """

    text_column: str
