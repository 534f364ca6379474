"""Training of the final model: the n-grams, the network, their average and its decisions."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from enum import StrEnum
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from imdb_sentiment.evaluation.decisions import compute_label_weights
from imdb_sentiment.evaluation.logits import Logits, count_outputs
from imdb_sentiment.evaluation.objectives import Metric
from imdb_sentiment.evaluation.probabilities import DecisionRule
from imdb_sentiment.evaluation.stacking import (
    DEFAULT_SHARE,
    MIN_HELD_OUT_ROWS,
    HeldOutLogits,
    Weights,
    fit_weights,
    undo_label_weights,
)
from imdb_sentiment.network.model import KerasModel, PretrainedWeights
from imdb_sentiment.network.ngram_regression import NgramRegression, default_weights, regress_on
from imdb_sentiment.network.ngrams import (
    MAX_LATENT_LABELLED,
    NgramModel,
    hash_labelled,
    sample_unlabelled,
)
from imdb_sentiment.network.training import History, PseudoLabels, format_metrics, train_model
from imdb_sentiment.parameters import (
    Hyperparameters,
    TrainingParameters,
)
from imdb_sentiment.pipelines.training.decision import (
    Choice,
    choose_rule,
    describe_target,
    find_method,
    restore_preference,
    warn_of_problem,
)
from imdb_sentiment.pipelines.training.ngram_weights import Fold, choose_ngram_weights
from imdb_sentiment.pipelines.training.sets import find_rows, list_learnable, weigh_labels
from imdb_sentiment.pipelines.tuning.protocol import Folds, has_held_out, pair_reviews
from imdb_sentiment.progress import Task
from imdb_sentiment.text.encoded_reviews import EncodedReviews, join_codes
from imdb_sentiment.text.words import Script

logger = logging.getLogger(__name__)


class UncalibratedReason(StrEnum):
    """Why the weights of the average are not fitted, and its probabilities not calibrated."""

    TOO_FEW_ROWS = "too_few_rows"
    NO_UNSEEN_ROWS = "no_unseen_rows"


NO_THRESHOLD = {
    UncalibratedReason.TOO_FEW_ROWS: (
        f"fewer than {MIN_HELD_OUT_ROWS} reviews are held out to choose it on; add reviews"
    ),
    UncalibratedReason.NO_UNSEEN_ROWS: (
        "no reviews are left to choose it on; set tuning.evaluate_on: validation"
    ),
}


def fit_ngrams(
    clean_reviews: Iterable[pd.DataFrame],
    clean_unlabelled_reviews: Iterable[pd.DataFrame],
    train: EncodedReviews,
    validation: EncodedReviews,
    *,
    folds: Folds,
    training: TrainingParameters,
    script: Script,
) -> tuple[NgramModel, HeldOutLogits]:
    """Fit the linear model of n-grams that is averaged with the network.

    It may learn more in `teach_ngrams`.

    Args:
        clean_reviews: Chunks with the columns `row`, `text` and `split`: the texts.
        clean_unlabelled_reviews: Chunks with the column `text`; possibly none.
        train: Reviews to learn from.
        validation: Further reviews, which are learnt from if `training` says so.
        folds: The fold in which each review is held out, from `assign_folds`.
        training: Says whether to learn from the validation reviews, describes the n-grams, and has
            the seed by which unlabelled reviews are drawn if there are very many.
        script: Rule for cutting texts into words.

    Returns:
        The fitted model, and logits of the reviews that trials are scored on, from models that have
        learnt from the same reviews as the trials. Both are scaled to be calibrated on these
        reviews; if they are few, by a factor between 0.5 and 2. The weights of the character
        n-grams and of the latent coordinates are those with the lowest log loss on them, as far as
        they are to be chosen. Both are empty if n-grams have no share in the final model; if trials
        are scored on the test reviews, there are no logits and nothing is scaled or chosen.

    Raises:
        InputError: No word n-gram occurs in enough reviews.

    """
    n_labels = len(train.labels)
    nothing = HeldOutLogits(train.rows[:0], np.zeros((0, count_outputs(n_labels))))
    ngrams = training.ngrams
    if not ngrams.share:
        return NgramModel.empty(n_labels), nothing
    hashes = hash_labelled(clean_reviews, ngrams, script)
    learnable = list_learnable(train, validation, training)
    n_learnable = sum(map(len, learnable))
    unlabelled = sample_unlabelled(
        clean_unlabelled_reviews, n_learnable, ngrams, script, training.seed
    )
    if not unlabelled and ngrams.latent_dimensions and any(True for _ in clean_unlabelled_reviews):
        logger.info(
            "There is no latent semantic analysis of the unlabelled reviews: %s",
            f"more than {MAX_LATENT_LABELLED:,} are labelled"
            if n_learnable > MAX_LATENT_LABELLED
            else f"there are fewer than {ngrams.latent_dimensions} (ngrams.latent_dimensions)",
        )

    def prepare(sets: Sequence[EncodedReviews], with_unlabelled: bool) -> NgramRegression:
        return regress_on(
            sets,
            hashes=hashes,
            parameters=ngrams,
            class_weight=training.class_weight,
            script=script,
            unlabelled=unlabelled if with_unlabelled else (),
        )

    if not has_held_out(folds):
        return prepare(learnable, True).fit(default_weights(ngrams)), nothing
    held_out = pair_reviews(train, validation, folds)
    best = choose_ngram_weights(
        [
            Fold(partial(prepare, [learnt]), [hashes[row] for row in scored.rows], scored.codes)
            for learnt, scored in held_out
        ],
        ngrams,
        has_unlabelled=bool(unlabelled),
        label_weights=weigh_labels(train, validation, training),
    )
    held_out_rows = np.concatenate([scored.rows for _, scored in held_out])
    regression = prepare(learnable, best.weights.latent > 0)
    hashes.clear()  # of long reviews, hundreds of MB that the fit does not need
    model = regression.fit(best.weights)
    scaled = HeldOutLogits(held_out_rows, best.factor * best.logits, factor=best.factor)
    return model.scale(best.factor), scaled


def fit_best_model(
    *,
    train: EncodedReviews,
    validation: EncodedReviews,
    best_hyperparameters: Hyperparameters,
    word_vectors: npt.NDArray[np.float32],
    pretrained_weights: PretrainedWeights = (),
    pseudo_labels: Sequence[PseudoLabels] = (),
    metric: Metric,
    class_weight: Any,  # ClassWeight, but Kedro warns of unions
    use_validation_rows: bool,
    seed: int,
) -> tuple[KerasModel, History]:
    """Train the network with the best hyperparameters, as the best trial was.

    Args:
        train: Reviews to learn from.
        validation: Reviews to learn from as well, or to score after each epoch.
        best_hyperparameters: Best hyperparameters, from the pipeline tuning.
        word_vectors: Initial weights of a pretrained embedding, shape (vocabulary, width).
        pretrained_weights: Weights from `pretrain_network`; empty for none.
        pseudo_labels: Labels from `label_unlabelled_reviews`, the last of which are those for this
            network; empty for none.
        metric: Metric that early stopping watches, if there is any.
        class_weight: Weight of each label in the loss.
        use_validation_rows: Whether to learn from the validation reviews, too.
        seed: Seed of the initial weights, the shuffling and the dropout.

    Returns:
        The network after its last epoch, or after its best with early stopping, and its metrics per
        epoch.

    Raises:
        InputError: A hyperparameter needs word vectors or held-out reviews that are not there.

    """
    training_set, held_out = (
        (train + validation, None) if use_validation_rows else (train, validation)
    )
    labels = train.labels
    label_weights = compute_label_weights(class_weight, training_set.codes, labels)
    epochs = best_hyperparameters.count_epochs(len(training_set), len(labels))
    if epochs > best_hyperparameters.epochs:
        name, min_steps = best_hyperparameters.find_min_steps(len(labels))
        logger.info(
            "The final training takes %d epochs instead of %d, for at least %d steps "
            "(hyperparameters.%s)",
            *(epochs, best_hyperparameters.epochs, min_steps, name),
        )
    elif epochs < best_hyperparameters.epochs:
        logger.info(
            "The final training takes fewer epochs than %d (%d), since more would exceed %d steps "
            "(hyperparameters.max_steps)",
            *(best_hyperparameters.epochs, epochs, best_hyperparameters.max_steps),
        )
    with Task("Final training", epochs, "epochs") as progress:
        return train_model(
            training_set,
            best_hyperparameters,
            seed,
            held_out,
            _log_epoch,
            word_vectors=word_vectors,
            pretrained=pretrained_weights,
            label_weights=label_weights,
            metric=metric,
            on_progress=progress.follow_part(),
            pseudo_labels=pseudo_labels[-1] if pseudo_labels else None,
        )


def _log_epoch(epoch: int, epochs: int, figures: dict[str, float]) -> None:
    logger.debug("Epoch %d of %d: %s", epoch, epochs, format_metrics(figures))


def fit_average(
    *,
    network_held_out: HeldOutLogits,
    ngrams_held_out: HeldOutLogits,
    train: EncodedReviews,
    validation: EncodedReviews,
    folds: Folds,
    training: TrainingParameters,
) -> dict[str, Any]:
    """Fit the weights of the network and the n-grams in their average, and so calibrate it.

    The weights are fitted to predictions of the best trial, and of n-gram models that have learnt
    from the same reviews as it: the final models have seen these reviews. scikit-learn's
    `CalibratedClassifierCV` with `ensemble=False` does the same.

    Args:
        network_held_out: Logits of the best trial for held-out reviews.
        ngrams_held_out: Logits from `teach_ngrams`, for the same reviews and possibly more.
        train: Training reviews, some of which may be held out.
        validation: Validation reviews.
        folds: The fold in which each review is held out, from `assign_folds`.
        training: Share of the n-grams, if it is not to be fitted, and the weights of the labels.

    Returns:
        JSON values: the `weights` of `network` and `ngrams`, and with weights of the labels the
        `bias` that undoes them; what the first two mean, `ngram_share` and
        `temperature` (1 if not calibrated); `uncalibrated_reason` (None if calibrated) and
        `held_out_rows`, the number of reviews that the weights were fitted to.

    Raises:
        InputError: The held-out reviews of both are not the same.

    """
    share = training.ngrams.share
    label_weights = weigh_labels(train, validation, training)
    reason = None
    if not has_held_out(folds):
        reason = UncalibratedReason.NO_UNSEEN_ROWS
    elif len(network_held_out) < MIN_HELD_OUT_ROWS:
        reason = UncalibratedReason.TOO_FEW_ROWS
    if reason:
        uncalibrated = Weights.from_share(DEFAULT_SHARE if share == "auto" else share)
        weights = undo_label_weights(uncalibrated, label_weights, ngrams_held_out.factor)
    else:
        ngrams, held_out_codes, _ = _align_held_out(
            network_held_out, ngrams_held_out if share else None, train, validation
        )
        weights = fit_weights(
            network_held_out.logits,
            ngrams if share else None,
            held_out_codes,
            None if share == "auto" else share,
            label_weights,
        )
    return {
        "weights": {name: value for name, value in asdict(weights).items() if value != ()},
        "ngram_share": weights.share,
        "temperature": weights.temperature,
        "uncalibrated_reason": reason,
        "held_out_rows": len(network_held_out),
    }


def _align_held_out(
    network_held_out: HeldOutLogits,
    ngrams_held_out: HeldOutLogits | None,
    train: EncodedReviews,
    validation: EncodedReviews,
) -> tuple[Logits, npt.NDArray[np.intp], npt.NDArray[np.uint64]]:
    """Return logits of the n-grams, codes and groups of the network's held-out reviews.

    Without logits of the n-grams, zeros take their place.
    """
    rows = network_held_out.rows
    places = find_rows(rows, np.concatenate([train.rows, validation.rows]))
    codes = join_codes([train, validation])[places].astype(np.intp)
    groups = np.concatenate([train.groups, validation.groups])[places]
    if ngrams_held_out is None:
        return np.zeros_like(network_held_out.logits), codes, groups
    return ngrams_held_out.logits[find_rows(rows, ngrams_held_out.rows)], codes, groups


def fit_decision(
    *,
    network_held_out: HeldOutLogits,
    ngrams_held_out: HeldOutLogits,
    calibration: dict[str, Any],
    train: EncodedReviews,
    validation: EncodedReviews,
    metric: Metric,
    are_ordered: bool,
    training: TrainingParameters,
) -> dict[str, Any]:
    """Choose how probabilities become a label; see `decision.py`.

    Args:
        network_held_out: Logits of the best trial for held-out reviews.
        ngrams_held_out: Logits from `teach_ngrams`.
        calibration: Output of `fit_average`: the weights of both, or why they are not fitted.
        train: Training reviews, some of which may be held out.
        validation: Validation reviews.
        metric: Metric from `choose_metric`.
        are_ordered: Whether the labels are ordinal.
        training: Whether to choose thresholds, their target, and the minimum confidence of an
            answer.

    Returns:
        JSON values: `label_weights`, one per label: where nothing is chosen, those of
        `restore_preference`;
        `is_median`, see `DecisionRule`; the `threshold` of the second of two labels, None for more;
        `aim`, the metric or target that the rule should optimise, and `before` and `after`, its
        value on the held-out reviews without and with this rule (see `Choice`), each None if there
        is none; `unfitted_reason`, the reason why no weights were chosen, if
        they should have been (else None); `min_confidence`.

    Raises:
        InputError: The metric is not one of predicted labels, or a parameter names a label that
            does not exist.

    """
    labels = train.labels
    average = Weights(**calibration["weights"])
    method = find_method(training, metric, labels, are_ordered=are_ordered)
    reason = calibration["uncalibrated_reason"] if method == "threshold" else None
    target = training.decision_target
    choice = Choice(
        DecisionRule(
            restore_preference(average, weigh_labels(train, validation, training), len(labels)),
            method == "median",
        ),
        describe_target(target) if target else None,
    )
    if method != "argmax" and not calibration["uncalibrated_reason"]:
        ngrams, codes, groups = _align_held_out(
            network_held_out, ngrams_held_out if average.ngrams else None, train, validation
        )
        choice = choose_rule(
            average.average(network_held_out.logits, ngrams),
            codes,
            labels,
            metric=metric,
            training=training,
            start=choice.rule,
            groups=groups,
        )
        warn_of_problem(choice, len(codes))
    elif reason:
        logger.warning("No threshold is chosen: %s", NO_THRESHOLD[reason])
    weights = choice.rule.weights
    return {
        "label_weights": dict(zip(labels, weights.tolist(), strict=True)),
        "is_median": choice.rule.is_median,
        "threshold": weights[0] / weights.sum() if len(labels) == 2 else None,  # noqa: PLR2004
        "aim": choice.aim,
        "before": choice.before,
        "after": choice.after,
        "unfitted_reason": reason or choice.problem,
        "min_confidence": training.min_confidence,
    }
