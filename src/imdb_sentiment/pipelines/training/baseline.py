"""The linear baseline that the model is compared with."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from threadpoolctl import threadpool_limits

from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.decisions import compute_label_weights
from imdb_sentiment.evaluation.logits import count_outputs, to_logits
from imdb_sentiment.evaluation.objectives import Metric
from imdb_sentiment.evaluation.probabilities import DecisionRule, calibrate_baseline
from imdb_sentiment.evaluation.stacking import MIN_HELD_OUT_ROWS, fit_weights
from imdb_sentiment.parameters import (
    BaselineParameters,
    ReviewsParameters,
    TrainingParameters,
)
from imdb_sentiment.pipelines.training.decision import choose_rule, find_method
from imdb_sentiment.pipelines.tuning.protocol import (
    Folds,
    HeldOutSet,
    choose_evenly,
    count_stored,
    pair_reviews,
)
from imdb_sentiment.text.encoded_reviews import EncodedReviews, join_codes
from imdb_sentiment.text.words import Script


def fit_baseline(
    clean_reviews: Iterable[pd.DataFrame],
    *,
    train: EncodedReviews,
    validation: EncodedReviews,
    baseline: BaselineParameters,
    metric: Metric,
    folds: Folds,
    training: TrainingParameters,
    reviews: ReviewsParameters,
    script: Script,
) -> tuple[Any, dict[str, Any]]:
    """Fit TF-IDF and logistic regression to the rows that the network learns from.

    Words are those that scikit-learn finds by default, of two or more letters. Single letters that
    are words of their own count as well: otherwise the baseline could not cut such texts.

    Args:
        clean_reviews: Chunks with the columns `row`, `text`, `code` and `split`.
        train: Training reviews, some of which may be held out to choose thresholds, or to fit the
            temperature.
        validation: Validation reviews, to be held out as well.
        baseline: Length and frequency of the n-grams, and the strength of the regularisation.
        metric: Metric from `choose_metric`.
        folds: The fold in which each review is held out, from `assign_folds`.
        training: Says whether to learn from the validation reviews, the weights of the labels, and
            whether to choose thresholds.
        reviews: The labels.
        script: Rule for cutting texts into words.

    Returns:
        A scikit-learn pipeline from texts to codes, and how its probabilities become a label:
        `loss_weights`, the weight of each label in its loss, which `calibrate_baseline` removes
        from the probabilities, as the bias of the average does for the model; the `temperature`,
        which it then divides their logits by; `label_weights` and `is_median`, as in `fit_decision`
        for the model; and `has_thresholds`, whether weights were chosen. If weights are chosen for
        the model, they are also chosen here, on the same held-out reviews, which are scored by
        pipelines that have learnt from the same other reviews, and only if there are enough. If the
        metric is the log loss, the temperature and the weights to remove are fitted to them, as for
        the model; otherwise the temperature is 1.

    Raises:
        InputError: No word n-gram occurs in enough reviews.

    """
    learnable = pd.concat(
        chunk.loc[chunk["split"] != "test", ["row", "text", "code", "split"]]
        for chunk in clean_reviews
    )
    texts = learnable.set_index("row")["text"]
    splits = ["train", "validation"] if training.use_validation_rows else ["train"]
    rows = learnable[learnable["split"].isin(splits)]
    codes = rows["code"].to_numpy(np.intp)
    label_weights = compute_label_weights(training.class_weight, codes, reviews.labels)
    model = _make_baseline(baseline, script, label_weights)
    method = find_method(training, metric, reviews.labels, are_ordered=reviews.ordered)
    loss_weights = np.ones(len(reviews.labels)) if label_weights is None else label_weights
    # As for the model: without another choice, labels are those that the weighted model prefers.
    rule = DecisionRule(loss_weights / loss_weights.mean(), is_median=method == "median")
    temperature = 1.0
    has_thresholds = False
    # Otherwise, the comparison would partly measure how well each model is calibrated: the median
    # depends on that, too.
    is_calibrated = metric.name == "log_loss" or method == "median"
    held_out: list[HeldOutSet] = []
    if is_calibrated or method == "threshold":
        held_out = pair_reviews(train, validation, folds)
    # As for the model: otherwise, the comparison by the metric would favour the baseline.
    is_fitted = sum(len(scored) for _, scored in held_out) >= MIN_HELD_OUT_ROWS
    try:
        # The vectors of the solver are so short that threads would cost more time than they save.
        with threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
            # Many labels with few reviews each are no regression problem.
            warnings.filterwarnings("ignore", "The number of unique classes is greater")
            if is_fitted:
                scores, truth, groups = _score_baseline_held_out(model, texts, held_out)
            fitted = model.fit(rows["text"], codes)
    except ValueError as error:
        raise InputError(
            f"the baseline can't learn from these reviews ({error}): lower "
            "baseline.min_document_frequency"
        ) from error
    if is_fitted and is_calibrated:  # with a bias for each label if it is weighted
        average = fit_weights(to_logits(scores), None, truth, None, label_weights)
        temperature = average.temperature
        factors = average.invert_bias(len(reviews.labels))
        rule, loss_weights = replace(rule, weights=factors), factors**temperature
    if is_fitted and method != "argmax":
        calibrated = calibrate_baseline(scores, loss_weights, temperature)
        choice = choose_rule(
            calibrated,
            truth,
            reviews.labels,
            metric=metric,
            training=training,
            start=rule,
            groups=groups,
        )
        rule, has_thresholds = choice.rule, method == "threshold" and choice.problem is None
    return fitted, {
        "label_weights": dict(zip(reviews.labels, rule.weights.tolist(), strict=True)),
        "is_median": rule.is_median,
        "has_thresholds": has_thresholds,
        "loss_weights": dict(zip(reviews.labels, loss_weights.tolist(), strict=True)),
        "temperature": temperature,
    }


def _make_baseline(
    baseline: BaselineParameters, script: Script, label_weights: npt.NDArray[np.float64] | None
) -> Any:
    """Return the scikit-learn pipeline before it is fitted."""
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    from imdb_sentiment.text.term_counts import TermCounter

    return make_pipeline(
        TermCounter(script, baseline.max_ngram, baseline.min_document_frequency),
        TfidfTransformer(sublinear_tf=True),
        # The default solver is slower, and with its default tolerance ends far from the optimum:
        # probabilities can differ by 0.17.
        LogisticRegression(
            C=baseline.inverse_regularisation,
            class_weight=None if label_weights is None else dict(enumerate(label_weights)),
            solver="newton-cg",
            tol=1e-6,
        ),
    )


def _score_baseline_held_out(
    model: Any, texts: pd.Series, held_out: Sequence[HeldOutSet]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp], npt.NDArray[np.uint64]]:
    """Return probabilities, codes and groups of held-out reviews, as many as the model has."""
    from sklearn.base import clone

    scores = np.concatenate(
        [
            clone(model).fit(texts[learnt.rows], learnt.codes).predict_proba(texts[scored.rows])
            for learnt, scored in held_out
        ]
    )
    truth = join_codes(scored for _, scored in held_out).astype(np.intp)
    n_outputs = count_outputs(scores.shape[1])
    kept = choose_evenly(len(scores), count_stored(len(scores), n_outputs))
    groups = np.concatenate([scored.groups for _, scored in held_out])
    return scores[kept], truth[kept], groups[kept]
