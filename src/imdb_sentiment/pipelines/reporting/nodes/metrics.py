"""How good the models are, by their predictions for the test reviews."""

import logging
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import pandas as pd
from tokenizers import Tokenizer

from imdb_sentiment.errors import make_printable
from imdb_sentiment.evaluation.metrics import describe_labels, score_predictions
from imdb_sentiment.evaluation.objectives import Metric, make_metric
from imdb_sentiment.evaluation.predictions import (
    align_rows,
    get_codes,
    get_predicted_codes,
    get_probabilities,
    is_correct,
)
from imdb_sentiment.evaluation.probabilities import DecisionRule
from imdb_sentiment.evaluation.statistics import MIN_GROUPS, compare_models, estimate_interval
from imdb_sentiment.parameters import ReportParameters, ReviewsParameters
from imdb_sentiment.pipelines.reporting.nodes.verdict import Verdict, judge
from imdb_sentiment.pipelines.tuning.protocol import count_folds
from imdb_sentiment.serving import Predictor
from imdb_sentiment.text.encoded_reviews import EncodedReviews
from imdb_sentiment.text.near_duplicates import find_near_duplicates

logger = logging.getLogger(__name__)

MANY_NEAR_DUPLICATES = 0.05  # share of the test reviews


def measure_models(
    *,
    test_predictions: pd.DataFrame,
    part_predictions: pd.DataFrame,
    baseline_predictions: pd.DataFrame,
    test: EncodedReviews,
    reviews: ReviewsParameters,
    report: ReportParameters,
) -> dict[str, Any]:
    """Return the scores of the model, its parts and the baseline.

    Args:
        test_predictions: Output of `score_test_reviews`.
        part_predictions: Output of `score_test_reviews`: the predictions of each part of the model.
        baseline_predictions: Output of `score_baseline`, for the same rows.
        test: The encoded test reviews, for their groups.
        reviews: The labels; of two, the second is the positive class.
        report: Settings of the estimates of intervals and of the calibration.

    Returns:
        The scores of the model with the prefix `test_` (see `score_predictions`), those of its
        parts and of the baseline with the prefixes `lstm_test_`, `ngrams_test_` and
        `baseline_test_`; `test_by_label`, those of each label (see `describe_labels`); and the
        number of groups, `test_groups`, if the reviews belong to groups.

    """
    group_by_row = _find_groups(test)
    predictions_of = {
        "": test_predictions,
        **{f"{name}_": part for name, part in part_predictions.groupby("model", sort=False)},
        "baseline_": baseline_predictions,
    }
    by_label = describe_labels(test_predictions, reviews.labels)
    if silent := [name for name, row in by_label.items() if row["rows"] and not row["predicted"]]:
        logger.warning(
            "The model predicts %s for none of the %d test reviews: label more such reviews",
            ", ".join(make_printable(label) for label in silent),
            len(test_predictions),
        )
    return {
        "test_rows": len(test_predictions),
        **{
            f"{prefix}test_{name}": value
            for prefix, predictions in predictions_of.items()
            for name, value in score_predictions(
                predictions,
                reviews.labels,
                report,
                are_ordered=reviews.ordered,
                groups=_get_groups(group_by_row, predictions),
            ).items()
        },
        "test_by_label": by_label,
        **({} if group_by_row is None else {"test_groups": group_by_row.nunique()}),
    }


def compare_with_baseline(
    *,
    test_predictions: pd.DataFrame,
    part_predictions: pd.DataFrame,
    baseline_predictions: pd.DataFrame,
    decision: dict[str, Any],
    baseline_decision: dict[str, Any],
    test: EncodedReviews,
    reviews: ReviewsParameters,
    group_column: str | None,
    metric: Metric,
    report: ReportParameters,
) -> dict[str, Any]:
    """Compare the model with the linear baseline and with the most frequent label.

    Args:
        test_predictions: Output of `score_test_reviews`.
        part_predictions: Output of `score_test_reviews`, for the n-grams alone.
        baseline_predictions: Output of `score_baseline`, for the same rows.
        decision: Output of the pipeline training: what its thresholds aim at.
        baseline_decision: Output of the pipeline training: whether thresholds were chosen for the
            baseline.
        test: The encoded test reviews, for their groups.
        reviews: The labels; of two, the second is the positive class.
        group_column: Column with the groups of the reviews; None if there are none.
        metric: Metric from `choose_metric`.
        report: Settings of the estimates of intervals.

    Returns:
        McNemar's test of the model and the baseline; with another metric than the accuracy, by how
        much the model is better than the baseline (`metric_gain`) and the 95% interval of that;
        and whether the model is better than the most frequent label (`better_than_majority`). If
        the test reviews belong to fewer than five groups, `has_enough_groups` is false, and nothing
        is concluded. McNemar's test would take the reviews of a group for independent, so there is
        `metric_gain` instead, also of the accuracy. With `training.decision_target`, both are of
        the most probable labels (`compared_without_thresholds`): a threshold for a recall of 0.9
        makes mistakes on purpose, and how many depends on where it happens to lie. If thresholds
        were chosen for the baseline, and some of its labels are not its most probable ones,
        `baseline_without_thresholds` is the metric of those. If it is better,
        `is_most_probable_compared` is true, and the model is compared with them: thresholds that
        happen to harm the baseline must not decide which is better.

    """
    model, baseline = test_predictions, align_rows(baseline_predictions, test_predictions)
    accuracy = make_metric("accuracy", None, reviews.labels, are_ordered=reviews.ordered)
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
        groups=_get_groups(_find_groups(test), test_predictions),
        has_enough_groups=has_enough_groups,
    )
    label_shares = test_predictions["sentiment"].value_counts(normalize=True)

    def is_better_than_majority(predictions: pd.DataFrame) -> bool:
        constant = predictions.assign(predicted_sentiment=str(label_shares.idxmax()))
        conditions = {
            "test_set_unseen_in_tuning": True,  # a choice of few trials matters little here
            "has_enough_groups": has_enough_groups,
        }
        return judge(conditions | compare(accuracy, predictions, constant)) == Verdict.MODEL

    of_parts: dict[str, Any] = {}
    ngrams = part_predictions[part_predictions["model"] == "ngrams"]
    if len(ngrams):
        aligned = align_rows(ngrams, test_predictions)
        of_parts["ngrams_better_than_majority"] = is_better_than_majority(aligned)
    return {
        "has_enough_groups": has_enough_groups,
        **compare(metric, model, baseline),
        **of_baseline,
        "compared_without_thresholds": has_target,
        "majority_test_accuracy": float(label_shares.max()),
        "better_than_majority": is_better_than_majority(model),
        **of_parts,
        "tuning_metric": metric.title,
    }


def measure_coverage(
    test_predictions: pd.DataFrame,
    decision: dict[str, Any],
    onnx_model: bytes,
    test: EncodedReviews,
    reviews: ReviewsParameters,
) -> dict[str, float]:
    """Return the share of test reviews that get an answer, and the accuracy of these answers.

    The exported model gives none to reviews of which it knows nothing, nor below a minimum of
    confidence.

    Args:
        test_predictions: Output of `score_test_reviews`.
        decision: Output of the pipeline training, for the minimum confidence of an answer.
        onnx_model: Output of the pipeline training.
        test: The encoded test reviews, for those without a known word.
        reviews: The labels.

    Returns:
        `min_confidence`, `test_without_known_word` (the number of reviews of which the model knows
        nothing), `test_coverage` (the share that gets an answer) and, unless none does,
        `test_accuracy_answered`; or nothing if all get one.

    """
    unanswered = _find_unanswered(test_predictions, test, onnx_model)
    unknown = np.isin(test_predictions["row"], unanswered)
    if not decision["min_confidence"] and not unknown.any():
        return {}
    rule = DecisionRule.from_json(decision, reviews.labels)
    confidence = rule.measure_confidence(get_probabilities(test_predictions, reviews.labels))
    answered = test_predictions[(confidence >= decision["min_confidence"]) & ~unknown]
    accuracy = {"test_accuracy_answered": is_correct(answered).mean()} if len(answered) else {}
    return {
        "min_confidence": decision["min_confidence"],
        "test_without_known_word": int(unknown.sum()),
        "test_coverage": len(answered) / len(test_predictions),
        **{name: float(value) for name, value in accuracy.items()},
    }


def count_near_duplicates(
    test_predictions: pd.DataFrame,
    train: EncodedReviews,
    validation: EncodedReviews,
    test: EncodedReviews,
    tokenizer: Tokenizer,
) -> dict[str, float]:
    """Count the test reviews that are nearly the same as one that the model has learnt from.

    Args:
        test_predictions: Output of `score_test_reviews`.
        train: The encoded training reviews.
        validation: The encoded validation reviews.
        test: The encoded test reviews.
        tokenizer: Output of the pipeline data_processing.

    Returns:
        `test_near_duplicates`, the number of those that `find_near_duplicates` finds; whether they
        are more than 5% of the test reviews (`has_many_near_duplicates`), and if so, the accuracy
        on the others, `test_accuracy_without_near_duplicates`.

    """
    near_duplicates = test.rows[find_near_duplicates(test, [train, validation], tokenizer)]
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


def collect_metrics(
    *,
    scores: dict[str, Any],
    comparison: dict[str, Any],
    coverage: dict[str, float],
    near_duplicates: dict[str, float],
    study: optuna.Study,
    calibration: dict[str, Any],
    decision: dict[str, Any],
    export_check: dict[str, float],
    reviews: ReviewsParameters,
) -> dict[str, Any]:
    """Put together what was measured, and what is needed to interpret it.

    Args:
        scores: Output of `measure_models`.
        comparison: Output of `compare_with_baseline`.
        coverage: Output of `measure_coverage`.
        near_duplicates: Output of `count_near_duplicates`.
        study: Output of the pipeline tuning: how it scored its trials, and its best value.
        calibration: Output of the pipeline training, with the weights of the parts.
        decision: Output of the pipeline training.
        export_check: Output of the pipeline training.
        reviews: For the name of the table.

    Returns:
        The contents of the four dictionaries; the name of the table; how the parts of the model
        were put together, and whether thresholds were chosen; how the search scored its trials, and
        the value of the best one; and the contents of `export_check` with the prefix `export_`.

    """
    evaluate_on = study.user_attrs["protocol"]["evaluate_on"]
    return {
        "file": reviews.file_name,
        **scores,
        **comparison,
        **coverage,
        **near_duplicates,
        "ngram_share": calibration["ngram_share"],
        "temperature": calibration["temperature"],
        "has_thresholds": decision["after"] is not None
        and not decision["is_median"]
        and not decision["unfitted_reason"],
        "tuned_on": evaluate_on,
        "tuning_folds": count_folds(study),
        "tuning_value": study.best_value,
        "test_set_unseen_in_tuning": evaluate_on != "test",
        **{f"export_{name}": value for name, value in export_check.items()},
    }


def _find_groups(test: EncodedReviews) -> pd.Series | None:
    """Return the group of each row; None if there are no groups, or all rows are in one."""
    if len(np.unique(test.groups)) == 1:
        return None
    return pd.Series(test.groups, test.rows)


def _get_groups(
    group_by_row: pd.Series | None, predictions: pd.DataFrame
) -> npt.NDArray[np.uint64] | None:
    """Return the group of each prediction."""
    return None if group_by_row is None else group_by_row.loc[predictions["row"]].to_numpy()


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
