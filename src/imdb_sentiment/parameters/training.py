"""Parameters of the pipeline training."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, model_validator

from imdb_sentiment.parameters.base import Fraction, Parameters, Seed
from imdb_sentiment.parameters.data_processing import Label

# Weights of the labels in the loss, as scikit-learn's `class_weight`.
ClassWeight = Literal["balanced"] | dict[Label, Annotated[float, Field(gt=0)]] | None
_class_weight: TypeAdapter[ClassWeight] = TypeAdapter(ClassWeight, config=Parameters.model_config)


def parse_class_weight(value: Any) -> ClassWeight:
    """Return a validated `class_weight`, as `TrainingParameters` has it.

    Kedro validates only the groups that a node of the run reads as a whole. To other nodes, it
    gives the values of the YAML file, where labels may be numbers or truth values.
    """
    return _class_weight.validate_python(value)


class NgramsParameters(Parameters):
    """A linear model on word and character n-grams, averaged with the network.

    Attributes:
        share: Share of the linear model in the average; `auto` to fit it to held-out reviews, 0
            for no linear model, 1 to export it without the network.
        max_ngram: Maximum number of words and punctuation marks in an n-gram.
        min_document_frequency: Minimum number of training reviews that contain an n-gram; with
            unlabelled reviews, of both together.
        max_features: Maximum number of word n-grams, and of character n-grams: the most frequent
            ones of the labelled reviews, and of unlabelled ones whose predicted labels are learnt.
            Latent semantic analysis may add up to 100,000 of each.
        character_ngram: Length of the character n-grams within words; 0 for none.
        character_weight: Norm of a review's TF-IDF vector of character n-grams; that of its word
            n-grams has a norm of 1. `auto` to choose it on held-out reviews.
        latent_dimensions: Number of dimensions of the latent semantic analysis of unlabelled
            reviews; 0 for none. It has no effect without them, or if their labels, which the
            network predicts, are learnt instead (see `PseudoLabelsParameters`).
        inverse_regularisation: `C` of the logistic regression.

    """

    share: Literal["auto"] | Annotated[float, Field(ge=0, le=1)]
    max_ngram: Annotated[int, Field(ge=1)]
    min_document_frequency: Annotated[int, Field(ge=1)]
    max_features: Annotated[int, Field(ge=1)]
    character_ngram: Literal[0] | Annotated[int, Field(ge=3, le=20)]
    character_weight: Literal["auto"] | Annotated[float, Field(ge=0, le=100)]
    latent_dimensions: Annotated[int, Field(ge=0, le=1000)]
    inverse_regularisation: Annotated[float, Field(gt=0)]


Quantity = Literal["precision", "recall"]


class DecisionTarget(Parameters):
    """A precision or a recall that the predictions of a label should have.

    The threshold leaves a margin, so that new reviews are likely to have it as well.

    Attributes:
        label: The label.
        precision: Share of its predictions that should be right; null if `recall` is given.
        recall: Share of its reviews that should be found; null if `precision` is given.

    """

    label: Label
    precision: Fraction | None = None
    recall: Fraction | None = None

    @model_validator(mode="after")
    def _has_one_of_both(self) -> Self:
        if (self.precision is None) == (self.recall is None):
            raise ValueError("decision_target needs either a precision or a recall")
        return self

    @property
    def quantity(self) -> Quantity:
        """Which of the two is given."""
        return "recall" if self.precision is None else "precision"

    @property
    def value(self) -> float:
        """The value that is to be reached."""
        return getattr(self, self.quantity)  # type: ignore[no-any-return]


class TrainingParameters(Parameters):
    """The training of the final model, and its decision rule.

    Attributes:
        class_weight: Weight of each label in the loss of the networks, of the n-grams and of the
            baseline: `balanced` for weights in inverse proportion to the number of rows, so that
            rare labels are predicted more often; or a weight for some labels, such as `{spam: 5}`;
            null for equal weights. The probabilities are calibrated afterwards; the decisions stay
            those of the weighted models.
        decision: How probabilities become a label. `argmax` predicts the most probable label (with
            `class_weight`, the one that the weighted models prefer). `threshold` predicts the label
            with the largest product of probability and weight; the weights (for two labels, a
            threshold of the probability) are chosen on held-out rows to optimise `tuning.metric`
            or to reach `decision_target`. `median` predicts the median of ordered labels. `auto`
            is `threshold` if there is a `decision_target`; otherwise it depends on
            `tuning.metric`: `median` for metrics of ordered labels, `argmax` for the accuracy and
            metrics of probabilities, and `threshold` for all others.
        decision_target: Precision or recall of a label that `threshold` aims at instead of the
            metric; null for the metric.
        min_confidence: Confidence below which the exported model gives no answer: the probability
            of the predicted label, with thresholds its share of all products of probability and
            weight; 0 to always answer.
        use_validation_rows: Whether the final model is also trained on the validation rows, which
            are no longer needed once the hyperparameters are chosen.
        ngrams: The linear model that is averaged with the network.
        seed: Seed of the initial weights, the shuffling and the dropout.

    """

    class_weight: ClassWeight
    decision: Literal["auto", "argmax", "threshold", "median"]
    decision_target: DecisionTarget | None
    min_confidence: Annotated[float, Field(ge=0, lt=1)]
    use_validation_rows: bool
    ngrams: NgramsParameters
    seed: Seed

    @model_validator(mode="after")
    def _target_has_a_threshold(self) -> Self:
        if self.decision_target and self.decision in ("argmax", "median"):
            raise ValueError("decision_target needs decision: threshold, or auto")
        return self


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
