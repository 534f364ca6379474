"""The typed parameters of the project, one model for each top-level key of conf/.

Nodes name these models in their signatures, so Kedro builds and validates them before anything
runs. Values live in conf/base alone: no model has a default, and an unknown key is an error.
"""

import math
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

if TYPE_CHECKING:
    import optuna

Fraction = Annotated[float, Field(gt=0, lt=1)]


class Parameters(BaseModel):
    """Base of all parameter models: immutable, and strict about names.

    Numbers may stand for text, so that labels such as 0 and 1 need no quotes in YAML.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


def normalise_label(label: str) -> str:
    """Return the form in which labels and split names are compared: trimmed and case folded."""
    return label.strip().casefold()


class ReviewsParameters(Parameters):
    """Where the CSV keeps text and label, which labels there are, and how much may be unusable.

    Attributes:
        file: Name of the CSV, for messages and reports.
        text_column: Column with the review's text.
        label_column: Column with the review's label.
        labels: The labels in the order of their codes 0, 1, …; of two labels the second is the
            positive class.
        max_rejected_fraction: Share of rows that may be refused before the run stops.

    """

    file: str
    text_column: str
    label_column: str
    labels: Annotated[tuple[str, ...], Field(min_length=2)]
    max_rejected_fraction: Annotated[float, Field(ge=0, le=1)]

    @model_validator(mode="after")
    def _labels_differ(self) -> Self:
        if len({normalise_label(label) for label in self.labels}) < len(self.labels):
            raise ValueError(f"labels must differ after trimming and case folding: {self.labels}")
        if self.text_column == self.label_column:
            raise ValueError("text_column and label_column must differ")
        return self


class SplitParameters(Parameters):
    """How rows are divided into training, validation and test.

    Attributes:
        method: `random` draws stratified splits; `column` takes them from the CSV.
        column: Column that says `train`, `validation` or `test`; used by the method `column`.
        test_fraction: Share of all rows held out for the test; used by the method `random`.
        validation_fraction: Share of the training rows held out for validation; with the method
            `column` it is used where the column names no validation rows.
        group_column: Column with what reviews may have in common, such as their film; null for
            none. Rows of one group are drawn into one split.
        seed: Seed of the random splits.

    """

    method: Literal["random", "column"]
    column: str
    group_column: str | None
    test_fraction: Fraction
    validation_fraction: Fraction
    seed: int


class TokenizerParameters(Parameters):
    """What a token is, how many are known, and how many a review has.

    Attributes:
        kind: `words`, or `bpe` for words and parts of words (Sennrich et al., ACL 2016), so that
            rare words are made of known parts.
        vocabulary_size: How many tokens are known: the most frequent words of the training rows, or
            as many parts of words.
        sequence_length: Tokens kept of a review: its last ones, padded on the left.

    """

    kind: Literal["words", "bpe"]
    vocabulary_size: Annotated[int, Field(ge=1)]
    sequence_length: Annotated[int, Field(ge=1)]


class WordVectorsParameters(Parameters):
    """How vectors of the tokens are learnt before training, from the text alone.

    Attributes:
        method: `word2vec` (Mikolov et al., 2013), or `none`.
        size: Width of a vector.
        window: Words to each side that are its context.
        skip_gram: Whether a word is to tell its context, rather than the context the word.
        epochs: Passes over the text.
        norm: Length that each vector is brought to: word2vec's grow with a word's frequency. None
            to leave them as they are.
        seed: Of the initial vectors and the negative samples.

    """

    method: Literal["none", "word2vec"]
    size: Annotated[int, Field(ge=1)]
    window: Annotated[int, Field(ge=1)]
    skip_gram: bool
    epochs: Annotated[int, Field(ge=1)]
    norm: Annotated[float, Field(gt=0)] | None
    seed: int


class Hyperparameters(Parameters):
    """All that shapes the network and its training; each may appear in the search space.

    Attributes:
        embedding_size: Width of the word vectors, where they are learnt from nothing.
        pretrained_embedding: Whether they begin as `word_vectors` has them, at that width.
        spatial_dropout_rate: Share of the dimensions of the word vectors dropped in training, each
            for a whole review (Tompson et al., CVPR 2015).
        bidirectional: Whether a second LSTM reads from the end (Graves and Schmidhuber, 2005).
        lstm_layers: LSTMs one upon the other.
        units: Width of an LSTM's state; a bidirectional one has it twice.
        recurrent_dropout_rate: Share of the state dropped from a step to the next in training (Gal
            and Ghahramani, NeurIPS 2016). Above 0, training takes Keras's own LSTM: it is slower.
        pooling: What of the LSTM's outputs counts: the `last`, their `max` or `mean` over the
            words, `max_mean` for both, or `attention`.
        dropout_rate: Share of what is left after pooling that is dropped in training.
        optimizer: Name of the Keras optimizer.
        learning_rate: The optimizer's step size, at the beginning.
        learning_rate_schedule: `constant`, or `cosine` for a decay to 0 over the epochs.
        gradient_clip_norm: Norm, as Keras counts it, to which a longer gradient is cut; 0 for none.
        ema_momentum: The network is the exponential moving average of its weights over the steps,
            with this momentum (Polyak and Juditsky, 1992); 0 for the last weights.
        batch_size: Reviews a gradient step.
        epochs: Passes over the training rows.
        min_steps: Gradient steps at least: few rows are passed over more often than `epochs` says.
            0 for no such limit.
        early_stopping_patience: Epochs without a better accuracy on the rows held out after which
            training ends, with the best epoch's weights; 0 for all epochs, and the last.

    """

    embedding_size: Annotated[int, Field(ge=1)]
    pretrained_embedding: bool
    spatial_dropout_rate: Annotated[float, Field(ge=0, lt=1)]
    bidirectional: bool
    lstm_layers: Annotated[int, Field(ge=1)]
    units: Annotated[int, Field(ge=1)]
    recurrent_dropout_rate: Annotated[float, Field(ge=0, lt=1)]
    pooling: Literal["last", "max", "mean", "max_mean", "attention"]
    dropout_rate: Annotated[float, Field(ge=0, lt=1)]
    optimizer: Literal["adam", "adamw", "nadam", "rmsprop", "sgd"]
    learning_rate: Annotated[float, Field(gt=0)]
    learning_rate_schedule: Literal["constant", "cosine"]
    gradient_clip_norm: Annotated[float, Field(ge=0)]
    ema_momentum: Annotated[float, Field(ge=0, lt=1)]
    batch_size: Annotated[int, Field(ge=1)]
    epochs: Annotated[int, Field(ge=1)]
    min_steps: Annotated[int, Field(ge=0)]
    early_stopping_patience: Annotated[int, Field(ge=0)]

    def count_epochs(self, n_rows: int) -> int:
        """Return how often training passes over so many rows."""
        steps = math.ceil(n_rows / self.batch_size)
        return max(self.epochs, math.ceil(self.min_steps / steps))


class IntRange(Parameters):
    """Whole numbers from `low` to `high`, both included."""

    type: Literal["int"]
    low: int
    high: int
    step: Annotated[int, Field(ge=1)] = 1
    log: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        _require_range(self)
        if self.log and self.step > 1:
            raise ValueError("log and step can't go together")
        return self

    def values(self) -> Iterator[Any]:
        """Yield the values that bound the range."""
        yield from (self.low, self.high)

    def to_optuna(self) -> "optuna.distributions.BaseDistribution":
        """Return the distribution as Optuna has it."""
        from optuna.distributions import IntDistribution

        return IntDistribution(self.low, self.high, log=self.log, step=self.step)


class FloatRange(Parameters):
    """Real numbers from `low` to `high`, on a logarithmic scale if `log`."""

    type: Literal["float"]
    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        _require_range(self)
        return self

    def values(self) -> Iterator[Any]:
        """Yield the values that bound the range."""
        yield from (self.low, self.high)

    def to_optuna(self) -> "optuna.distributions.BaseDistribution":
        """Return the distribution as Optuna has it."""
        from optuna.distributions import FloatDistribution

        return FloatDistribution(self.low, self.high, log=self.log)


def _require_range(distribution: IntRange | FloatRange) -> None:
    if distribution.low > distribution.high:
        raise ValueError("low is above high")
    if distribution.log and distribution.low <= 0:
        raise ValueError("with log, low must be above 0")


class Choices(Parameters):
    """One of the values listed."""

    type: Literal["categorical"]
    choices: Annotated[tuple[str | int | float | bool, ...], Field(min_length=1)]

    def values(self) -> Iterator[Any]:
        """Yield every choice."""
        yield from self.choices

    def to_optuna(self) -> "optuna.distributions.BaseDistribution":
        """Return the distribution as Optuna has it."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.choices)


Distribution = Annotated[IntRange | FloatRange | Choices, Field(discriminator="type")]


class OptunaClass(Parameters):
    """One of Optuna's samplers or pruners.

    Attributes:
        name: Name of the class, such as `TPESampler`.
        arguments: Of its constructor; null for none. A sampler's `seed` comes from `tuning.seed`.

    """

    name: str
    arguments: Annotated[dict[str, Any], BeforeValidator(lambda value: value or {})]


class TuningParameters(Parameters):
    """What the search looks for, how, how long and where.

    Attributes:
        study_name: Name of the study in its storage; another name starts another study.
        n_trials: Trials that the study is to have in all: completed, pruned, or failed for good.
        timeout: Seconds after which a run begins no further trial; null for no limit.
        patience: Trials without a better value after which the search ends; null for no limit.
        max_retries: How often a trial is begun again whose worker or run has died.
        workers: Trials at a time, each in a process of its own with its share of the cores; one
            trains in the run's own process.
        scheduler_address: A running Dask scheduler whose workers are used instead.
        dask_storage: Whether workers reach the study through the scheduler, which then keeps it:
            for a cluster whose machines share neither a disk nor a database.
        sampler: What proposes hyperparameters.
        pruner: What ends a trial that is clearly lost, after an epoch.
        evaluate_on: Rows that trials are scored on. `test` is the recipe of many tutorials, which
            flatters: the test set then takes part in choosing the model.
        seed: Seed of the sampler, and of every trial's initial weights.
        search_space: The distribution of each hyperparameter that is searched; the others keep
            their value from `hyperparameters`.

    """

    study_name: Annotated[str, Field(min_length=1)]
    n_trials: Annotated[int, Field(ge=1)]
    timeout: Annotated[float, Field(gt=0)] | None
    patience: Annotated[int, Field(ge=1)] | None
    max_retries: Annotated[int, Field(ge=0)]
    workers: Annotated[int, Field(ge=1)]
    scheduler_address: str | None
    dask_storage: bool
    sampler: OptunaClass
    pruner: OptunaClass
    evaluate_on: Literal["validation", "test"]
    seed: int
    search_space: dict[str, Distribution]

    @field_validator("search_space", mode="before")
    @classmethod
    def _without_removed(cls, space: Any) -> Any:
        """Drop what an environment has set to null, to take it out of the search."""
        if isinstance(space, dict):
            return {name: value for name, value in space.items() if value is not None}
        return space

    @model_validator(mode="after")
    def _optuna_has_these(self) -> Self:
        """Build sampler and pruner once, so that a wrong argument is found before any work."""
        self.make_sampler(0)
        self.make_pruner()
        if self.dask_storage and not self.is_parallel:
            raise ValueError("dask_storage needs a scheduler_address, or more than one worker")
        return self

    @property
    def is_parallel(self) -> bool:
        """Whether trials run in processes of their own, several at a time."""
        return self.workers > 1 or self.scheduler_address is not None

    def make_sampler(self, seed: int) -> "optuna.samplers.BaseSampler":
        """Return a new sampler.

        Raises:
            ValueError: Optuna has no such sampler, or it can't be built with these arguments.

        """
        import optuna

        arguments = {**self.sampler.arguments, "seed": seed}
        if self.sampler.name == "TPESampler":
            # Whether to count running trials as bad, so that trials at a time keep apart. With one
            # worker, a running trial is one that a crash left behind: it must not sway the next.
            arguments.setdefault("constant_liar", self.is_parallel)
        chosen = OptunaClass(name=self.sampler.name, arguments=arguments)
        sampler: optuna.samplers.BaseSampler = _build(optuna.samplers, "sampler", chosen)
        return sampler

    def make_pruner(self) -> "optuna.pruners.BasePruner":
        """Return a new pruner.

        Raises:
            ValueError: Optuna has no such pruner, or it can't be built with these arguments.

        """
        import optuna

        pruner: optuna.pruners.BasePruner = _build(optuna.pruners, "pruner", self.pruner)
        return pruner

    @model_validator(mode="after")
    def _space_fits_hyperparameters(self) -> Self:
        for name, distribution in self.search_space.items():
            field = Hyperparameters.model_fields.get(name)
            if field is None:
                known = ", ".join(Hyperparameters.model_fields)
                raise ValueError(f"search_space: unknown hyperparameter {name!r}; known: {known}")
            annotated: Any = Annotated[field.annotation, field]
            adapter: TypeAdapter[Any] = TypeAdapter(annotated)
            for value in distribution.values():
                try:
                    adapter.validate_python(value)
                except ValidationError as error:
                    problem = error.errors()[0]["msg"]
                    raise ValueError(f"search_space: {name} = {value!r}: {problem}") from None
            if isinstance(distribution, FloatRange) and field.annotation is int:
                raise ValueError(f"search_space: {name} takes whole numbers: use type int")
        return self


# They keep count of a study by themselves, which Optuna's own loop would have to run for.
_UNFIT = ("BruteForceSampler", "GridSampler", "PartialFixedSampler")
# What Optuna imports only when it is first used, which would be after hours of work.
_NEEDED_PACKAGES = {"CmaEsSampler": "cmaes", "GPSampler": "torch", "WilcoxonPruner": "scipy"}


def _build(module: ModuleType, kind: str, chosen: OptunaClass) -> Any:
    known = [
        name
        for name in module.__all__
        if name.endswith(kind.capitalize()) and name not in _UNFIT and not name.startswith("Base")
    ]
    if chosen.name not in known:
        raise ValueError(f"{kind}: {chosen.name!r} is none of {', '.join(known)}")
    package = _NEEDED_PACKAGES.get(chosen.name)
    if package and find_spec(package) is None:
        raise ValueError(
            f"{kind}: {chosen.name} needs the package {package}: pip install {package}"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some classes and arguments are "experimental"
        try:
            return getattr(module, chosen.name)(**chosen.arguments)
        except (TypeError, ValueError, ImportError) as error:
            raise ValueError(f"{kind}: {chosen.name}: {error}") from error


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


class CustomReviewsParameters(Parameters):
    """The reviews that the finished model is tried on.

    Attributes:
        text_column: Column of the custom reviews' CSV with the text.

    """

    text_column: str


class InferenceParameters(Parameters):
    """The file that the finished model is to score.

    Attributes:
        text_column: Its column with the text.

    """

    text_column: str
