"""Scores of the models on the test reviews; examples.py explains a few of the same reviews."""

import logging
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import pandas as pd
from tokenizers import Tokenizer

from imdb_sentiment.errors import make_printable
from imdb_sentiment.evaluation.logits import to_probabilities
from imdb_sentiment.evaluation.metrics import describe_labels, score_predictions
from imdb_sentiment.evaluation.objectives import Metric, make_metric
from imdb_sentiment.evaluation.predictions import (
    add_predictions,
    align_rows,
    get_codes,
    get_predicted_codes,
    get_probabilities,
    is_correct,
    tabulate_predictions,
)
from imdb_sentiment.evaluation.probabilities import DecisionRule, calibrate_baseline
from imdb_sentiment.evaluation.stacking import Weights
from imdb_sentiment.evaluation.statistics import MIN_GROUPS, compare_models, estimate_interval
from imdb_sentiment.network.model import KerasModel, score_logits
from imdb_sentiment.network.ngrams import NgramModel
from imdb_sentiment.parameters import (
    ReportParameters,
    ReviewsParameters,
    TuningParameters,
)
from imdb_sentiment.pipelines.reporting.nodes.custom import CustomReviews
from imdb_sentiment.pipelines.reporting.nodes.verdict import Verdict, judge
from imdb_sentiment.pipelines.tuning.protocol import count_folds
from imdb_sentiment.serving import Predictor
from imdb_sentiment.text.encoded_reviews import EncodedReviews
from imdb_sentiment.text.near_duplicates import find_near_duplicates

logger = logging.getLogger(__name__)

MANY_NEAR_DUPLICATES = 0.05  # share of the test reviews


def score_test_reviews(
    *,
    model: KerasModel,
    ngram_model: NgramModel,
    calibration: dict[str, Any],
    decision: dict[str, Any],
    test: EncodedReviews,
    clean_reviews: Iterable[pd.DataFrame],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score the test reviews with the average that is shipped, and with each of its parts.

    Args:
        model: The trained network.
        ngram_model: Output of the pipeline training.
        calibration: Output of the pipeline training: the weights of both.
        decision: Output of the pipeline training: how the average's probabilities become a label.
            The parts alone decide likewise, but without weights of the labels.
        test: The encoded test reviews.
        clean_reviews: Chunks with `row`, `text` and `split`; the source of the texts.

    Returns:
        One row per test review, in the order of the file: `row`, `review`, `sentiment`,
        `predicted_sentiment`, the `probability` of that prediction, and `probability_LABEL` for
        each label; and a table of the predictions of each part, in which `model` is `lstm` or
        `ngrams` instead of `review`. The n-grams are missing if they have no weight.

    """
    texts = _select_test_rows(clean_reviews).set_index("row")["text"].reindex(pd.Index(test.rows))
    sentiments = np.array(test.labels, dtype=object)[test.codes]
    known = pd.DataFrame({"row": test.rows, "sentiment": sentiments})
    weights = Weights(**calibration["weights"])
    network = score_logits(model, test.sequences)
    ngrams = ngram_model.score_texts(texts)
    parts = {"lstm": network, "ngrams": ngrams} if weights.ngrams else {"lstm": network}
    rule = DecisionRule.from_json(decision | {"min_confidence": 0.0}, test.labels)
    # The probabilities of the parts are also those without the weights of the labels in the loss.
    bias = np.array(weights.bias) if len(weights.bias) else 0.0
    alone = replace(rule, weights=weights.invert_bias(len(test.labels)))
    tables = [
        known.assign(model=name).join(
            tabulate_predictions(to_probabilities(logits + bias), test.labels, alone)
        )
        for name, logits in parts.items()
    ]
    average = tabulate_predictions(weights.average(network, ngrams), test.labels, rule)
    known.insert(1, "review", texts.to_numpy())
    return known.join(average), pd.concat(tables, ignore_index=True)


def score_baseline(
    baseline: Any,
    baseline_decision: dict[str, Any],
    clean_reviews: Iterable[pd.DataFrame],
    reviews: ReviewsParameters,
) -> pd.DataFrame:
    """Score the test reviews with the linear baseline.

    Args:
        baseline: Output of the pipeline training, a scikit-learn pipeline.
        baseline_decision: Output of the pipeline training: the weights of its loss, and how its
            probabilities become a label.
        clean_reviews: Chunks with `row`, `text`, `code` and `split`.
        reviews: The labels.

    Returns:
        The columns of the model's predictions, except `review`.

    """
    # The pickled baseline uses it: with this import, lineage notices changes of its code.
    from imdb_sentiment.text.term_counts import TermCounter  # noqa: F401

    test = _select_test_rows(clean_reviews)
    loss_weights = [baseline_decision["loss_weights"][label] for label in reviews.labels]
    predictions = tabulate_predictions(
        calibrate_baseline(
            baseline.predict_proba(test["text"]),
            np.array(loss_weights),
            baseline_decision["temperature"],
        ),
        reviews.labels,
        DecisionRule.from_json(baseline_decision, reviews.labels),
    )
    sentiments = np.array(reviews.labels, dtype=object)[test["code"]]
    known = pd.DataFrame({"row": test["row"], "sentiment": sentiments})
    return pd.concat([known, predictions], axis="columns")


def score_custom_reviews(onnx_model: bytes, custom_reviews: CustomReviews) -> pd.DataFrame:
    """Score the custom reviews with the exported model, as it will be deployed.

    Args:
        onnx_model: Output of the pipeline training.
        custom_reviews: Output of `choose_custom_reviews`.

    Returns:
        The table with `predicted_sentiment`, `probability` and `probability_LABEL` added; they are
        empty for a review of which the model knows nothing, and the first two also where no label
        is as probable as `training.min_confidence`. Columns that have these names already are
        replaced.

    """
    predictor = Predictor(onnx_model)
    probabilities = predictor.score_cleaned(custom_reviews.texts)
    predictions = tabulate_predictions(probabilities, predictor.labels, predictor.rule)
    return add_predictions(custom_reviews.table, predictions)


def compute_metrics(
    *,
    test_predictions: pd.DataFrame,
    part_predictions: pd.DataFrame,
    baseline_predictions: pd.DataFrame,
    study: optuna.Study,
    calibration: dict[str, Any],
    decision: dict[str, Any],
    baseline_decision: dict[str, Any],
    export_check: dict[str, float],
    onnx_model: bytes,
    train: EncodedReviews,
    validation: EncodedReviews,
    test: EncodedReviews,
    tokenizer: Tokenizer,
    reviews: ReviewsParameters,
    group_column: str | None,
    tuning: TuningParameters,
    report: ReportParameters,
) -> dict[str, Any]:
    """Compare the model with the truth, its parts, the linear baseline and the most frequent label.

    Args:
        test_predictions: Output of `score_test_reviews`.
        part_predictions: Output of `score_test_reviews`: the predictions of each part of the model.
        baseline_predictions: Output of `score_baseline`, for the same rows.
        study: Output of the pipeline tuning: how it scored its trials, and its best value.
        calibration: Output of the pipeline training, with the weights of the parts.
        decision: Output of the pipeline training, for the minimum confidence of an answer.
        baseline_decision: Output of the pipeline training: whether thresholds were chosen for the
            baseline.
        export_check: Output of the pipeline training.
        onnx_model: Output of the pipeline training, for the reviews that it does not answer.
        train: The encoded training reviews, to find test reviews that are nearly the same.
        validation: The encoded validation reviews, likewise.
        test: The encoded test reviews, for their groups and for those without a known word.
        tokenizer: Output of the pipeline data_processing.
        reviews: The labels; of two, the second is the positive class.
        group_column: Column with the groups of the reviews; None if there are none.
        tuning: The metric of the search.
        report: Settings of the estimates of intervals and of the calibration.

    Returns:
        The scores of the model with the prefix `test_` (see `score_predictions`), those of its
        parts and of the baseline with the prefixes `lstm_test_`, `ngrams_test_` and
        `baseline_test_`; `test_by_label`, those of each label (see `describe_labels`); McNemar's
        test of the model and the baseline; with another metric than the accuracy, by how much the
        model is better than the baseline (`metric_gain`) and the 95% interval of that; and what is
        needed to interpret them. If the test reviews belong to groups, their number is
        `test_groups`; if it is below five, `has_enough_groups` is false, and nothing is concluded.
        McNemar's test would take the reviews of a group for independent, so there is `metric_gain`
        instead, also of the accuracy. With `training.decision_target`, both are of the most
        probable labels (`compared_without_thresholds`): a threshold for a recall of 0.9 makes
        mistakes on purpose, and how many depends on where it happens to lie. If thresholds were
        chosen for the baseline, and some of its labels are not its most probable ones,
        `baseline_without_thresholds` is the metric of those. If it is better,
        `is_most_probable_compared` is true, and the model is compared with them: thresholds that
        happen to harm the baseline must not decide which is better. `test_near_duplicates` counts
        the test reviews that `find_near_duplicates` finds; if they are more than 5%,
        `has_many_near_duplicates` is true, and the accuracy on the others is
        `test_accuracy_without_near_duplicates`.

    """
    by_row = _find_groups(test)

    def get_groups(predictions: pd.DataFrame) -> npt.NDArray[np.uint64] | None:
        return None if by_row is None else by_row.loc[predictions["row"]].to_numpy()

    evaluate_on = study.user_attrs["protocol"]["evaluate_on"]
    model, baseline = test_predictions, align_rows(baseline_predictions, test_predictions)
    scored = {
        "": test_predictions,
        **{f"{name}_": part for name, part in part_predictions.groupby("model", sort=False)},
        "baseline_": baseline_predictions,
    }
    metric = make_metric(
        tuning.metric, tuning.metric_label, reviews.labels, are_ordered=reviews.ordered
    )
    has_target = decision["aim"] not in (None, metric.title)
    has_enough_groups = group_column is None or len(np.unique(test.groups)) >= MIN_GROUPS
    if has_target:
        model, baseline = (
            _prefer_most_probable(table, reviews.labels) for table in (model, baseline)
        )
    of_baseline: dict[str, Any] = {}
    if baseline_decision["has_thresholds"] and not has_target:
        baseline, of_baseline = _choose_baseline(baseline, metric, reviews.labels)
    compare = partial(
        _compare,
        reviews=reviews,
        report=report,
        groups=get_groups(test_predictions),
        has_enough_groups=has_enough_groups,
    )
    by_label = describe_labels(test_predictions, reviews.labels)
    if silent := [name for name, row in by_label.items() if row["rows"] and not row["predicted"]]:
        logger.warning(
            "The model predicts %s for none of the %d test reviews: label more such reviews",
            ", ".join(make_printable(label) for label in silent),
            len(test_predictions),
        )
    label_shares = test_predictions["sentiment"].value_counts(normalize=True)
    accuracy = make_metric("accuracy", None, reviews.labels, are_ordered=reviews.ordered)

    def is_better_than_majority(predictions: pd.DataFrame) -> bool:
        constant = predictions.assign(predicted_sentiment=str(label_shares.idxmax()))
        conditions = {
            "test_set_unseen_in_tuning": True,  # a choice of few trials matters little here
            "has_enough_groups": has_enough_groups,
        }
        return judge(conditions | compare(accuracy, predictions, constant)) == Verdict.MODEL

    of_parts: dict[str, Any] = {}
    if "ngrams_" in scored:
        ngrams = align_rows(scored["ngrams_"], test_predictions)
        of_parts["ngrams_better_than_majority"] = is_better_than_majority(ngrams)
    return {
        "file": reviews.file_name,
        "test_rows": len(test_predictions),
        **{
            f"{prefix}test_{name}": value
            for prefix, predictions in scored.items()
            for name, value in score_predictions(
                predictions,
                reviews.labels,
                report,
                are_ordered=reviews.ordered,
                groups=get_groups(predictions),
            ).items()
        },
        "test_by_label": by_label,
        **({} if by_row is None else {"test_groups": by_row.nunique()}),
        "has_enough_groups": has_enough_groups,
        **compare(metric, model, baseline),
        **of_baseline,
        **_measure_coverage(
            test_predictions,
            decision,
            _find_unanswered(test_predictions, test, onnx_model),
            reviews.labels,
        ),
        **_measure_near_duplicates(
            test_predictions,
            test.rows[find_near_duplicates(test, [train, validation], tokenizer)],
        ),
        "ngram_share": calibration["ngram_share"],
        "temperature": calibration["temperature"],
        "compared_without_thresholds": has_target,
        "has_thresholds": decision["after"] is not None
        and not decision["is_median"]
        and not decision["unfitted_reason"],
        "majority_test_accuracy": float(label_shares.max()),
        "better_than_majority": is_better_than_majority(model),
        **of_parts,
        "tuned_on": evaluate_on,
        "tuning_folds": count_folds(study),
        "tuning_metric": metric.title,
        "tuning_value": study.best_value,
        "test_set_unseen_in_tuning": evaluate_on != "test",
        **{f"export_{name}": value for name, value in export_check.items()},
    }


def _find_groups(test: EncodedReviews) -> pd.Series | None:
    """Return the group of each row; None if there are no groups, or all rows are in one."""
    if len(np.unique(test.groups)) == 1:
        return None
    return pd.Series(test.groups, test.rows)


def _prefer_most_probable(predictions: pd.DataFrame, labels: tuple[str, ...]) -> pd.DataFrame:
    """Return predictions as they would be without thresholds."""
    most_probable = get_probabilities(predictions, labels).argmax(axis=1)
    return predictions.assign(predicted_sentiment=np.array(labels, dtype=object)[most_probable])


def _choose_baseline(
    baseline: pd.DataFrame, metric: Metric, labels: tuple[str, ...]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the better of the baseline's labels and its most probable labels, and their metric."""
    codes, probabilities = get_codes(baseline, labels), get_probabilities(baseline, labels)
    plain = _prefer_most_probable(baseline, labels)
    own, most_probable = (get_predicted_codes(table, labels) for table in (baseline, plain))
    if np.array_equal(own, most_probable):
        return baseline, {}
    with_rule, value = (
        metric.measure(codes, probabilities, chosen) for chosen in (own, most_probable)
    )
    is_better = metric.is_better(value, with_rule)
    return plain if is_better else baseline, {
        "baseline_without_thresholds": value,
        "is_most_probable_compared": is_better,
    }


def _compare(
    metric: Metric,
    model: pd.DataFrame,
    baseline: pd.DataFrame,
    *,
    reviews: ReviewsParameters,
    report: ReportParameters,
    groups: npt.NDArray[np.uint64] | None,
    has_enough_groups: bool,
) -> dict[str, float]:
    """Return what `judge` decides by, for predictions of the same reviews in the same order.

    There is a gain in the metric, unless McNemar's test compares both. It has no interval if there
    are too few groups for a bootstrap.
    """
    found = compare_models(is_correct(model), is_correct(baseline))
    comparison: dict[str, float] = {
        "right_only_by_model": found.only_first,
        "right_only_by_baseline": found.only_second,
        **({"mcnemar_p_value": found.p_value} if groups is None else {}),
        "has_enough_reviews": True,
    }
    if metric.name == "accuracy" and groups is None:
        return comparison
    codes = get_codes(model, reviews.labels)
    both = [
        (get_probabilities(table, reviews.labels), get_predicted_codes(table, reviews.labels))
        for table in (model, baseline)
    ]

    def measure_gain(rows: npt.NDArray[np.intp]) -> float:
        first, second = (
            metric.measure(codes[rows], probabilities[rows], predicted[rows])
            for probabilities, predicted in both
        )
        return second - first if metric.is_loss else first - second

    comparison |= {
        "has_enough_reviews": metric.has_enough_reviews(codes),
        "metric_gain": measure_gain(np.arange(len(codes))),
    }
    if not has_enough_groups:
        return comparison
    low, high = estimate_interval(
        measure_gain,
        len(codes),
        resamples=report.resamples,
        seed=report.seed,
        groups=groups,
        units=metric.count_units(codes),
    )
    return comparison | {"metric_gain_low": low, "metric_gain_high": high}


def _find_unanswered(
    test_predictions: pd.DataFrame, test: EncodedReviews, onnx_model: bytes
) -> npt.NDArray[np.integer]:
    """Return the rows of which the exported model knows nothing.

    It is only asked about those without a word of the LSTM's vocabulary: n-grams know such words.
    """
    wordless = test_predictions[test_predictions["row"].isin(test.rows[test.lengths == 0])]
    if wordless.empty:
        return np.zeros(0, np.intp)
    probabilities = Predictor(onnx_model).score_cleaned(wordless["review"].tolist())
    rows: npt.NDArray[np.integer] = wordless["row"].to_numpy()
    return rows[np.isnan(probabilities[:, 0])]


def _measure_coverage(
    test_predictions: pd.DataFrame,
    decision: dict[str, Any],
    unanswered: npt.NDArray[np.integer],
    labels: tuple[str, ...],
) -> dict[str, float]:
    """Return the share of test reviews that get an answer, and the accuracy of these answers.

    The exported model gives none to the rows `unanswered`, of which it knows nothing.
    """
    unknown = np.isin(test_predictions["row"], unanswered)
    if not decision["min_confidence"] and not unknown.any():
        return {}
    rule = DecisionRule.from_json(decision, labels)
    confidence = rule.measure_confidence(get_probabilities(test_predictions, labels))
    answered = test_predictions[(confidence >= decision["min_confidence"]) & ~unknown]
    accuracy = {"test_accuracy_answered": is_correct(answered).mean()} if len(answered) else {}
    return {
        "min_confidence": decision["min_confidence"],
        "test_without_known_word": int(unknown.sum()),
        "test_coverage": len(answered) / len(test_predictions),
        **{name: float(value) for name, value in accuracy.items()},
    }


def _measure_near_duplicates(
    test_predictions: pd.DataFrame, near_duplicates: npt.NDArray[np.integer]
) -> dict[str, float]:
    """Return the number of these rows, and if they are many the accuracy on all others."""
    n, n_rows = len(near_duplicates), len(test_predictions)
    found: dict[str, float] = {
        "test_near_duplicates": n,
        "has_many_near_duplicates": n > MANY_NEAR_DUPLICATES * n_rows,
    }
    if not found["has_many_near_duplicates"]:
        return found
    others = is_correct(test_predictions[~test_predictions["row"].isin(near_duplicates)])
    if len(others):
        found["test_accuracy_without_near_duplicates"] = float(others.mean())
    logger.warning(
        "%s of %s test reviews differ from a training review only in numbers or rare words, so the "
        "accuracy may be too high for new texts%s: see the report",
        f"{n:,}",
        f"{n_rows:,}",
        f" (on the others, it is {others.mean():.1%})" if len(others) else "",
    )
    return found


def _select_test_rows(clean_reviews: Iterable[pd.DataFrame]) -> pd.DataFrame:
    chunks = (chunk[chunk["split"] == "test"] for chunk in clean_reviews)
    return pd.concat(chunks, ignore_index=True)
