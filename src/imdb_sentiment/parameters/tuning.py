"""Parameters of the pipeline tuning: the hyperparameters, and how the best are searched for."""

import math
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from imdb_sentiment.parameters.base import Parameters

if TYPE_CHECKING:
    import optuna


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
