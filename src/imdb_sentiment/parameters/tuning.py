"""Parameters of the pipeline tuning: the hyperparameters, and how to search for the best."""

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from imdb_sentiment.errors import InputError, suggest_name
from imdb_sentiment.parameters.base import Parameters, Seed
from imdb_sentiment.parameters.data_processing import Label

if TYPE_CHECKING:
    import optuna


# scikit-learn's names; `quadratic_kappa` is its `cohen_kappa_score` with quadratic weights.
MetricName = Literal[
    "accuracy",
    "balanced_accuracy",
    "f1_macro",
    "f1",
    "roc_auc",
    "log_loss",
    "quadratic_kappa",
    "mean_absolute_error",
]

# Hyperparameters that the weights from `pretrain_lstm` determine.
PRETRAINED = {"bidirectional", "chrono_initialization", "units"}

# Hyperparameters without effect if another one is on, or if it is off (0 or false).
UNUSED_IF = {
    "embedding_size": ("pretrained_embedding", True),
    "naive_bayes_scale": ("pretrained_embedding", False),
    "initial_length_fraction": ("early_stopping_patience", True),
}


NO_ROWS_TO_WATCH = (
    "hyperparameters.early_stopping_patience needs rows that are held out: set "
    "training.use_validation_rows: false, or early_stopping_patience: 0"
)


class Hyperparameters(Parameters):
    """The network and its training; each of these may appear in the search space.

    Attributes:
        embedding_size: Size of the word vectors, unless they are pretrained.
        pretrained_embedding: Whether the embedding starts from `word_vectors`, with their size.
        naive_bayes_scale: Factor of the log-count ratios of naive Bayes, which a pretrained
            embedding has next to the word vectors, one for each output (Wang and Manning, ACL
            2012). With more than 2,000 training rows, it is multiplied by 2,000 divided by their
            number, and with more than ten labels, by ten divided by theirs. 0 for no ratios.
        spatial_dropout_rate: Fraction of the dimensions of the word vectors dropped in training,
            the same ones for all words of a review (Tompson et al., CVPR 2015).
        bidirectional: Whether a second LSTM reads each review backwards (Graves and Schmidhuber,
            2005).
        lstm_layers: Number of stacked LSTM layers.
        units: Size of an LSTM's state, in each direction.
        chrono_initialization: Longest dependency, in tokens, that the initial biases of the LSTM's
            gates allow for (Tallec and Ollivier, ICLR 2018); 0 for Keras's biases.
        pooling: How the LSTM's outputs are reduced to one vector: the `last` output, the `max` or
            `mean` over the words, or `max_mean` for both side by side.
        dropout_rate: Fraction of the pooled vector dropped in training.
        optimizer: Name of the Keras optimizer.
        learning_rate: Initial learning rate.
        learning_rate_schedule: `constant`, or `cosine` for a decay to 0 over all epochs.
        batch_size: Number of reviews per gradient step.
        epochs: Number of passes over the training rows.
        min_steps: Minimum number of gradient steps; with few rows, training takes more passes than
            `epochs` to reach it. 0 for no minimum.
        min_steps_per_label: The same for each label of the table.
        max_steps: Maximum number of gradient steps on labelled rows: with very many, training takes
            fewer passes than `epochs`, but at least one, and never fewer than the minimum takes. 0
            for no maximum.
        initial_length_fraction: Share of a sequence read in the first of several epochs, in which
            longer reviews lack their middle. It grows evenly to 1 in the last epoch (the "sequence
            length warmup" of Li et al., NeurIPS 2022). 1 for whole sequences in all epochs, which
            early stopping always uses.
        early_stopping_patience: Number of epochs without a better `tuning.metric` on held-out rows
            after which training stops and restores the best epoch's weights; 0 to train for all
            epochs and keep the last weights.
        mixed_precision: Whether to train LSTMs in bfloat16 on a GPU.

    """

    embedding_size: Annotated[int, Field(ge=1)]
    pretrained_embedding: bool
    naive_bayes_scale: Annotated[float, Field(ge=0)]
    spatial_dropout_rate: Annotated[float, Field(ge=0, lt=1)]
    bidirectional: bool
    lstm_layers: Annotated[int, Field(ge=1)]
    units: Annotated[int, Field(ge=1)]
    chrono_initialization: Annotated[int, Field(ge=0)]
    pooling: Literal["last", "max", "mean", "max_mean"]
    dropout_rate: Annotated[float, Field(ge=0, lt=1)]
    optimizer: Literal["adam", "adamw", "nadam", "rmsprop", "sgd"]
    learning_rate: Annotated[float, Field(gt=0)]
    learning_rate_schedule: Literal["constant", "cosine"]
    batch_size: Annotated[int, Field(ge=1)]
    epochs: Annotated[int, Field(ge=1)]
    min_steps: Annotated[int, Field(ge=0)]
    early_stopping_patience: Annotated[int, Field(ge=0)]
    # As in files and studies made before there was a choice.
    mixed_precision: bool = False
    min_steps_per_label: Annotated[int, Field(ge=0)] = 0
    max_steps: Annotated[int, Field(ge=0)] = 20_000  # so that earlier studies continue
    initial_length_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0

    def count_epochs(self, n_rows: int, n_labels: int) -> int:
        """Return the number of passes over a training set of `n_rows` rows with `n_labels`."""
        steps = math.ceil(n_rows / self.batch_size)
        _, min_steps = self.find_min_steps(n_labels)
        at_most = max(1, self.max_steps // steps) if self.max_steps else self.epochs
        return max(min(self.epochs, at_most), math.ceil(min_steps / steps))

    def find_min_steps(self, n_labels: int) -> tuple[str, int]:
        """Return the minimum number of gradient steps, after the name of what decides about it."""
        of_labels = self.min_steps_per_label * n_labels
        if of_labels > self.min_steps:
            return "min_steps_per_label", of_labels
        return "min_steps", self.min_steps


class _Range(Parameters):
    """Base of the ranges, whose fields are those of Optuna's abbreviated JSON format."""

    def to_optuna(self) -> "optuna.distributions.BaseDistribution":
        """Return Optuna's distribution of these values."""
        from optuna.distributions import json_to_distribution

        return json_to_distribution(json.dumps(self.model_dump()))

    @model_validator(mode="after")
    def _can_be_sampled(self) -> Self:
        """Let Optuna refuse a range that it can't draw from, such as an empty one."""
        self._require_whole_steps()
        self.to_optuna()
        return self

    def _require_whole_steps(self) -> None:
        """Refuse a range that Optuna would shorten."""


class IntRange(_Range):
    """Whole numbers from `low` to `high`, both included.

    Attributes:
        low: The lowest value.
        high: The highest value.
        step: Difference between neighbouring values.
        log: Whether values are drawn on a logarithmic scale.

    """

    type: Literal["int"]
    low: int
    high: int
    step: int = 1
    log: bool = False

    def _require_whole_steps(self) -> None:
        rest = (self.high - self.low) % self.step if self.step > 0 else 0
        if self.high > self.low and rest and not self.log:
            raise ValueError(
                f"steps of {self.step} do not lead from {self.low} to {self.high}: set high to "
                f"{self.high - rest} or {self.high - rest + self.step}, or step to another value"
            )

    def values(self) -> tuple[int, ...]:
        """Return the values that bound the range."""
        return self.low, self.high


class FloatRange(_Range):
    """Real numbers from `low` to `high`, both included.

    Attributes:
        low: The lowest value.
        high: The highest value.
        log: Whether values are drawn on a logarithmic scale.

    """

    type: Literal["float"]
    low: float
    high: float
    log: bool = False

    def values(self) -> tuple[float, ...]:
        """Return the values that bound the range."""
        return self.low, self.high


class Choices(_Range):
    """One of the listed values.

    Attributes:
        choices: The values.

    """

    type: Literal["categorical"]
    choices: tuple[str | int | float | bool, ...]

    @field_validator("choices")
    @classmethod
    def _are_distinct(
        cls, choices: tuple[str | int | float | bool, ...]
    ) -> tuple[str | int | float | bool, ...]:
        for place, choice in enumerate(choices):
            if choice in choices[:place]:  # true and 1 are the same
                raise ValueError(f"remove {choice!r}, which is the same as an earlier choice")
        return choices

    def values(self) -> tuple[str | int | float | bool, ...]:
        """Return every choice."""
        return self.choices


class OptunaClass(Parameters):
    """One of Optuna's samplers or pruners.

    Attributes:
        name: Name of the class, such as `TPESampler`.
        arguments: Arguments of its constructor; null for none. The `seed` of a sampler comes from
            `tuning.seed`.

    """

    name: str
    arguments: Annotated[dict[str, Any], BeforeValidator(lambda value: value or {})]


class PseudoLabelsParameters(Parameters):
    """Pseudo-labels of unlabelled reviews, predicted by n-grams, which the network learns first.

    The n-grams of the final model then learn what the network and n-grams predict together for up
    to 50,000 of these reviews, if that improves the average.

    Attributes:
        max_reviews: Maximum number of these reviews, at least 1,000; of more, some are drawn at
            random. 0 to leave this out.

    """

    max_reviews: Literal[0] | Annotated[int, Field(ge=1000)]


class ProtocolParameters(Parameters):
    """The reviews that the trials of a search are scored on.

    Attributes:
        folds: Number of folds of a cross-validation on the training and validation rows: each
            fold is scored by a network that has learnt from the others. 1 to score the validation
            rows alone. `auto` for two folds if fewer than 1,000 validation rows are drawn, which
            can't tell two trials apart, and each label has enough rows. Groups of rows are
            not divided.
        evaluate_on: Rows that trials are scored on. With `test`, as in many tutorials, the test set
            takes part in choosing the model, so the test accuracy is too high.
        seed: Seed of the sampler, of the folds, and of the training in every trial.

    """

    folds: Literal["auto"] | Annotated[int, Field(ge=1)]
    evaluate_on: Literal["validation", "test"]
    seed: Seed


class MetricParameters(Parameters):
    """The metric by which trials and decisions are judged.

    Attributes:
        metric: Metric that the search maximises, or for `log_loss` and `mean_absolute_error`
            minimises, on reviews that the networks have not learnt from. `f1_macro` and
            `balanced_accuracy` give every label the same weight, however rare it is;
            `quadratic_kappa` and `mean_absolute_error` are for ordinal labels (`reviews.ordered`).
        metric_label: The label whose F1 is the metric `f1`; null for the second of two labels.

    """

    metric: MetricName
    metric_label: Label | None


class TuningParameters(ProtocolParameters, MetricParameters):
    """The search for the best hyperparameters.

    Attributes:
        study_name: Name of the study in its storage. If its trials can't be compared with those of
            this run, the study NAME 2 is used instead, or the next that can be.
        start_from: Name of an earlier study, for instance on fewer rows. Every second trial of this
            study reuses the hyperparameters of a trial of that one, best first; null for none.
        n_trials: Total number of trials of the study: completed, pruned, or failed for good. If
            nothing is searched, there is one.
        timeout: Number of seconds after which a run starts no further trial; null for no limit.
        patience: Number of trials without a better value after which the search ends; null for no
            limit.
        max_retries: Maximum number of retries of a trial whose worker or run has died.
        workers: Number of simultaneous trials, each in a process of its own with its share of the
            cores. With 1, trials run in the process of the run.
        scheduler_address: Address of a running Dask scheduler, whose workers are used instead; null
            for none.
        sampler: Class that proposes hyperparameters.
        pruner: Class that ends unpromising trials after an epoch, or in a cross-validation after a
            fold.
        search_space: Range of each hyperparameter that is searched; the others keep their value
            from `hyperparameters`. An environment removes one from the search by setting it to
            null.

    """

    study_name: Annotated[str, Field(min_length=1)]
    start_from: str | None
    n_trials: Annotated[int, Field(ge=1)]
    timeout: Annotated[float, Field(gt=0)] | None
    patience: Annotated[int, Field(ge=1)] | None
    max_retries: Annotated[int, Field(ge=0)]
    workers: Annotated[int, Field(ge=1)]
    scheduler_address: str | None
    sampler: OptunaClass
    pruner: OptunaClass
    search_space: dict[str, Annotated[IntRange | FloatRange | Choices, Field(discriminator="type")]]

    @field_validator("search_space", mode="before")
    @classmethod
    def _without_removed(cls, space: Any) -> Any:
        """Drop hyperparameters that an environment has set to null."""
        if isinstance(space, dict):
            return {name: value for name, value in space.items() if value is not None}
        return space

    @model_validator(mode="after")
    def _sampler_and_pruner_work(self) -> Self:
        """Try both once, so that wrong names and arguments are found before any work."""
        from imdb_sentiment.search.samplers_and_pruners import try_sampler_and_pruner

        try_sampler_and_pruner(
            self.sampler.model_dump(),
            self.pruner.model_dump(),
            {name: searched.to_optuna() for name, searched in self.search_space.items()},
            is_parallel=self.is_parallel,
        )
        return self

    @model_validator(mode="after")
    def _folds_can_be_drawn(self) -> Self:
        """Refuse folds of reviews that trials are not scored on."""
        if self.evaluate_on == "test" and self.folds not in ("auto", 1):
            raise ValueError(
                f"folds is {self.folds}, but evaluate_on is test, without a cross-validation: set "
                "evaluate_on to validation, or folds to auto"
            )
        return self

    def may_be_on(self, name: str, hyperparameters: Hyperparameters) -> bool:
        """Return whether any trial may have a value of a hyperparameter other than 0 or False."""
        return any(self._list_values(name, hyperparameters))

    def _list_values(self, name: str, hyperparameters: Hyperparameters) -> tuple[Any, ...]:
        searched = self.search_space.get(name)
        return searched.values() if searched else (getattr(hyperparameters, name),)

    def find_unused(self, hyperparameters: Hyperparameters) -> dict[str, str]:
        """Return the hyperparameters that no trial uses; each with the one that is the reason."""
        return {
            name: other
            for name, (other, is_on) in UNUSED_IF.items()
            if all(bool(value) == is_on for value in self._list_values(other, hyperparameters))
        }

    def require_effects(self, hyperparameters: Hyperparameters) -> None:
        """Raise `InputError` if the search has a hyperparameter that no trial would use."""
        for name, other in self.find_unused(hyperparameters).items():
            if name in self.search_space:
                raise InputError(
                    f"tuning.search_space has {name}, which has no effect in any trial, since "
                    f"{other} is {'on' if UNUSED_IF[name][1] else 'off'}: set "
                    f"tuning.search_space.{name} to null, or change hyperparameters.{other}"
                )

    def require_effect_of_epochs(
        self, hyperparameters: Hyperparameters, sizes: Sequence[int], n_labels: int
    ) -> None:
        """Raise `InputError` if `epochs` is searched, but the limits of the steps always decide.

        Args:
            hyperparameters: Values of the hyperparameters that are not searched.
            sizes: Numbers of rows that the networks of a trial learn from.
            n_labels: Number of labels.

        """
        if "epochs" not in self.search_space:
            return
        names = ("epochs", "batch_size", "min_steps", "min_steps_per_label", "max_steps")
        values = {name: self._list_values(name, hyperparameters) for name in names}
        lowest, highest = ({name: limit(values[name]) for name in names} for limit in (min, max))
        least = hyperparameters.model_copy(update={**lowest, "epochs": 1})
        epochs = least.count_epochs(max(sizes), n_labels)
        if highest["epochs"] <= epochs:
            name, min_steps = least.find_min_steps(n_labels)
            raise InputError(
                f"tuning.search_space has epochs, which has no effect in any trial: {min_steps} "
                f"steps (hyperparameters.{name}) take {epochs} epochs or more of "
                f"{max(sizes):,} rows: set tuning.search_space.epochs to null, or lower "
                f"hyperparameters.{name}"
            )
        without_minimum = {"min_steps": 0, "min_steps_per_label": 0}
        most = hyperparameters.model_copy(update={**highest, **without_minimum})
        epochs = most.count_epochs(min(sizes), n_labels)
        if all(values["max_steps"]) and epochs <= lowest["epochs"] < highest["epochs"]:
            raise InputError(
                "tuning.search_space has epochs, which has no effect in any trial: with "
                f"{min(sizes):,} rows, {most.max_steps} steps (hyperparameters.max_steps) allow no "
                f"more than {epochs}: set tuning.search_space.epochs to null, or raise "
                "hyperparameters.max_steps"
            )

    def require_rows_to_watch(
        self, hyperparameters: Hyperparameters, *, use_validation_rows: bool
    ) -> None:
        """Raise `InputError` if a trial may stop early, but the final training has no such rows."""
        if use_validation_rows and self.may_be_on("early_stopping_patience", hyperparameters):
            raise InputError(NO_ROWS_TO_WATCH)

    def require_fixed_shape(self) -> None:
        """Raise `InputError` if the search would change the shape of a pretrained LSTM."""
        if searched := PRETRAINED & self.search_space.keys():
            raise InputError(
                f"tuning.search_space can't have {', '.join(sorted(searched))}, which the "
                "pretrained LSTM determines: set it to null, or run data_processing again with "
                "language_model.passes and passes_without_unlabelled: 0"
            )

    @property
    def different_trials(self) -> int:
        """Number of trials of the study: one if nothing is searched, as all would be the same."""
        searched = (set(values.values()) for values in self.search_space.values())
        return self.n_trials if any(len(values) > 1 for values in searched) else 1

    @property
    def is_parallel(self) -> bool:
        """Whether trials run on workers, possibly several at the same time."""
        return self.workers > 1 or self.scheduler_address is not None

    @model_validator(mode="after")
    def _space_fits_hyperparameters(self) -> Self:
        for name, searched in self.search_space.items():
            field = Hyperparameters.model_fields.get(name)
            if field is None:
                proposal = suggest_name(name, Hyperparameters.model_fields)
                raise ValueError(f"search_space: unknown hyperparameter {name!r}: {proposal}")
            annotated: Any = Annotated[field.annotation, field]
            adapter: TypeAdapter[Any] = TypeAdapter(annotated, config=self.model_config)
            for value in searched.values():
                try:
                    read = adapter.validate_python(value)
                except ValidationError as error:
                    problem = error.errors()[0]["msg"]
                    raise ValueError(f"search_space: {name} = {value!r}: {problem}") from None
                if isinstance(value, str) and not isinstance(read, str):
                    raise ValueError(f"search_space: {name} = {value!r}: leave out the quotes")
            if isinstance(searched, FloatRange) and field.annotation in (int, bool):
                kind = "int" if field.annotation is int else "categorical"
                raise ValueError(f"search_space: {name} can't have a fraction: use type {kind}")
        return self
