"""Training of the network. TensorFlow is imported inside the functions that need it."""

import itertools
import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from imdb_sentiment.cores import count_cores
from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.logits import (
    Logits,
    count_outputs,
    list_outputs,
)
from imdb_sentiment.evaluation.objectives import Metric
from imdb_sentiment.evaluation.stacking import judge_probabilities
from imdb_sentiment.interrupts import remembered_ctrl_c
from imdb_sentiment.network.model import (
    PREDICTION_BATCH_SIZE,
    KerasModel,
    PretrainedWeights,
    build_model,
    compile_network,
    compile_scorer,
    require_pretrained_shape,
    require_word_vectors,
    set_lstm_weights,
)
from imdb_sentiment.network.naive_bayes import (
    FULL_SCALE_LABELS,
    FULL_SCALE_ROWS,
    compute_log_count_ratios,
)
from imdb_sentiment.network.seeding import seeded
from imdb_sentiment.network.tensorflow_setup import tensorflow_setup
from imdb_sentiment.parameters import NO_ROWS_TO_WATCH, Hyperparameters
from imdb_sentiment.text.batching import count_tokens, group_by_length, pad_right, shorten
from imdb_sentiment.text.encoded_reviews import EncodedReviews

logger = logging.getLogger(__name__)

ROWS_PER_THREAD = 32  # rows of a batch; with fewer rows, another thread does not help

# Training steps between two returns to Python. Each return lets the cores wait; but until then,
# Ctrl-C has no effect and no progress is reported.
STEPS_PER_EXECUTION = 8

FINE_TUNING_FACTOR = 0.5  # of the learning rate, after pseudo-labels or a whole training

History = dict[str, list[float]]
EpochCallback = Callable[[int, int, dict[str, float]], None]
ProgressCallback = Callable[[float], None]


class PseudoLabels(NamedTuple):
    """Pseudo-labels of unlabelled reviews, predicted by n-grams, which a network learns first.

    As in weakly supervised learning (Severyn and Moschitti, "Twitter Sentiment Analysis with Deep
    Convolutional Neural Networks", SIGIR 2015), many labels with mistakes prepare a network for
    fewer right ones.

    Attributes:
        sequences: Token ids of parts of the reviews, shape (reviews, length), padded with 0 on the
            left.
        probabilities: Probability of each label, float32 of shape (reviews, labels).
        rows: Row number of each review in its table, shape (reviews,), dtype int64.

    """

    sequences: npt.NDArray[np.unsignedinteger]
    probabilities: npt.NDArray[np.float32]
    rows: npt.NDArray[np.int64]


@remembered_ctrl_c()
def train_model(
    train: EncodedReviews,
    hyperparameters: Hyperparameters,
    seed: int,
    validation: EncodedReviews | None = None,
    on_epoch_end: EpochCallback | None = None,
    *,
    word_vectors: npt.NDArray[np.float32] | None = None,
    pretrained: PretrainedWeights = (),
    label_weights: npt.NDArray[np.float64] | None = None,
    metric: Metric | None = None,
    on_progress: ProgressCallback | None = None,
    callbacks: Sequence[Any] = (),
    pseudo_labels: PseudoLabels | None = None,
) -> tuple[KerasModel, History]:
    """Build a network and train it, as `NetworkTrainer` does.

    Returns:
        The network, and the history from `NetworkTrainer.train`. So that the network can be trained
        further, it has a new optimizer, with half the learning rate: the schedule of the first one
        may have ended at 0.

    """
    trainer = NetworkTrainer(
        hyperparameters, word_vectors=word_vectors, pretrained=pretrained, metric=metric
    )
    history = trainer.train(
        train,
        seed,
        validation,
        on_epoch_end,
        label_weights=label_weights,
        on_progress=on_progress,
        callbacks=callbacks,
        pseudo_labels=pseudo_labels,
    )
    model = trainer.model
    compile_network(model, hyperparameters, FINE_TUNING_FACTOR * hyperparameters.learning_rate)
    model.optimizer.build(model.trainable_variables)  # otherwise, Keras warns when it is loaded
    return model, history


class NetworkTrainer:
    """Trains networks with the same hyperparameters, one after the other.

    Compiling a network takes TensorFlow as long as dozens of training steps. So if the next network
    has the same shape, as in the next fold of a cross-validation, the compiled network is kept and
    only gets new initial weights.

    Args:
        hyperparameters: Settings of the network and its training.
        word_vectors: Initial weights of a pretrained embedding, shape (vocabulary, width). With
            `naive_bayes_scale`, the log-count ratios of the reviews are added as further columns.
        pretrained: Weights from `pretrain_lstm`, with which a pretrained embedding and the first
            LSTM start instead; empty for none.
        metric: Metric of the validation reviews that early stopping watches; None for the accuracy.

    """

    def __init__(
        self,
        hyperparameters: Hyperparameters,
        *,
        word_vectors: npt.NDArray[np.float32] | None = None,
        pretrained: PretrainedWeights = (),
        metric: Metric | None = None,
    ) -> None:
        self._hyperparameters = hyperparameters
        self._word_vectors = word_vectors
        self._pretrained = pretrained
        self._metric = metric
        self._network: _CompiledNetwork | None = None
        self._first_network: _CompiledNetwork | None = None  # learns pseudo-labels

    @property
    def model(self) -> KerasModel:
        """The network that was trained last. The next call of `train` may change it."""
        return self._trained().model

    def score_logits(self, sequences: npt.NDArray[np.unsignedinteger]) -> Logits:
        """Return `imdb_sentiment.network.model.score_logits` of the network trained last."""
        return self._trained().score_logits(sequences)

    def _trained(self) -> "_CompiledNetwork":
        if self._network is None:
            raise RuntimeError("no network has been trained")
        return self._network

    def train(
        self,
        train: EncodedReviews,
        seed: int,
        validation: EncodedReviews | None = None,
        on_epoch_end: EpochCallback | None = None,
        *,
        label_weights: npt.NDArray[np.float64] | None = None,
        on_progress: ProgressCallback | None = None,
        callbacks: Sequence[Any] = (),
        pseudo_labels: PseudoLabels | None = None,
    ) -> History:
        """Train a network.

        Args:
            train: Reviews to learn from.
            seed: Seed of the initial weights, the shuffling and the dropout. The same seed gives
                the same network on the same machine.
            validation: Reviews to score after each epoch.
            on_epoch_end: Called after each epoch with its number, counted from 1, the maximum
                number of epochs, and the metrics of the epoch.
            label_weights: Weight of each label in the loss, shape (labels,); None for equal
                weights.
            on_progress: Called after every `STEPS_PER_EXECUTION` batches, and after the last one of
                an epoch, with the share of the training that is done, up to 1.
            callbacks: Further instances of `keras.callbacks.Callback`. Their methods for batches
                are called as often as `on_progress`.
            pseudo_labels: Pseudo-labels that the network learns first, in at least one epoch and
                `min_steps` steps, of which `on_epoch_end` and `callbacks` are not told; it then
                trains with half the learning rate. None for none.

        Returns:
            For each metric (`loss`, `accuracy`, and with validation reviews `val_loss`,
            `val_accuracy` and `val_` with the name of `metric`) a list with one value per epoch.

        Raises:
            InputError: The embedding is pretrained, but there are no word vectors, or early
                stopping is on, but there are no validation reviews; the pretrained weights belong
                to an LSTM of another shape.

        """
        hp = self._hyperparameters
        if hp.early_stopping_patience and validation is None:
            raise InputError(NO_ROWS_TO_WATCH)
        with tensorflow_setup():
            import keras

        epochs = hp.count_epochs(len(train), len(train.labels))
        # Early stopping may end training before the last epoch.
        fraction = 1.0 if hp.early_stopping_patience else hp.initial_length_fraction
        lengths = _schedule_lengths(train.sequences.shape[1], fraction, epochs)
        main = _Stage.of_reviews(train, lengths)
        first = None if pseudo_labels is None else _Stage.of_pseudo_labels(pseudo_labels, hp)
        progress = _follow_stages([first, main] if first else [main], hp.batch_size, on_progress)
        factor = FINE_TUNING_FACTOR if first else 1.0
        steps = main.count_steps(hp.batch_size)
        with seeded(seed):
            network = self._network = self._prepare(train, steps, self._network, factor)
            if first:
                self._learn_pseudo_labels(first, train, seed, progress)
        device = "the CPU" if can_fuse() else "a GPU"
        logger.debug("%d weights are trained on %s", network.model.count_params(), device)

        used_callbacks: list[Any] = []
        metric = self._metric
        watched = metric.name if metric else "accuracy"
        may_diverge = hp.early_stopping_patience > 0  # which restores an earlier epoch
        # Keras's own accuracy of a network that has diverged is that of its first label.
        if metric and validation and (may_diverge or watched != "accuracy"):
            scorer = _make_scorer(
                network, validation, metric, label_weights, may_diverge=may_diverge
            )
            used_callbacks.append(scorer)
        if hp.early_stopping_patience:
            used_callbacks.append(
                keras.callbacks.EarlyStopping(
                    f"val_{watched}",
                    mode="min" if metric and metric.is_loss else "max",
                    patience=hp.early_stopping_patience,
                    restore_best_weights=True,
                )
            )
        if on_epoch_end:
            used_callbacks.append(
                keras.callbacks.LambdaCallback(
                    on_epoch_end=lambda epoch, logs: on_epoch_end(epoch + 1, epochs, dict(logs))
                )
            )
        used_callbacks += progress

        scored = None
        if validation:
            scored = _Stage.of_reviews(validation).make_batches(PREDICTION_BATCH_SIZE)
        weights = None if label_weights is None else dict(enumerate(label_weights.tolist()))
        if self._is_mixed:  # what is compiled now stays in float32
            network.score_logits(train.sequences[:1])
        with self._in_its_precision(network):
            history = network.fitted.fit(
                main.make_batches(hp.batch_size, np.random.default_rng(seed)),
                validation_data=scored,
                shuffle=False,  # the batches are shuffled already
                epochs=epochs,
                class_weight=weights,
                callbacks=[*used_callbacks, *callbacks],
                verbose=0,
            ).history
        return {name: [float(value) for value in values] for name, values in history.items()}

    def _learn_pseudo_labels(
        self, stage: "_Stage", train: EncodedReviews, seed: int, callbacks: list[Any]
    ) -> None:
        """Let the network start from one that has learnt pseudo-labels."""
        batch_size = self._hyperparameters.batch_size
        steps = stage.count_steps(batch_size)
        first = self._first_network = self._prepare(
            train, steps, self._first_network, 1.0, has_soft_labels=True
        )
        batches = stage.make_batches(batch_size, np.random.default_rng(seed))
        with self._in_its_precision(first):
            first.fitted.fit(
                batches,
                epochs=len(stage.epoch_lengths),
                shuffle=False,
                callbacks=callbacks,
                verbose=0,
            )
        self._trained().start_from(first.model)

    @property
    def _is_mixed(self) -> bool:
        return self._hyperparameters.mixed_precision and not can_fuse()

    def _in_its_precision(self, network: "_CompiledNetwork") -> AbstractContextManager[None]:
        return _in_bfloat16(network.model) if self._is_mixed else nullcontext()

    def _prepare(
        self,
        train: EncodedReviews,
        steps: int,
        compiled: "_CompiledNetwork | None",
        factor: float,
        *,
        has_soft_labels: bool = False,
    ) -> "_CompiledNetwork":
        """Return a network before its first step.

        Args:
            train: Reviews to learn from.
            steps: Number of training steps.
            compiled: Network that is used again if possible, since it is compiled already.
            factor: Factor of the learning rate.
            has_soft_labels: Whether it learns probabilities of the labels.

        """
        import keras

        hp = self._hyperparameters
        vectors, pretrained = self._word_vectors, self._pretrained
        if hp.pretrained_embedding and pretrained:
            require_pretrained_shape(pretrained, hp)
            vectors = pretrained[0]
        if hp.pretrained_embedding:
            vectors = _add_ratios(vectors, train, hp.naive_bayes_scale)
        model = build_model(hp, train.vocabulary_size, len(train.labels), vectors)
        if hp.pretrained_embedding and pretrained:
            set_lstm_weights(model, pretrained)
        rate = factor * hp.learning_rate
        if hp.learning_rate_schedule == "cosine":  # Loshchilov and Hutter, ICLR 2017
            model.optimizer.learning_rate = keras.optimizers.schedules.CosineDecay(rate, steps)
        else:
            model.optimizer.learning_rate = rate
            steps = 0  # nothing depends on them
        if has_soft_labels:
            is_single = count_outputs(len(train.labels)) == 1
            loss = "binary_crossentropy" if is_single else "categorical_crossentropy"
            model.compile(optimizer=model.optimizer, loss=loss)
        if compiled and compiled.start_as(model, rate, steps):
            return compiled
        parts = count_parts(hp.batch_size) if can_fuse() else 0
        return _CompiledNetwork(model, rate, steps, parts, has_accuracy=not has_soft_labels)


class _CompiledNetwork:
    """A network with its training step, which TensorFlow compiles when it is first used.

    Args:
        model: Network from `build_model`.
        rate: Initial learning rate.
        steps: Number of training steps, if the learning rate depends on it; otherwise 0.
        parts: Number of parallel operations per batch; 0 if Keras's LSTM is to be trained.
        has_accuracy: Whether to measure the accuracy of the reviews that it learns from.

    Attributes:
        model: The network.
        fitted: Model to call `fit` of; it shares the weights of the network.
        score_logits: Function like `imdb_sentiment.network.model.score_logits` for the network.

    """

    def __init__(
        self, model: KerasModel, rate: float, steps: int, parts: int, *, has_accuracy: bool
    ) -> None:
        self.model = self.fitted = model
        if parts:
            from imdb_sentiment.network.fused_lstm import make_fused_twin

            self.fitted = make_fused_twin(model, parts, has_accuracy=has_accuracy)
        self.fitted.steps_per_execution = STEPS_PER_EXECUTION
        model.optimizer.build(model.trainable_variables)
        self.score_logits = compile_scorer(model)
        self._schedule = (rate, steps)
        self._optimizer_state = [variable.numpy() for variable in model.optimizer.variables]

    def start_as(self, model: KerasModel, rate: float, steps: int) -> bool:
        """Take the weights of a network before its first step, if shape and schedule are the same.

        Args:
            model: Network from `build_model`, with the same hyperparameters.
            rate: Initial learning rate.
            steps: Number of training steps, if the learning rate depends on it; otherwise 0.

        Returns:
            Whether both are the same. Otherwise, nothing has changed.

        """
        own_shapes = [variable.shape for variable in self.model.variables]
        new_shapes = [variable.shape for variable in model.variables]
        if (rate, steps) != self._schedule or own_shapes != new_shapes:
            return False
        for own, other in zip(self.model.variables, model.variables, strict=True):
            own.assign(other)  # the states of random generators are among them
        for own, start in zip(self.model.optimizer.variables, self._optimizer_state, strict=True):
            own.assign(start)
        return True

    def start_from(self, model: KerasModel) -> None:
        """Take the weights of another network of the same shape."""
        for own, other in zip(self.model.weights, model.weights, strict=True):
            own.assign(other)


@contextmanager
def _in_bfloat16(model: KerasModel) -> Iterator[None]:
    """Let the LSTMs of a network compute in bfloat16, with weights in float32."""
    from keras import layers

    lstms = [x for x in model.layers if isinstance(x, layers.LSTM | layers.Bidirectional)]
    inner = [getattr(x, name, x) for x in lstms for name in ("forward_layer", "backward_layer")]
    before = {x: x.dtype_policy for x in (*lstms, *inner, *(lstm.cell for lstm in inner))}
    try:
        for layer in before:
            layer.dtype_policy = "mixed_bfloat16"
        yield
    finally:
        for layer, policy in before.items():
            layer.dtype_policy = policy


def _make_scorer(
    network: _CompiledNetwork,
    validation: EncodedReviews,
    metric: Metric,
    label_weights: npt.NDArray[np.float64] | None,
    *,
    may_diverge: bool,
) -> Any:
    """Return a callback that adds a metric of the validation reviews to those of an epoch.

    Later callbacks see it. Keras itself adds up numbers per batch, from which most of these metrics
    can't be computed. An epoch that has diverged ends the training, or if it may, has the value
    NaN.
    """
    import keras

    def score(_: int, logs: dict[str, float]) -> None:
        try:
            logits = network.score_logits(validation.sequences)
        except InputError:
            if not may_diverge:
                raise
            logs[f"val_{metric.name}"] = np.nan  # never the best one
            return
        probabilities = judge_probabilities(logits, label_weights, metric)
        value = metric.measure(validation.codes, probabilities)
        if np.isfinite(value):  # unlike the ROC AUC of reviews that lack a label
            logs[f"val_{metric.name}"] = value

    return keras.callbacks.LambdaCallback(on_epoch_end=score)


def _add_ratios(
    word_vectors: npt.NDArray[np.float32] | None, train: EncodedReviews, scale: float
) -> npt.NDArray[np.float32]:
    """Return word vectors with the log-count ratios as additional columns.

    With many rows or labels, the ratios are scaled down.

    Args:
        word_vectors: Shape (vocabulary, size).
        train: Reviews to learn from.
        scale: The hyperparameter `naive_bayes_scale`; 0 for no additional columns.

    """
    vectors = require_word_vectors(word_vectors, train.vocabulary_size)
    if not scale:
        return vectors
    scale *= min(1.0, FULL_SCALE_ROWS / len(train))
    scale *= min(1.0, FULL_SCALE_LABELS / len(train.labels))
    return np.hstack([vectors, scale * compute_log_count_ratios(train)])


def format_metrics(metrics: dict[str, float]) -> str:
    """Return the metrics of an epoch as text for a log."""
    return ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())


def can_fuse() -> bool:
    """Return whether the LSTM is trained as one operation: on a GPU, Keras's own is fast."""
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")


def count_parts(batch_size: int) -> int:
    """Return the number of parts of a batch that a fused LSTM computes in parallel."""
    return min(count_threads(), max(1, batch_size // ROWS_PER_THREAD))


def count_threads() -> int:
    """Return the number of operations that TensorFlow runs in parallel in this process."""
    given = int(os.environ.get("TF_NUM_INTEROP_THREADS") or 0)
    return given if given > 0 else count_cores()


def _schedule_lengths(sequence_length: int, initial_fraction: float, epochs: int) -> list[int]:
    """Return the length of sequences in each epoch, which grows evenly to the whole in the last.

    After the "sequence length warmup" of Li et al., "The Stability-Efficiency Dilemma" (NeurIPS
    2022), where language models start with the beginnings of sequences.

    Args:
        sequence_length: Tokens per review.
        initial_fraction: Share of the tokens in the first of several epochs, above 0.
        epochs: Number of epochs.

    """
    if epochs == 1:
        return [sequence_length]
    lengths = np.linspace(initial_fraction * sequence_length, sequence_length, epochs)
    return [max(1, round(length)) for length in lengths.tolist()]


class _Stage(NamedTuple):
    """Reviews that a network learns from in one or several epochs.

    Attributes:
        sequences: Token ids, shape (reviews, sequence length), padded with 0 on the left.
        lengths: Tokens per review, shape (reviews,).
        targets: What it learns, shape (reviews,) or (reviews, outputs).
        epoch_lengths: Length to which longer reviews are shortened in each epoch.

    """

    sequences: npt.NDArray[np.unsignedinteger]
    lengths: npt.NDArray[np.intp]
    targets: npt.NDArray[Any]
    epoch_lengths: Sequence[int]

    @classmethod
    def of_reviews(cls, reviews: EncodedReviews, epoch_lengths: Sequence[int] = ()) -> Self:
        """Return a stage whose targets are the codes of the labels, int32.

        Without lengths, it is one epoch of whole sequences.
        """
        codes = reviews.codes.astype(np.int32)
        whole = [reviews.sequences.shape[1]]
        return cls(reviews.sequences, reviews.lengths, codes, epoch_lengths or whole)

    @classmethod
    def of_pseudo_labels(cls, labels: PseudoLabels, hyperparameters: Hyperparameters) -> Self:
        """Return a stage whose targets are the probabilities, of the second of two labels or all.

        It is one epoch, or with few reviews as many as `min_steps` takes.
        """
        targets = labels.probabilities[:, list_outputs(labels.probabilities.shape[1])]
        lengths = count_tokens(labels.sequences)
        whole = [labels.sequences.shape[1]]
        once = cls(labels.sequences, lengths, targets, whole)
        steps = once.count_steps(hyperparameters.batch_size)
        epochs = max(1, math.ceil(hyperparameters.min_steps / steps))
        return cls(labels.sequences, lengths, targets, epochs * whole)

    def count_steps(self, batch_size: int) -> int:
        """Return the number of steps of all epochs."""
        return len(self.epoch_lengths) * self._count_batches(batch_size)

    def _count_batches(self, batch_size: int) -> int:
        """Return the number of steps of one epoch, the last of which may be smaller."""
        return math.ceil(len(self.sequences) / batch_size)

    def measure_executions(self, batch_size: int) -> npt.NDArray[np.float64]:
        """Return, for each execution of several steps, how many tokens it reads on average."""
        per_epoch = [np.clip(self.lengths, 1, length).sum() for length in self.epoch_lengths]
        steps = self._count_batches(batch_size)
        ends = [*range(STEPS_PER_EXECUTION, steps, STEPS_PER_EXECUTION), steps]
        return np.outer(per_epoch, np.diff(ends, prepend=0) / steps).ravel()

    def make_batches(self, batch_size: int, rng: np.random.Generator | None = None) -> Any:
        """Return a `tf.data.Dataset` of batches of reviews of similar length.

        Args:
            batch_size: Reviews per batch; the last one may have fewer.
            rng: Shuffles the reviews again in each epoch. None for a fixed order.

        Returns:
            Pairs of token ids, int32 of shape (B, T) with T the length of the longest review of the
            batch, and targets, shape (B,) or (B, outputs).

        """
        import tensorflow as tf

        whole = self.sequences.shape[1]
        # `fit` may make iterators that it does not use, but a generator starts with its first
        # batch.
        remaining_lengths = itertools.chain(self.epoch_lengths, itertools.repeat(whole))

        def generate() -> Iterator[tuple[npt.NDArray[np.int32], npt.NDArray[Any]]]:
            length = next(remaining_lengths)
            for rows in group_by_length(np.minimum(self.lengths, length), batch_size, rng):
                tokens = self.sequences[rows]
                if length < whole:
                    tokens = shorten(tokens, length)
                yield pad_right(tokens).astype(np.int32), self.targets[rows]

        signature = (
            tf.TensorSpec((None, None), tf.int32),
            tf.TensorSpec((None, *self.targets.shape[1:]), self.targets.dtype),
        )
        return make_dataset(generate, signature, self._count_batches(batch_size))


def _follow_stages(
    stages: Sequence[_Stage], batch_size: int, on_progress: ProgressCallback | None
) -> list[Any]:
    """Return the callback that reports, after each execution, the share of tokens that are read."""
    if on_progress is None:
        return []
    import keras

    read = np.concatenate([stage.measure_executions(batch_size) for stage in stages]).cumsum()
    shares = iter((read / read[-1]).tolist())
    report = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda _, logs: on_progress(next(shares, 1.0))
    )
    return [report]


def make_dataset(
    generate: Callable[[], Iterator[Any]], signature: tuple[Any, ...], n_batches: int
) -> Any:
    """Return a `tf.data.Dataset` of the batches of a generator.

    Args:
        generate: Called once per epoch; yields the batches.
        signature: A `tf.TensorSpec` for each part of a batch.
        n_batches: Number of batches per epoch.

    """
    import tensorflow as tf

    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(n_batches))
    # The autotuner of tf.data sleeps 10, 20, 40, … ms, and an iterator ends only when it wakes: an
    # epoch of 21 s would take 41 s.
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
