"""Figures along the threshold of the probability: ROC, precision and recall."""

from collections.abc import Iterator
from itertools import cycle, product

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from imdb_sentiment.evaluation.metrics import tabulate_thresholds
from imdb_sentiment.evaluation.predictions import choose_positive_labels
from imdb_sentiment.parameters import ReviewsParameters
from imdb_sentiment.pipelines.reporting.nodes.figures import style


def plot_roc_curves(
    test_predictions: pd.DataFrame, baseline_predictions: pd.DataFrame, reviews: ReviewsParameters
) -> go.Figure:
    """Draw the ROC curve of the positive class, or of each of several labels against the rest.

    Args:
        test_predictions: Output of `score_test_reviews`.
        baseline_predictions: Output of `score_baseline`; drawn if there are two labels.
        reviews: The labels.

    Returns:
        One curve per model or label, and the diagonal.

    """
    from sklearn import metrics

    figure = style.create_figure(
        "ROC curve of the test set", "false positive rate", "true positive rate"
    )
    curves = _select_curves(test_predictions, baseline_predictions, reviews)
    for model_or_label, truth, probability, line in curves:
        false_positives, true_positives, _ = metrics.roc_curve(truth, probability)
        name = f"{model_or_label} (AUC {metrics.auc(false_positives, true_positives):.3f})"
        style.add_line(figure, false_positives, true_positives, name, line=line)
    figure.add_scatter(x=[0, 1], y=[0, 1], name="chance", mode="lines", line=style.REFERENCE_LINE)
    return style.fit_height_to_legend(figure)


def plot_precision_recall_curves(
    test_predictions: pd.DataFrame, baseline_predictions: pd.DataFrame, reviews: ReviewsParameters
) -> go.Figure:
    """Draw precision against recall, of the positive class or of each of several labels.

    Args:
        test_predictions: Output of `score_test_reviews`.
        baseline_predictions: Output of `score_baseline`; drawn if there are two labels.
        reviews: The labels.

    Returns:
        One curve per model or label.

    """
    from sklearn import metrics

    figure = style.create_figure("Precision and recall of the test set", "recall", "precision")
    curves = _select_curves(test_predictions, baseline_predictions, reviews)
    for model_or_label, truth, probability, line in curves:
        precision, recall, _ = metrics.precision_recall_curve(
            truth, probability, drop_intermediate=True
        )
        area = metrics.average_precision_score(truth, probability)
        name = f"{model_or_label} (average precision {area:.3f})"
        style.add_line(figure, recall, precision, name, line=line)
    return style.fit_height_to_legend(figure)


def plot_thresholds(test_predictions: pd.DataFrame, reviews: ReviewsParameters) -> go.Figure:
    """Draw precision and recall at each threshold of the probability.

    Args:
        test_predictions: Output of `score_test_reviews`.
        reviews: The labels.

    Returns:
        Two lines for the positive class, or for each of several labels.

    """
    figure = style.create_figure(
        "Precision and recall by threshold", "probability threshold", "share"
    )
    labels = choose_positive_labels(reviews.labels)
    for label, colour in zip(labels, cycle(style.COLOURS), strict=False):
        table = tabulate_thresholds(test_predictions, label)
        for score, dash in (("precision", "solid"), ("recall", "dash")):
            name, line = f"{style.escape_markup(label)}, {score}", {"color": colour, "dash": dash}
            style.add_line(figure, table["threshold"], table[score], name, line=line)
    return style.fit_height_to_legend(figure)


def _select_curves(
    model: pd.DataFrame, baseline: pd.DataFrame, reviews: ReviewsParameters
) -> Iterator[tuple[str, npt.NDArray[np.bool_], npt.NDArray[np.float64], dict[str, str]]]:
    """Yield the model and the baseline for two labels, else the model for each label.

    Yields:
        Name in the legend; whether each review has the label, and the predicted probability of the
        label, both of shape (reviews,); colour and dash of the line. At most 36 labels get a curve:
        as many as there are pairs of a colour and a dash.

    """
    labels = choose_positive_labels(reviews.labels)
    if len(labels) == 1:
        curves = [("model", model, labels[0]), ("baseline", baseline, labels[0])]
        styles = [("solid", style.BLUE), ("dash", style.ORANGE)]
    else:
        curves = [(style.escape_markup(label), model, label) for label in labels]
        styles = list(product(style.DASHES, style.COLOURS))
    for (name, frame, label), (dash, colour) in zip(curves, styles, strict=False):
        truth = (frame["sentiment"] == label).to_numpy()
        probability = frame[f"probability_{label}"].to_numpy()
        yield name, truth, probability, {"color": colour, "dash": dash}
