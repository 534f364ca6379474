"""Parameters of the pipeline training."""

from typing import Annotated

from pydantic import Field

from imdb_sentiment.parameters.base import Parameters


class NgramsParameters(Parameters):
    """A linear model of tokens and n-grams that is averaged with the networks.

    Attributes:
        share: What it counts in the average, the rest being the networks'; 0 for none of it.
        max_ngram: Longest n-gram of tokens counted.
        min_document_frequency: Training reviews that an n-gram must occur in, together with those
            that share its bucket.
        inverse_regularisation: `C` of its logistic regression.

    """

    share: Annotated[float, Field(ge=0, lt=1)]
    max_ngram: Annotated[int, Field(ge=1)]
    min_document_frequency: Annotated[int, Field(ge=1)]
    inverse_regularisation: Annotated[float, Field(gt=0)]


class TrainingParameters(Parameters):
    """How the final model is trained.

    Attributes:
        use_validation_rows: Whether the final model also learns from the validation rows, which
            have done their work once the hyperparameters are chosen.
        networks: How many are trained, each with a seed of its own, and averaged into one model.
        ngrams: A linear model that is averaged with them.
        seed: Seed of the initial weights, the shuffling and the dropout.

    """

    use_validation_rows: bool
    networks: Annotated[int, Field(ge=1)]
    ngrams: NgramsParameters
    seed: int

    @property
    def is_average(self) -> bool:
        """Whether the final model is more than one network."""
        return self.networks > 1 or self.ngrams.share > 0


class SelfTrainingParameters(Parameters):
    """How the final model also learns from reviews without labels (Xie et al., CVPR 2020).

    Attributes:
        teachers: Networks, each with a seed of its own, whose average guesses the labels; 0 to
            learn from the labelled reviews alone.
        baseline_weight: Share of the linear baseline in that guess: it errs elsewhere.

    """

    teachers: Annotated[int, Field(ge=0)]
    baseline_weight: Annotated[float, Field(ge=0, le=1)]


class BaselineParameters(Parameters):
    """The linear model that the LSTM is compared with.

    Attributes:
        max_ngram: Longest word n-gram counted.
        min_document_frequency: Training reviews that an n-gram must occur in.
        inverse_regularisation: `C` of the logistic regression.

    """

    max_ngram: Annotated[int, Field(ge=1)]
    min_document_frequency: Annotated[int, Field(ge=1)]
    inverse_regularisation: Annotated[float, Field(gt=0)]
