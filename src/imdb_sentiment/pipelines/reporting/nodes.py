"""Scoring the test set once, and telling the user how good the model is."""

import logging
from collections.abc import Iterable
from typing import Any

import numpy as np
import optuna
import pandas as pd
import sklearn.pipeline
from sklearn import metrics as scores

from imdb_sentiment.evaluation.calibration import apply_temperature, measure_calibration
from imdb_sentiment.evaluation.predictions import (
    add_predictions,
    align_rows,
    choose_texts,
    get_codes,
    get_probabilities,
    is_correct,
    tabulate_predictions,
)
from imdb_sentiment.evaluation.statistics import compare_models, estimate_accuracy_interval
from imdb_sentiment.network.model import KerasModel, score_sequences
from imdb_sentiment.parameters import CustomReviewsParameters, ReportParameters, ReviewsParameters
from imdb_sentiment.pipelines.reporting.page import escape_markdown
from imdb_sentiment.serving import Predictor
from imdb_sentiment.text.encoded_reviews import EncodedReviews, PseudoLabelledReviews

logger = logging.getLogger(__name__)


def score_test_reviews(
    model: KerasModel, test: EncodedReviews, clean_reviews: Iterable[pd.DataFrame]
) -> pd.DataFrame:
    """Score the test reviews with the network; the one place where it meets them.

    Args:
        model: The trained network.
        test: The encoded test reviews.
        clean_reviews: Chunks with `row`, `text` and `split`, for the texts.

    Returns:
        One row a test review, in the order of the file: `row`, `review`, `sentiment`,
        `predicted_sentiment`, `probability` of that prediction, and `probability_LABEL` for each
        label.

    """
    texts = _test_rows(clean_reviews).set_index("row")["text"].reindex(pd.Index(test.rows))
    predictions = tabulate_predictions(score_sequences(model, test.sequences), test.labels)
    known = pd.DataFrame(
        {
            "row": test.rows,
            "review": texts.to_numpy(),
            "sentiment": np.array(test.labels, dtype=object)[test.codes],
        }
    )
    return pd.concat([known, predictions], axis="columns")


def score_baseline(
    baseline: sklearn.pipeline.Pipeline,
    clean_reviews: Iterable[pd.DataFrame],
    reviews: ReviewsParameters,
) -> pd.DataFrame:
    """Score the test reviews with the linear model.

    Args:
        baseline: From the training pipeline.
        clean_reviews: Chunks with `row`, `text`, `code` and `split`.
        reviews: The labels.

    Returns:
        The same columns as the network's predictions, but for the text.

    """
    test = _test_rows(clean_reviews)
    predictions = tabulate_predictions(baseline.predict_proba(test["text"]), reviews.labels)
    known = pd.DataFrame(
        {
            "row": test["row"],
            "sentiment": np.array(reviews.labels, dtype=object)[test["code"]],
        }
    )
    return pd.concat([known, predictions], axis="columns")


def score_custom_reviews(
    onnx_model: bytes, custom_reviews: pd.DataFrame, custom: CustomReviewsParameters
) -> pd.DataFrame:
    """Score reviews that the user wrote, with the model as it is deployed.

    Args:
        onnx_model: From the training pipeline.
        custom_reviews: The user's table.
        custom: Names the column with the text.

    Returns:
        The table with `predicted_sentiment`, `probability` and `probability_LABEL` added; empty
        where a review has no word that the model knows. Columns that had these names before are
        replaced.

    Raises:
        InputError: The column is missing.

    """
    predictor = Predictor(onnx_model)
    texts = choose_texts(custom_reviews, custom)
    probabilities = predictor.predict_probabilities(texts.tolist())
    return add_predictions(custom_reviews, tabulate_predictions(probabilities, predictor.labels))


def compute_metrics(
    *,
    test_predictions: pd.DataFrame,
    baseline_predictions: pd.DataFrame,
    study: optuna.Study,
    calibration: dict[str, Any],
    export_check: dict[str, float],
    pseudo_labelled_reviews: PseudoLabelledReviews,
    reviews: ReviewsParameters,
    report: ReportParameters,
) -> dict[str, Any]:
    """Compare the network with the truth, the linear model and the most frequent label.

    Args:
        test_predictions: From `score_test_reviews`.
        baseline_predictions: From `score_baseline`, of the same rows.
        study: From the tuning pipeline: on which rows it chose, and how well it did there.
        calibration: From the training pipeline.
        export_check: From the training pipeline.
        pseudo_labelled_reviews: From the training pipeline.
        reviews: The labels; of two, the second is the positive class.
        report: How intervals and calibration are estimated.

    Returns:
        `test_accuracy` with the ends of its 95% interval (`_low`, `_high`), `test_precision`,
        `test_recall`, `test_f1`, `test_roc_auc`, `test_log_loss` (natural logarithm) and
        `test_calibration_error`, the same of the baseline with the prefix `baseline_`, McNemar's
        test of the two, and what it takes to read them. With more than two labels precision,
        recall, F1 and ROC AUC (one label against the rest) are macro-averaged.

    """
    evaluate_on = study.user_attrs["protocol"]["evaluate_on"]
    truth = test_predictions["sentiment"]
    other = align_rows(baseline_predictions, test_predictions)
    comparison = compare_models(is_correct(test_predictions), is_correct(other))
    as_trained = apply_temperature(
        get_probabilities(test_predictions, reviews.labels), 1 / calibration["temperature"]
    )
    before = measure_calibration(
        as_trained, get_codes(test_predictions, reviews.labels), report.calibration_bins
    )
    return {
        "file": reviews.file,
        "test_rows": len(test_predictions),
        **{
            f"{prefix}test_{name}": value
            for prefix, frame in (("", test_predictions), ("baseline_", baseline_predictions))
            for name, value in _score(frame, reviews.labels, report).items()
        },
        "test_calibration_error_as_trained": before.error,
        "temperature": calibration["temperature"],
        "right_only_by_lstm": comparison.only_first,
        "right_only_by_baseline": comparison.only_second,
        "mcnemar_p_value": comparison.p_value,
        "majority_test_accuracy": float(truth.value_counts(normalize=True).max()),
        "tuned_on": evaluate_on,
        "tuning_accuracy": study.best_value,
        "guessed_training_rows": len(pseudo_labelled_reviews),
        "test_set_unseen_in_tuning": evaluate_on != "test",
        **{f"export_{name}": value for name, value in export_check.items()},
    }


def summarise_run(
    facts: dict[str, Any], custom_predictions: pd.DataFrame, custom: CustomReviewsParameters
) -> str:
    """Put into a few lines what the user wants to know first.

    Args:
        facts: From `collect_facts`.
        custom_predictions: From `score_custom_reviews`.
        custom: Names the column with the text.

    Returns:
        Markdown: best hyperparameters, test accuracy, predictions.

    """
    metrics = facts["metrics"]
    lines = [
        "## Best hyperparameters",
        "",
        *(
            f"- {name}: {value:.4g}" if isinstance(value, float) else f"- {name}: {value}"
            for name, value in facts["best_hyperparameters"].items()
            if name in facts["searched"]
        ),
        "",
        f"## Accuracy on {metrics['test_rows']:,} test reviews of {metrics['file']}",
        "",
        "| model | accuracy |",
        "| --- | ---: |",
        f"| {facts['model']['classifier']} | {metrics['test_accuracy']:.4f} |",
        f"| TF-IDF and logistic regression | {metrics['baseline_test_accuracy']:.4f} |",
        f"| always the most frequent label | {metrics['majority_test_accuracy']:.4f} |",
        "",
    ]
    if not metrics["test_set_unseen_in_tuning"]:
        lines += ["The hyperparameters were chosen on the test set: this accuracy flatters.", ""]
    lines += [
        "## Custom reviews",
        "",
        "| review | predicted | probability |",
        "| --- | --- | ---: |",
    ]
    for review, label, probability in zip(
        custom_predictions[custom.text_column],
        custom_predictions["predicted_sentiment"],
        custom_predictions["probability"],
        strict=True,
    ):
        verdict = "no known word | " if pd.isna(label) else f"{label} | {probability:.3f}"
        lines.append(f"| {_shorten(str(review))} | {verdict} |")
    return "\n".join(lines) + "\n"


def _test_rows(clean_reviews: Iterable[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(
        (chunk[chunk["split"] == "test"] for chunk in clean_reviews), ignore_index=True
    )


def _score(
    predictions: pd.DataFrame, labels: tuple[str, ...], report: ReportParameters
) -> dict[str, float]:
    truth, probabilities = get_codes(predictions, labels), get_probabilities(predictions, labels)
    predicted = probabilities.argmax(axis=1)
    codes = list(range(len(labels)))
    average = "binary" if len(labels) == 2 else "macro"  # noqa: PLR2004
    precision, recall, f1, _ = scores.precision_recall_fscore_support(
        truth,
        predicted,
        labels=None if average == "binary" else codes,
        average=average,
        zero_division=0,
    )
    roc_auc = (
        scores.roc_auc_score(truth, probabilities[:, 1])
        if average == "binary"
        else scores.roc_auc_score(truth, probabilities, multi_class="ovr", labels=codes)
    )
    low, high = estimate_accuracy_interval(
        predicted == truth, resamples=report.resamples, seed=report.seed
    )
    return {
        "accuracy": float(scores.accuracy_score(truth, predicted)),
        "accuracy_low": low,
        "accuracy_high": high,
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "roc_auc": float(roc_auc),
        "log_loss": float(scores.log_loss(truth, probabilities, labels=codes)),
        "calibration_error": measure_calibration(
            probabilities, truth, report.calibration_bins
        ).error,
    }


def _shorten(text: str, width: int = 60) -> str:
    """Return the beginning of `text` as a line of Markdown that shows it as it is."""
    line = " ".join(text.split())
    return escape_markdown(line if len(line) <= width else line[: width - 1] + "…")
