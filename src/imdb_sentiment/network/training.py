"""Training of the network. TensorFlow is imported inside the functions that need it."""

import itertools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from imdb_sentiment.cores import count_cores
from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.logits import Logits, to_probabilities
from imdb_sentiment.evaluation.objectives import Metric
from imdb_sentiment.interrupts import remembered_ctrl_c
from imdb_sentiment.network.model import (
    PREDICTION_BATCH_SIZE,
    KerasModel,
    PretrainedWeights,
    build_model,
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
from imdb_sentiment.network.tensorflow_setup import tensorflow_setup
from imdb_sentiment.parameters import Hyperparameters
from imdb_sentiment.text.batching import group_by_length, pad_right, shorten
from imdb_sentiment.text.encoded_reviews import EncodedReviews

logger = logging.getLogger(__name__)

ROWS_PER_THREAD = 32  # rows of a batch; with fewer rows, another thread does not help

NO_ROWS_TO_WATCH = (
    "hyperparameters.early_stopping_patience needs rows that are held out: set "
    "training.use_validation_rows: false, or early_stopping_patience: 0"
)

History = dict[str, list[float]]
EpochCallback = Callable[[int, int, dict[str, float]], None]
ProgressCallback = Callable[[float], None]


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
) -> tuple[KerasModel, History]:
    """Build a network and train it, as `NetworkTrainer` does.

    Returns:
        The network, and the history from `NetworkTrainer.train`.

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
    )
    return trainer.model, history


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
            on_progress: Called after each batch with the share of the training that is done, up to
                1.
            callbacks: Further instances of `keras.callbacks.Callback`.

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
            import tensorflow as tf

        keras.utils.set_random_seed(seed)
        tf.config.experimental.enable_op_determinism()
        epochs = hp.count_epochs(len(train), len(train.labels))
        # Early stopping may end training before the last epoch.
        fraction = 1.0 if hp.early_stopping_patience else hp.initial_length_fraction
        lengths = _schedule_lengths(train.sequences.shape[1], fraction, epochs)
        rng = np.random.default_rng(seed)
        batches = _make_batches(train, hp.batch_size, rng, lengths)
        steps = epochs * int(batches.cardinality())
        network = self._network = self._prepare(train, steps)
        device = "the CPU" if can_fuse() else "a GPU"
        logger.debug("%d weights are trained on %s", network.model.count_params(), device)

        used_callbacks: list[Any] = []
        if hp.ema_momentum:  # first, so that the other callbacks see the averaged weights
            used_callbacks.append(keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
        metric = self._metric
        watched = metric.name if metric else "accuracy"
        if metric and watched != "accuracy" and validation:
            may_diverge = hp.early_stopping_patience > 0  # which restores an earlier epoch
            scorer = _make_scorer(network, validation, metric, may_diverge=may_diverge)
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
        if on_progress:
            shares = iter(_measure_shares(train.lengths, lengths, steps))
            used_callbacks.append(
                keras.callbacks.LambdaCallback(
                    on_train_batch_end=lambda _, logs: on_progress(next(shares))
                )
            )

        scored = _make_batches(validation, PREDICTION_BATCH_SIZE) if validation else None
        is_mixed = hp.mixed_precision and not can_fuse()
        weights = None if label_weights is None else dict(enumerate(label_weights.tolist()))
        if is_mixed:  # what is compiled now stays in float32
            network.score_logits(train.sequences[:1])
        with _in_bfloat16(network.model) if is_mixed else nullcontext():
            history = network.fitted.fit(
                batches,
                validation_data=scored,
                shuffle=False,  # the batches are shuffled already
                epochs=epochs,
                class_weight=weights,
                callbacks=[*used_callbacks, *callbacks],
                verbose=0,
            ).history
        return {name: [float(value) for value in values] for name, values in history.items()}

    def _prepare(self, train: EncodedReviews, steps: int) -> "_CompiledNetwork":
        """Return a network before its first step; if possible, the compiled one is used again."""
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
        if hp.learning_rate_schedule == "cosine":  # Loshchilov and Hutter, ICLR 2017
            model.optimizer.learning_rate = keras.optimizers.schedules.CosineDecay(
                hp.learning_rate, steps
            )
        else:
            steps = 0  # nothing depends on them
        if self._network and self._network.start_as(model, steps):
            return self._network
        is_fused = can_fuse() and not hp.recurrent_dropout_rate
        return _CompiledNetwork(model, steps, count_parts(hp.batch_size) if is_fused else 0)


class _CompiledNetwork:
    """A network with its training step, which TensorFlow compiles when it is first used.

    Args:
        model: Network from `build_model`.
        steps: Number of training steps, if the learning rate depends on it; otherwise 0.
        parts: Number of parallel operations per batch; 0 if Keras's LSTM is to be trained.

    Attributes:
        model: The network.
        fitted: Model to call `fit` of; it shares the weights of the network.
        score_logits: Function like `imdb_sentiment.network.model.score_logits` for the network.

    """

    def __init__(self, model: KerasModel, steps: int, parts: int) -> None:
        self.model = self.fitted = model
        if parts:
            from imdb_sentiment.network.fused_lstm import make_fused_twin

            self.fitted = make_fused_twin(model, parts)
        model.optimizer.build(model.trainable_variables)
        self.score_logits = compile_scorer(model)
        self._steps = steps
        self._optimizer_state = [variable.numpy() for variable in model.optimizer.variables]

    def start_as(self, model: KerasModel, steps: int) -> bool:
        """Take the weights of a network before its first step, if it has the same shape.

        Args:
            model: Network from `build_model`, with the same hyperparameters.
            steps: Number of training steps, if the learning rate depends on it; otherwise 0.

        Returns:
            Whether it has the same shape. Otherwise, nothing has changed.

        """
        own_shapes = [variable.shape for variable in self.model.variables]
        new_shapes = [variable.shape for variable in model.variables]
        if steps != self._steps or own_shapes != new_shapes:
            return False
        for own, other in zip(self.model.variables, model.variables, strict=True):
            own.assign(other)  # the states of random generators are among them
        for own, start in zip(self.model.optimizer.variables, self._optimizer_state, strict=True):
            own.assign(start)
        return True


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
    network: _CompiledNetwork, validation: EncodedReviews, metric: Metric, *, may_diverge: bool
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
        value = metric.measure(validation.codes, to_probabilities(logits))
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


def _measure_shares(
    review_lengths: npt.NDArray[np.intp], epoch_lengths: Sequence[int], steps: int
) -> list[float]:
    """Return the share of the training that is done after each step, by the number of tokens.

    Args:
        review_lengths: Tokens per review, shape (reviews,).
        epoch_lengths: Length to which longer reviews are shortened in each epoch.
        steps: Number of steps of all epochs.

    """
    tokens = [np.clip(review_lengths, 1, length).sum() for length in epoch_lengths]
    done = np.repeat(tokens, steps // len(tokens)).cumsum()
    shares: list[float] = (done / done[-1]).tolist()
    return shares


def _make_batches(
    reviews: EncodedReviews,
    batch_size: int,
    rng: np.random.Generator | None = None,
    epoch_lengths: Sequence[int] = (),
) -> Any:
    """Return a `tf.data.Dataset` of batches of reviews of similar length.

    Args:
        reviews: Reviews with their labels.
        batch_size: Reviews per batch; the last one may have fewer.
        rng: Shuffles the reviews again in each epoch. None for a fixed order.
        epoch_lengths: Length to which longer reviews are shortened in each epoch; empty for whole
            sequences in all epochs.

    Returns:
        Pairs of token ids, int32 of shape (B, T) with T the length of the longest review of the
        batch, and label codes, int32 of shape (B,).

    """
    import tensorflow as tf

    sequences, lengths = reviews.sequences, reviews.lengths
    codes = reviews.codes.astype(np.int32)
    sequence_length = sequences.shape[1]
    # `fit` may make iterators that it does not use, but a generator starts with its first batch.
    remaining_lengths = itertools.chain(epoch_lengths, itertools.repeat(sequence_length))

    def generate() -> Iterator[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]]:
        length = next(remaining_lengths)
        for rows in group_by_length(np.minimum(lengths, length), batch_size, rng):
            tokens = sequences[rows]
            if length < sequence_length:
                tokens = shorten(tokens, length)
            yield pad_right(tokens).astype(np.int32), codes[rows]

    signature = (tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None,), tf.int32))
    return make_dataset(generate, signature, n_batches=-(-len(lengths) // batch_size))


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
