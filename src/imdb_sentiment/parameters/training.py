"""Parameters of the pipeline training."""

from typing import Annotated, Literal

from pydantic import Field

from imdb_sentiment.parameters.base import Parameters


class NgramsParameters(Parameters):
    """A linear model on n-grams of words and punctuation marks, averaged with the networks.

    Attributes:
        share: Share of the linear model in the average; the networks share the rest equally. `auto`
            to fit it to held-out reviews, 0 for no linear model.
        max_ngram: Maximum number of words and punctuation marks in an n-gram.
        min_document_frequency: Minimum number of training reviews that contain the n-gram.
        max_features: Maximum number of n-grams in the model: the most frequent ones.
        inverse_regularisation: `C` of the logistic regression.

    """

    share: Literal["auto"] | Annotated[float, Field(ge=0, lt=1)]
    max_ngram: Annotated[int, Field(ge=1)]
    min_document_frequency: Annotated[int, Field(ge=1)]
    max_features: Annotated[int, Field(ge=1)]
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


class BaselineParameters(Parameters):
    """The linear model that the final model is compared with.

    Attributes:
        max_ngram: Maximum number of words in an n-gram.
        min_document_frequency: Minimum number of training reviews that contain an n-gram.
        inverse_regularisation: `C` of the logistic regression.

    """

    max_ngram: Annotated[int, Field(ge=1)]
    min_document_frequency: Annotated[int, Field(ge=1)]
    inverse_regularisation: Annotated[float, Field(gt=0)]
