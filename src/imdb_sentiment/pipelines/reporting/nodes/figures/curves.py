"""Figures along the threshold of the probability: ROC, precision and recall."""

from collections.abc import Iterator
from itertools import cycle
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go
from sklearn import metrics

from imdb_sentiment.evaluation.metrics import tabulate_thresholds
from imdb_sentiment.evaluation.predictions import choose_positive_labels
from imdb_sentiment.parameters import ReviewsParameters
from imdb_sentiment.pipelines.reporting.nodes.figures.style import (
    BLUE,
    COLOURS,
    DASHES,
    ORANGE,
    REFERENCE_LINE,
    create_figure,
    escape_markup,
    fit_height_to_legend,
    round_values,
)


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
    figure = create_figure("ROC curve of the test set", "false positive rate", "true positive rate")
    for curve in _select_curves(test_predictions, baseline_predictions, reviews):
        false_positives, true_positives, _ = metrics.roc_curve(curve.truth, curve.probability)
        area = metrics.auc(false_positives, true_positives)
        figure.add_scatter(
            x=round_values(false_positives),
            y=round_values(true_positives),
            name=f"{curve.name} (AUC {area:.3f})",
            mode="lines",
            line=curve.line,
        )
    figure.add_scatter(x=[0, 1], y=[0, 1], name="chance", mode="lines", line=REFERENCE_LINE)
    return fit_height_to_legend(figure)


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
    figure = create_figure("Precision and recall of the test set", "recall", "precision")
    for curve in _select_curves(test_predictions, baseline_predictions, reviews):
        precision, recall, _ = metrics.precision_recall_curve(
            curve.truth, curve.probability, drop_intermediate=True
        )
        area = metrics.average_precision_score(curve.truth, curve.probability)
        figure.add_scatter(
            x=round_values(recall),
            y=round_values(precision),
            name=f"{curve.name} (average precision {area:.3f})",
            mode="lines",
            line=curve.line,
        )
    return fit_height_to_legend(figure)


def plot_thresholds(test_predictions: pd.DataFrame, reviews: ReviewsParameters) -> go.Figure:
    """Draw precision and recall at each threshold of the probability.

    Args:
        test_predictions: Output of `score_test_reviews`.
        reviews: The labels.

    Returns:
        Two lines for the positive class, or for each of several labels.

    """
    figure = create_figure("Precision and recall by threshold", "probability threshold", "share")
    labels = choose_positive_labels(reviews.labels)
    for label, colour in zip(labels, cycle(COLOURS), strict=False):
        table = tabulate_thresholds(test_predictions, label)
        for name, dash in (("precision", "solid"), ("recall", "dash")):
            figure.add_scatter(
                x=table["threshold"].tolist(),
                y=round_values(table[name]),
                name=f"{escape_markup(label)}, {name}",
                mode="lines",
                line={"color": colour, "dash": dash},
            )
    return fit_height_to_legend(figure)


class _Curve(NamedTuple):
    """What a curve is drawn from: one label against the rest.

    Attributes:
        name: Name in the legend.
        truth: Whether each review has the label, shape (reviews,).
        probability: Predicted probability of the label, shape (reviews,).
        line: Colour and dash of the line.

    """

    name: str
    truth: npt.NDArray[np.bool_]
    probability: npt.NDArray[np.float64]
    line: dict[str, str]


def _select_curves(
    network: pd.DataFrame, baseline: pd.DataFrame, reviews: ReviewsParameters
) -> Iterator[_Curve]:
    """Yield the network and the baseline for two labels, else the network for each label.

    Args:
        network: Output of `score_test_reviews`.
        baseline: Output of `score_baseline`.
        reviews: The labels. At most 36 get a curve: as many as there are pairs of a colour and a
            dash.

    """
    labels = choose_positive_labels(reviews.labels)
    if len(labels) == 1:
        curves = [
            ("LSTM", network, labels[0], BLUE, "solid"),
            ("baseline", baseline, labels[0], ORANGE, "dash"),
        ]
    else:
        styles = [(colour, dash) for dash in DASHES for colour in COLOURS]
        curves = [
            (escape_markup(label), network, label, *style)
            for label, style in zip(labels, styles, strict=False)
        ]
    for name, frame, label, colour, dash in curves:
        truth = (frame["sentiment"] == label).to_numpy()
        probability = frame[f"probability_{label}"].to_numpy()
        yield _Curve(name, truth, probability, {"color": colour, "dash": dash})
