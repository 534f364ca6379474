"""Parameters of the pipeline training."""

from typing import Annotated

from pydantic import Field

from imdb_sentiment.parameters.base import Parameters


class NgramsParameters(Parameters):
    """A linear model on token n-grams, averaged with the networks.

    Attributes:
        share: Weight of the linear model in the average; the networks share the rest equally. 0
            for no linear model.
        max_ngram: Maximum number of tokens in an n-gram.
        min_document_frequency: Minimum number of training reviews that contain the n-gram or
            another one of the same hash bucket.
        inverse_regularisation: `C` of the logistic regression.

    """

    share: Annotated[float, Field(ge=0, lt=1)]
    max_ngram: Annotated[int, Field(ge=1)]
    min_document_frequency: Annotated[int, Field(ge=1)]
    inverse_regularisation: Annotated[float, Field(gt=0)]


class TrainingParameters(Parameters):
    """How the final model is trained.

    Attributes:
        use_validation_rows: Whether the final model is also trained on the validation rows, which
            are no longer needed once the hyperparameters are chosen.
        networks: Number of networks, each with its own seed, that are averaged into one model.
        ngrams: The linear model that is averaged with the networks.
        seed: Seed of the initial weights, the shuffling and the dropout.

    """

    use_validation_rows: bool
    networks: Annotated[int, Field(ge=1)]
    ngrams: NgramsParameters
    seed: int

    @property
    def is_average(self) -> bool:
        """Whether the final model is an average, not a single network."""
        return self.networks > 1 or self.ngrams.share > 0


class BaselineParameters(Parameters):
    """The linear model that the LSTM is compared with.

    Attributes:
        max_ngram: Maximum number of words in an n-gram.
        min_document_frequency: Minimum number of training reviews that contain an n-gram.
        inverse_regularisation: `C` of the logistic regression.

    """

    max_ngram: Annotated[int, Field(ge=1)]
    min_document_frequency: Annotated[int, Field(ge=1)]
    inverse_regularisation: Annotated[float, Field(gt=0)]
