"""Scoring the test set once, and telling the user how good the model is."""

import logging
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import optuna
import pandas as pd
import plotly.graph_objects as go
import sklearn.pipeline
from optuna.trial import TrialState
from sklearn import metrics as scores

from imdb_sentiment.encoded import EncodedReviews, GuessedReviews
from imdb_sentiment.model import History, KerasModel, predict_probabilities
from imdb_sentiment.parameters import CustomReviewsParameters, ReviewsParameters
from imdb_sentiment.predictions import add_predictions, choose_texts, tabulate_predictions
from imdb_sentiment.serving import Predictor

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
    predictions = tabulate_predictions(predict_probabilities(model, test.sequences), test.labels)
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
    export_check: dict[str, float],
    guessed_reviews: GuessedReviews,
    reviews: ReviewsParameters,
) -> dict[str, Any]:
    """Compare the network with the truth, the linear model and the most frequent label.

    Args:
        test_predictions: From `score_test_reviews`.
        baseline_predictions: From `score_baseline`, of the same rows.
        study: From the tuning pipeline: on which rows it chose, and how well it did there.
        export_check: From the training pipeline.
        guessed_reviews: From the training pipeline: what the network learnt from besides.
        reviews: The labels; of two, the second is the positive class.

    Returns:
        `test_accuracy`, `test_precision`, `test_recall`, `test_f1`, `test_roc_auc` and
        `test_log_loss` (natural logarithm), the same of the baseline with the prefix `baseline_`,
        and what it takes to read them. With more than two labels precision, recall, F1 and ROC AUC
        (one label against the rest) are macro-averaged.

    """
    evaluate_on = study.user_attrs["protocol"]["evaluate_on"]
    truth = test_predictions["sentiment"]
    return {
        "file": reviews.file,
        "test_rows": len(test_predictions),
        **{f"test_{k}": v for k, v in _score(test_predictions, reviews.labels).items()},
        **{
            f"baseline_test_{k}": v for k, v in _score(baseline_predictions, reviews.labels).items()
        },
        "majority_test_accuracy": float(truth.value_counts(normalize=True).max()),
        "tuned_on": evaluate_on,
        "tuning_accuracy": study.best_value,
        "guessed_training_rows": len(guessed_reviews),
        "test_set_unseen_in_tuning": evaluate_on != "test",
        **{f"export_{name}": value for name, value in export_check.items()},
    }


def plot_learning_curves(history: History, study: optuna.Study) -> go.Figure:
    """Draw accuracy epoch by epoch.

    Args:
        history: Of the final model.
        study: Its best trial tells how accuracy on unseen rows went, since the final model may
            have learnt from all of them.

    Returns:
        A plotly figure.

    """
    names = {
        "accuracy": "final model, rows it learns from",
        "val_accuracy": "final model, validation",
    }
    figure = go.Figure()
    for key, name in names.items():
        if key in history:
            epochs = list(range(1, len(history[key]) + 1))
            figure.add_scatter(x=epochs, y=history[key], name=name, mode="lines+markers")
    best = study.best_trial.intermediate_values
    figure.add_scatter(
        x=list(best),
        y=list(best.values()),
        name=f"best trial, {study.user_attrs['protocol']['evaluate_on']}",
        mode="lines+markers",
    )
    return figure.update_layout(
        title="Learning curves", xaxis={"title": "epoch", "dtick": 1}, yaxis_title="accuracy"
    )


def plot_confusion_matrix(test_predictions: pd.DataFrame, reviews: ReviewsParameters) -> go.Figure:
    """Draw how many test reviews of each label were predicted as which.

    Args:
        test_predictions: From `score_test_reviews`.
        reviews: The labels.

    Returns:
        A plotly figure.

    """
    labels = list(reviews.labels)
    counts = scores.confusion_matrix(
        test_predictions["sentiment"], test_predictions["predicted_sentiment"], labels=labels
    )
    figure = go.Figure(
        go.Heatmap(z=counts.tolist(), x=labels, y=labels, texttemplate="%{z:,}", colorscale="Blues")
    )
    return figure.update_layout(
        title="Confusion matrix of the test set",
        xaxis_title="predicted",
        yaxis={"title": "actual", "autorange": "reversed"},
    )


def plot_roc_curves(test_predictions: pd.DataFrame, reviews: ReviewsParameters) -> go.Figure:
    """Draw the ROC curve of the positive class, or of each of several labels against the rest.

    Args:
        test_predictions: From `score_test_reviews`.
        reviews: The labels.

    Returns:
        A plotly figure.

    """
    figure = go.Figure()
    for label in reviews.labels[1:] if len(reviews.labels) == 2 else reviews.labels:  # noqa: PLR2004
        truth = (test_predictions["sentiment"] == label).to_numpy()
        probability = test_predictions[f"probability_{label}"].to_numpy()
        false_positives, true_positives, _ = scores.roc_curve(truth, probability)
        area = scores.auc(false_positives, true_positives)
        figure.add_scatter(
            x=false_positives.tolist(), y=true_positives.tolist(), name=f"{label} (AUC {area:.3f})"
        )
    figure.add_scatter(x=[0, 1], y=[0, 1], name="chance", line={"dash": "dot", "color": "grey"})
    return figure.update_layout(
        title="ROC curve of the test set",
        xaxis_title="false positive rate",
        yaxis_title="true positive rate",
        showlegend=True,
    )


def plot_optimization_history(study: optuna.Study) -> go.Figure:
    """Draw the value of each trial and the best so far.

    Args:
        study: From the tuning pipeline.

    Returns:
        A plotly figure.

    """
    return optuna.visualization.plot_optimization_history(
        study, target_name=f"{study.user_attrs['protocol']['evaluate_on']} accuracy"
    )


def plot_parameter_importances(study: optuna.Study) -> go.Figure:
    """Draw what share of the variation between trials each hyperparameter explains.

    Args:
        study: From the tuning pipeline.

    Returns:
        A plotly figure; without trials that differ it says that there is nothing to explain.

    """
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len({trial.value for trial in finished}) > 1 and study.best_params:
        return optuna.visualization.plot_param_importances(study)
    message = "Importances need two finished trials of different value"
    return go.Figure().add_annotation(text=message, showarrow=False)


def summarise_run(
    best_hyperparameters: dict[str, Any],
    metrics: dict[str, Any],
    custom_predictions: pd.DataFrame,
    study: optuna.Study,
    custom: CustomReviewsParameters,
) -> str:
    """Put into a few lines what the user wants to know first.

    Args:
        best_hyperparameters: From the tuning pipeline.
        metrics: From `compute_metrics`.
        custom_predictions: From `score_custom_reviews`.
        study: Says which hyperparameters were searched.
        custom: Names the column with the text.

    Returns:
        Markdown: best hyperparameters, test accuracy, predictions.

    """
    searched = set(study.best_params)
    lines = [
        "## Best hyperparameters",
        "",
        *(
            f"- {name}: {value:.4g}" if isinstance(value, float) else f"- {name}: {value}"
            for name, value in best_hyperparameters.items()
            if name in searched
        ),
        "",
        f"## Accuracy on {metrics['test_rows']:,} test reviews of {metrics['file']}",
        "",
        "| model | accuracy |",
        "| --- | ---: |",
        f"| LSTM | {metrics['test_accuracy']:.4f} |",
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


def _score(predictions: pd.DataFrame, labels: tuple[str, ...]) -> dict[str, float]:
    truth = predictions["sentiment"].map({label: code for code, label in enumerate(labels)})
    probabilities = predictions[[f"probability_{label}" for label in labels]].to_numpy()
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
    return {
        "accuracy": float(scores.accuracy_score(truth, predicted)),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "roc_auc": float(roc_auc),
        "log_loss": float(scores.log_loss(truth, probabilities, labels=codes)),
    }


def _shorten(text: str, width: int = 60) -> str:
    """Return the beginning of `text` as a line of Markdown that shows it as it is."""
    line = " ".join(text.split())
    line = line if len(line) <= width else line[: width - 1] + "…"
    return re.sub(r"([\\`*_{}\[\]<>#|~!&])", r"\\\1", line)
