"""The search for the best hyperparameters, as an Optuna study that survives a crash."""

import base64
import logging
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count, takewhile
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import optuna
import pandas as pd

from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.decisions import compute_label_weights
from imdb_sentiment.evaluation.logits import Logits, count_outputs
from imdb_sentiment.evaluation.objectives import Metric, make_metric
from imdb_sentiment.evaluation.stacking import MIN_HELD_OUT_ROWS, HeldOutLogits, judge_probabilities
from imdb_sentiment.network.model import (
    PretrainedWeights,
    require_pretrained_shape,
    require_word_vectors,
)
from imdb_sentiment.network.tensorflow_setup import tensorflow_setup
from imdb_sentiment.network.training import (
    EpochCallback,
    NetworkTrainer,
    PseudoLabels,
    format_metrics,
)
from imdb_sentiment.parameters import (
    ClassWeight,
    Hyperparameters,
    MetricParameters,
    ProtocolParameters,
    ReviewsParameters,
    SplitParameters,
    TuningParameters,
    parse_class_weight,
)
from imdb_sentiment.pipelines.tuning.protocol import (
    MAX_LABELLED_ROWS,
    NEVER_HELD_OUT,
    Folds,
    HeldOutSet,
    choose_evenly,
    count_folds,
    count_stored,
    count_unlabelled,
    has_held_out,
    number_folds,
    pair_reviews,
)
from imdb_sentiment.search import (
    RETRIED_TRIAL,
    OtherStudyError,
    SharedStudy,
    choose_best_trials,
    describe_values,
    explain_failure,
    find_best_trial,
    follow_trial,
    has_died,
    list_begun_trials,
    make_pruner,
    make_sampler,
    measure_seconds,
    open_workers,
    run_trials,
)
from imdb_sentiment.text.encoded_reviews import EncodedReviews, compute_fingerprint

logger = logging.getLogger(__name__)

# Names of the first user attributes of a trial that have its logits.
HELD_OUT_LOGITS = "held_out_logits"
UNLABELLED_LOGITS = "unlabelled_logits"
NUMBERS_PER_ATTRIBUTE = 20_000  # 53 kB of text: MySQL's limit for an attribute is 64 kB


def choose_metric(name: str, label: Any, reviews: ReviewsParameters) -> Metric:
    """Return the metric by which trials and decisions are judged.

    Args:
        name: Name of the metric.
        label: The label whose F1 is the metric `f1`; None for the second of two labels.
        reviews: The labels, and whether they are ordinal.

    Raises:
        InputError: The metric does not fit the labels.

    """
    # Not the whole group, as in `assign_folds`.
    chosen = MetricParameters.model_validate({"metric": name, "metric_label": label})
    return make_metric(
        chosen.metric, chosen.metric_label, reviews.labels, are_ordered=reviews.ordered
    )


def assign_folds(
    train: EncodedReviews,
    validation: EncodedReviews,
    split: SplitParameters,
    audit: dict[str, Any],
    *,
    folds: Any,  # a number or "auto", but Kedro warns of unions
    evaluate_on: str,
    seed: int,
) -> Folds:
    """Decide in which fold each review is held out from the models that are scored on it.

    Args:
        train: Training reviews.
        validation: Validation reviews.
        split: Settings of the division of the reviews.
        audit: Output of `audit_reviews`, which says whether the table names validation rows.
        folds: Number of folds of a cross-validation, or `auto`.
        evaluate_on: Whether to score on the `validation` reviews or on the `test` reviews.
        seed: Seed of the folds.

    Returns:
        A number for each training review, followed by one for each validation review, shape
        (reviews,), dtype int32: its fold, beginning with 0, or -1 if it is never held out. So are
        all if models are scored on the test reviews.

    Raises:
        InputError: Cross-validation is asked for, but is not possible: see `number_folds`.

    """
    # Not the whole group: neither the folds nor what is made from them depend on the rest.
    protocol = ProtocolParameters(folds=folds, evaluate_on=evaluate_on, seed=seed)
    if evaluate_on == "test":
        logger.warning(
            "tuning.evaluate_on is 'test': the hyperparameters are chosen on the test set, so the "
            "test accuracy will be too optimistic. The metrics record this."
        )
        return np.full(len(train) + len(validation), NEVER_HELD_OUT, np.int32)
    return number_folds(train, validation, protocol, split, audit)


def hold_out_reviews(
    train: EncodedReviews, validation: EncodedReviews, test: EncodedReviews, folds: Folds
) -> list[HeldOutSet]:
    """Return the reviews that each training of a trial learns from, and those it is scored on.

    Args:
        train: Training reviews.
        validation: Validation reviews.
        test: Reviews held out of everything, unless no other review is held out.
        folds: The fold in which each review is held out, from `assign_folds`.

    Returns:
        Pairs of reviews to learn from and others to score on; several with cross-validation.

    """
    return pair_reviews(train, validation, folds) if has_held_out(folds) else [(train, test)]


class TrialData(NamedTuple):
    """What all trials of a search learn from.

    Attributes:
        held_out_sets: Pairs of sets from `hold_out_reviews`.
        word_vectors: Initial values of a pretrained embedding, shape (vocabulary, size).
        pretrained_weights: Weights from `pretrain_network`; empty for none.
        pseudo_labels: Labels from `label_unlabelled_reviews`, those for each pair of sets first;
            empty for none.

    """

    held_out_sets: list[HeldOutSet]
    word_vectors: npt.NDArray[np.float32]
    pretrained_weights: PretrainedWeights = ()
    pseudo_labels: Sequence[PseudoLabels] = ()


def tune_hyperparameters(
    study_storage: optuna.storages.BaseStorage,
    held_out_sets: list[HeldOutSet],
    word_vectors: npt.NDArray[np.float32],
    *,
    pretrained_weights: PretrainedWeights = (),
    pseudo_labels: Sequence[PseudoLabels] = (),
    hyperparameters: Hyperparameters,
    tuning: TuningParameters,
    metric: Metric,
    class_weight: Any,  # ClassWeight, but Kedro warns of unions
    use_validation_rows: bool,
) -> tuple[optuna.Study, Hyperparameters, HeldOutLogits]:
    """Run the missing trials of the study and return the best hyperparameters.

    The value of a trial is the metric of its network on reviews that it has not learnt from,
    with the weights that the final model would keep: see `train_candidate`. With one worker, the
    trials are the same whether the study was interrupted or not, since each of its `n_trials` slots
    has a sampler with a seed of its own (except `QMCSampler`, whose trials share one sequence).

    Args:
        study_storage: Storage of the study; every trial is written to it when it ends.
        held_out_sets: Pairs of sets from `hold_out_reviews`.
        word_vectors: Initial values of a pretrained embedding, shape (vocabulary, size).
        pretrained_weights: Weights from `pretrain_network`; empty for none.
        pseudo_labels: Labels from `label_unlabelled_reviews`, those for each pair of sets first;
            empty for none.
        hyperparameters: Values of the hyperparameters that are not searched.
        tuning: Search space, number of trials, sampler, pruner, workers, seed, name of the study.
        metric: Metric from `choose_metric`.
        class_weight: Weight of each label in the loss, as in `training`.
        use_validation_rows: Whether the final model learns from the validation rows, too.

    Returns:
        The study, copied into memory; all hyperparameters of the best trial; and its logits for
        reviews that it did not learn from, at most 5,000 of them, and for unlabelled reviews with
        pseudo-labels.

    Raises:
        InputError: There is no study to start from; a hyperparameter requires word vectors or
            held-out rows that are missing, differs from that of the pretrained LSTM, or is searched
            without any effect; the weights do not fit the labels; no trial has completed; Dask is
            needed but missing.

    """
    learnt, _ = held_out_sets[0]
    vocabulary_size, labels = learnt.vocabulary_size, learnt.labels
    class_weight = parse_class_weight(class_weight)
    compute_label_weights(class_weight, learnt.codes, labels)  # refuses what no trial can use
    initial = pretrained_weights or (word_vectors,)  # what a pretrained embedding starts from
    _require_inputs(vocabulary_size, initial, hyperparameters, tuning, use_validation_rows)
    sizes = [len(reviews) for reviews, _ in held_out_sets]
    tuning.require_effect_of_epochs(hyperparameters, sizes, len(labels))
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # the search has a log of its own
    with open_workers(tuning.workers, tuning.scheduler_address) as workers:
        origin = _describe_origin(
            held_out_sets,
            initial,
            hyperparameters,
            tuning,
            metric=metric,
            class_weight=class_weight,
            pseudo_labels=pseudo_labels,
        )
        storage = workers.share_storage(study_storage)
        study = _open_study(storage, origin, tuning, metric, len(held_out_sets))
        try:
            run_trials(
                study,
                partial(
                    train_candidate,
                    hyperparameters=hyperparameters,
                    tuning=tuning,
                    metric=metric,
                    class_weight=class_weight,
                ),
                TrialData(held_out_sets, word_vectors, pretrained_weights, pseudo_labels),
                workers=workers,
                timeout=tuning.timeout,
                patience=tuning.patience,
            )
        except KeyboardInterrupt:
            logger.warning(
                "Interrupted after %d of %d trials, which are kept",
                len(study.counted()),
                study.n_trials,
            )
            raise
        copy = study.copy_into_memory()  # to which another run can't add a better trial
        best = find_best_trial(copy)
        if best is None:
            raise _explain_no_trial(study)
        _warn_of_lost_trials(study)
        n_failed = sum(trial.state == optuna.trial.TrialState.FAIL for trial in study.counted())
        logger.info(
            "Best of %d trials%s: number %d, %s %s %.4f%s",
            len(study.counted()),
            f" ({n_failed} failed)" if n_failed else "",
            best.number,
            tuning.evaluate_on if len(held_out_sets) == 1 else "held-out",
            metric.title,
            best.value,
            describe_values(best.params),
        )
        return (
            copy,
            _override(hyperparameters, best.params),
            _read_logits(best, held_out_sets),
        )


def train_candidate(
    trial: optuna.Trial,
    data: TrialData,
    hyperparameters: Hyperparameters,
    tuning: TuningParameters,
    *,
    metric: Metric,
    class_weight: ClassWeight,
) -> float:
    """Train networks with the hyperparameters of a trial: the objective of the search.

    The logits for reviews that the networks have not learnt from are stored in the trial's
    `user_attrs`. The weighting of the final average is fitted to those of the best trial. The
    logits for unlabelled reviews, from which n-grams learn, are stored too if no earlier trial is
    better.

    Args:
        trial: The trial. The metric after each epoch is reported to it, or with cross-validation
            that after each fold.
        data: What all trials learn from.
        hyperparameters: Values of the hyperparameters that are not searched.
        tuning: Seed of the training.
        metric: Metric of the network, which is the value of the trial.
        class_weight: Weight of each label in the loss.

    Returns:
        The metric of the trained networks: the weights after the last epoch count, or with early
        stopping those of the best epoch, as for the final model. A metric of probabilities is that
        of probabilities without the effect of `class_weight`, as the final model has.

    Raises:
        TrialPruned: The pruner has ended the trial.
        InputError: The network has diverged.

    """
    held_out_sets, word_vectors, pretrained, pseudo_labels = data
    candidate = _override(hyperparameters, trial.params)
    folds = len(held_out_sets)
    first, _ = held_out_sets[0]
    epochs = folds * candidate.count_epochs(len(first), len(first.labels))
    # In a cross-validation, folds are reported instead of epochs, so epochs are not scored.
    is_watched = folds == 1 or candidate.early_stopping_patience > 0
    is_teacher = len(pseudo_labels) > 0 and _may_teach(held_out_sets, tuning)
    scored: list[_HeldOut] = []
    unlabelled: list[Logits] = []
    trainer = NetworkTrainer(
        candidate, word_vectors=word_vectors, pretrained=pretrained, metric=metric
    )
    with _freeing_memory(), follow_trial(trial.number, epochs, "epochs") as progress:
        for fold, (learnt, held_out) in enumerate(held_out_sets, start=1):
            label_weights = compute_label_weights(class_weight, learnt.codes, learnt.labels)
            trainer.train(
                learnt,
                tuning.seed,
                held_out if is_watched else None,
                _follow_epochs(trial, metric, tuning.evaluate_on, folds),
                on_progress=progress.follow_part(fold - 1, folds),
                label_weights=label_weights,
                pseudo_labels=pseudo_labels[fold - 1] if pseudo_labels else None,
            )
            logits = trainer.score_logits(held_out.sequences)
            probabilities = judge_probabilities(logits, label_weights, metric)
            scored.append(_HeldOut(held_out.codes, probabilities, logits))
            codes, probabilities, logits = map(np.concatenate, zip(*scored, strict=True))
            value = metric.measure(codes, probabilities)
            if folds > 1:
                _report_fold(trial, metric, value, fold, folds)
            if is_teacher and (folds > 1 or _may_be_best(trial, value)):
                sequences = pseudo_labels[fold - 1].sequences
                n = count_unlabelled(len(sequences), logits.shape[1], folds)
                chosen = sequences[choose_evenly(len(sequences), n)]
                unlabelled.append(trainer.score_logits(chosen))
    kept = choose_evenly(len(logits), count_stored(*logits.shape))
    _store_logits(trial, HELD_OUT_LOGITS, logits[kept])
    if unlabelled and _may_be_best(trial, value):
        _store_logits(trial, UNLABELLED_LOGITS, np.concatenate(unlabelled))
    return value


class _HeldOut(NamedTuple):
    """The held-out reviews of a fold: their codes, and the predictions of its network."""

    codes: npt.NDArray[np.unsignedinteger]
    probabilities: npt.NDArray[np.float64]
    logits: Logits


def _follow_epochs(
    trial: optuna.Trial, metric: Metric, evaluate_on: str, folds: int
) -> EpochCallback:
    """Return a callback that logs each epoch, and reports it unless folds are reported."""
    scored_on = evaluate_on if folds == 1 else "held-out"

    def follow(epoch: int, epochs: int, figures: dict[str, float]) -> None:
        named = {name.replace("val_", f"{scored_on} "): value for name, value in figures.items()}
        logger.debug(
            "Trial %d, epoch %d of %d: %s", trial.number, epoch, epochs, format_metrics(named)
        )
        if folds == 1:
            value = figures.get(f"val_{metric.name}", np.nan)
            _report(trial, value, epoch, "epoch", is_last=epoch == epochs)

    return follow


def _report_fold(trial: optuna.Trial, metric: Metric, value: float, fold: int, folds: int) -> None:
    """Log and report the metric of the folds up to this one."""
    logger.debug(
        "Trial %d, fold %d of %d: %s %.4f so far", trial.number, fold, folds, metric.title, value
    )
    _report(trial, value, fold, "fold", is_last=fold == folds)


def _may_teach(held_out_sets: list[HeldOutSet], tuning: TuningParameters) -> bool:
    """Return whether n-grams may learn what the networks predict for unlabelled reviews.

    Two conditions: enough reviews are held out to tell whether that helps, and few enough are
    labelled.
    """
    n_labelled = sum(map(len, held_out_sets[0]))
    n_held_out = sum(len(held_out) for _, held_out in held_out_sets)
    is_comparable = tuning.evaluate_on == "validation" and n_held_out >= MIN_HELD_OUT_ROWS
    return is_comparable and n_labelled <= MAX_LABELLED_ROWS


def _may_be_best(trial: optuna.Trial, value: float) -> bool:
    """Return whether no trial that has completed is better than one with this value."""
    best = find_best_trial(trial.study)
    if best is None or best.value is None:
        return True
    is_loss = trial.study.direction == optuna.study.StudyDirection.MINIMIZE
    return value <= best.value if is_loss else value >= best.value


@contextmanager
def _freeing_memory() -> Iterator[None]:
    """Free the memory of all networks at the end; otherwise it grows from trial to trial."""
    try:
        yield
    finally:
        with tensorflow_setup():
            import keras

        keras.backend.clear_session()


def _report(trial: optuna.Trial, value: float, step: int, what: str, *, is_last: bool) -> None:
    """Report a value after an epoch or a fold, and end the trial if that saves the rest of it."""
    if not np.isfinite(value):  # such as the ROC AUC of a fold that lacks a label
        return
    trial.report(value, step=step - 1)
    if not is_last and trial.should_prune():
        raise optuna.TrialPruned(f"pruned after {what} {step}")


def _store_logits(trial: optuna.Trial, name: str, logits: Logits) -> None:
    """Store logits in a trial, as float16.

    If they are many, they take several attributes: a database limits the size of one.
    """
    largest = np.finfo(np.float16).max
    numbers = logits.clip(-largest, largest).astype("<f2").ravel()
    for part, start in enumerate(range(0, len(numbers), NUMBERS_PER_ATTRIBUTE)):
        stored = numbers[start : start + NUMBERS_PER_ATTRIBUTE].tobytes()
        trial.set_user_attr(_name_attribute(name, part), base64.b64encode(stored).decode())


def _read_logits(trial: optuna.trial.FrozenTrial, held_out_sets: list[HeldOutSet]) -> HeldOutLogits:
    """Return what `_store_logits` has stored in a trial."""
    rows = np.concatenate([scored.rows for _, scored in held_out_sets])
    outputs = count_outputs(len(held_out_sets[0][0].labels))
    attributes = trial.user_attrs

    def read(stored: str) -> Logits:
        names = takewhile(attributes.__contains__, map(partial(_name_attribute, stored), count()))
        joined = b"".join(base64.b64decode(attributes[name]) for name in names)
        return np.frombuffer(joined, "<f2").reshape(-1, outputs).astype(np.float64)

    logits, unlabelled = read(HELD_OUT_LOGITS), read(UNLABELLED_LOGITS)
    return HeldOutLogits(
        rows[choose_evenly(len(rows), len(logits))],
        logits,
        tuple(np.split(unlabelled, len(held_out_sets))) if len(unlabelled) else (),
    )


def _name_attribute(name: str, part: int) -> str:
    return f"{name}_{part}" if part else name


def tabulate_trials(study: optuna.Study) -> pd.DataFrame:
    """Return a table with one row per trial that was begun.

    Args:
        study: Study from `tune_hyperparameters`.

    Returns:
        The trials in the order of their creation, with the columns `number`, `state`, `value`,
        `started`, `seconds`, `epochs` (how many have finished; with cross-validation, `folds`
        instead), `failure` (the reason, if the trial has failed), `retry_of` (number of the failed
        trial that this one retries) and `params_NAME` for each hyperparameter that was searched.

    """
    step = "folds" if count_folds(study) > 1 else "epochs"
    return pd.DataFrame(
        {
            "number": trial.number,
            "state": trial.state.name.lower(),
            "value": trial.value,
            "started": trial.datetime_start,
            "seconds": measure_seconds(trial),
            step: max(trial.intermediate_values, default=-1) + 1,
            "failure": explain_failure(trial),
            "retry_of": trial.system_attrs.get(RETRIED_TRIAL),
            **{f"params_{name}": value for name, value in trial.params.items()},
        }
        for trial in list_begun_trials(study)
    )


def _require_inputs(
    vocabulary_size: int,
    initial: PretrainedWeights,
    hyperparameters: Hyperparameters,
    tuning: TuningParameters,
    use_validation_rows: bool,
) -> None:
    """Check the inputs that all trials need, before the first one.

    `initial` has the pretrained weights, or the word vectors alone.
    """
    tuning.require_effects(hyperparameters)
    if tuning.may_be_on("pretrained_embedding", hyperparameters):
        require_word_vectors(initial[0], vocabulary_size)
        if len(initial) > 1:
            tuning.require_fixed_shape()
            require_pretrained_shape(initial, hyperparameters)
    tuning.require_rows_to_watch(hyperparameters, use_validation_rows=use_validation_rows)


def _open_study(
    storage: optuna.storages.BaseStorage,
    origin: dict[str, Any],
    tuning: TuningParameters,
    metric: Metric,
    folds: int,
) -> SharedStudy:
    """Open the study that `tuning.study_name` names, or begin it.

    If its trials can't be compared with those of this run, it is "NAME 2" instead, or the next.
    """
    space = {name: searched.to_optuna() for name, searched in tuning.search_space.items()}
    given: dict[int, dict[str, Any]] = {}
    seed = tuning.seed
    if tuning.different_trials < tuning.n_trials:
        logger.info("One trial is run, not %d: nothing is searched", tuning.n_trials)
    n_warmup_steps = tuning.pruner.arguments.get("n_warmup_steps", 0)
    if folds > 1 and n_warmup_steps > folds - 2:  # after the last fold, nothing is pruned
        logger.info(
            "With %d folds, no trial is pruned: tuning.pruner.arguments.n_warmup_steps is %s, and "
            "may be %d at most",
            folds,
            n_warmup_steps,
            folds - 2,
        )
    if tuning.start_from is not None:
        # With the seeds of the earlier study, the sampler would begin with its suggestions again.
        seed += zlib.crc32(tuning.start_from.encode()) % 1_000_000
        # Slots that do not depend on `n_trials`, so that it can be increased later.
        best = choose_best_trials(storage, tuning.start_from, space)
        given = {2 * place: params for place, params in enumerate(best)}
        logger.info(
            "Every second trial, starting with the first, reuses the hyperparameters of a trial of "
            "%r, best first; %d of its trials are in the search space",
            tuning.start_from,
            len(best),
        )
    name, reason = tuning.study_name, None
    for number in count(2):
        study = SharedStudy(
            storage,
            name,
            space,
            origin=origin,
            n_trials=tuning.different_trials,
            max_retries=tuning.max_retries,
            make_sampler=lambda slot: make_sampler(
                **tuning.sampler.model_dump(),
                # The points of a QMC sequence are spread only if all trials draw from the same one.
                seed=seed if tuning.sampler.name == "QMCSampler" else seed + slot,
                is_parallel=tuning.is_parallel,
            ),
            pruner=make_pruner(**tuning.pruner.model_dump()),
            given=given,
            direction="minimize" if metric.is_loss else "maximize",
            metric=metric.title,
        )
        try:
            study.require_origin()
        except OtherStudyError as error:
            name, reason = f"{tuning.study_name} {number}", reason or error.reason
            continue
        break
    if name == tuning.start_from:
        raise InputError(
            f"tuning.start_from names the study of this run, {name!r}: set tuning.study_name to "
            "another name, or tuning.start_from to null"
        )
    if reason:
        logger.warning("This run uses the study %r: %s", name, reason)
    return study


def _override(hyperparameters: Hyperparameters, chosen: dict[str, Any]) -> Hyperparameters:
    return Hyperparameters(**{**hyperparameters.model_dump(), **chosen})


def _warn_of_lost_trials(study: SharedStudy) -> None:
    """Warn of trials that could have been the best, but died with their process each time."""
    lost = [str(trial.number) for trial in study.counted() if has_died(trial)]
    if lost:
        logger.warning(
            "Trials given up because their process died each time: %s. One of them might have been "
            "the best. To retry them, raise the limit: --params tuning.max_retries=%d",
            ", ".join(lost),
            study.max_retries + 1,
        )


def _explain_no_trial(study: SharedStudy) -> InputError:
    """Return the error that no trial has completed."""
    counted = study.counted()
    if not counted:
        return InputError(
            f"no trial of the study {study.name!r} has ended: raise tuning.timeout, and run the "
            "same command again to continue"
        )
    reasons = [
        reason for trial in counted if not has_died(trial) and (reason := explain_failure(trial))
    ]
    if not reasons and any(map(has_died, counted)):
        return InputError(
            f"no trial of the study {study.name!r} completed: their processes died each time. Find "
            f"out why, then retry them with --params tuning.max_retries={study.max_retries + 1}",
            parameters={"tuning.max_retries": study.max_retries + 1},
        )
    return InputError(
        f"no trial of the study {study.name!r} completed: "
        + (
            f"the first failed with {reasons[0]!r}. Fix the cause"
            if reasons
            else "all were pruned. Change tuning.pruner"
        )
        + ", and begin a new study with --params tuning.study_name=NAME"
    )


def _describe_origin(
    held_out_sets: list[HeldOutSet],
    initial: PretrainedWeights,
    hyperparameters: Hyperparameters,
    tuning: TuningParameters,
    *,
    metric: Metric,
    class_weight: ClassWeight,
    pseudo_labels: Sequence[PseudoLabels],
) -> dict[str, Any]:
    """Return what all trials of a study must have in common, as JSON values.

    `initial` has the pretrained weights, or the word vectors alone.
    """
    # Studies made before a hyperparameter had a choice continue if it has its default.
    fixed = hyperparameters.model_dump(exclude=set(tuning.search_space), exclude_defaults=True)
    data = [reviews.fingerprint() for pair in held_out_sets for reviews in pair]
    if tuning.may_be_on("pretrained_embedding", hyperparameters):
        data.append(compute_fingerprint(*initial))
    labelled = len(pseudo_labels[0].sequences) if pseudo_labels else 0
    if labelled:  # not the probabilities, whose last bits may differ on another machine
        data.append(compute_fingerprint(pseudo_labels[0].sequences))
    is_undone = class_weight is not None and not metric.depends_on_decision
    space = {name: range_.model_dump(mode="json") for name, range_ in tuning.search_space.items()}
    return {  # the data last, since other folds are other data as well
        "search space": space,
        "protocol": {
            "metric": metric.title,
            **({"decision": "median"} if metric.is_ordinal else {}),
            **({"probabilities": "without class_weight"} if is_undone else {}),
            "class_weight": class_weight,
            "evaluate_on": tuning.evaluate_on,
            "folds": len(held_out_sets),
            "seed": tuning.seed,
            **({"pseudo_labels": labelled} if labelled else {}),
            **fixed,
        },
        "data": data,
    }
