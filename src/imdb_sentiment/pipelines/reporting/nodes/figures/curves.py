"""Figures along the threshold of the probability: ROC, precision and recall."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from imdb_sentiment.evaluation.metrics import tabulate_thresholds
from imdb_sentiment.evaluation.predictions import choose_positive_labels
from imdb_sentiment.parameters import ReviewsParameters
from imdb_sentiment.pipelines.reporting.nodes.figures import style

MAX_PANELS = 20  # maximum number of labels; if there are more, the most frequent ones
PANEL_HEIGHT = 220  # in pixels
LINES = ({"color": style.BLUE, "dash": "solid"}, {"color": style.ORANGE, "dash": "dash"})

Truth = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.float64]


def plot_roc_curves(
    test_predictions: pd.DataFrame, baseline_predictions: pd.DataFrame, reviews: ReviewsParameters
) -> go.Figure:
    """Draw the ROC curve of the positive class, or of each of several labels against the rest.

    Args:
        test_predictions: Output of `score_test_reviews`.
        baseline_predictions: Output of `score_baseline`.
        reviews: The labels.

    Returns:
        One panel per label, with a curve per model and the diagonal.

    """
    from sklearn import metrics

    def draw(truth: Truth, probability: Numbers) -> tuple[Numbers, Numbers, float]:
        false_positives, true_positives, _ = metrics.roc_curve(truth, probability)
        area = metrics.auc(false_positives, true_positives)
        return false_positives, true_positives, area

    figure = _draw_both(
        test_predictions,
        baseline_predictions,
        reviews,
        draw,
        title="ROC curve of the test set",
        axes=("false positive rate", "true positive rate"),
        area="AUC",
    )
    for number in range(len(figure.data) // 2):
        style.add_line(
            figure,
            [0, 1],
            [0, 1],
            "chance",
            line=style.REFERENCE_LINE,
            showlegend=number == 0,
            legendgroup="chance",
            **style.locate_panel(number),
        )
    return figure


def plot_precision_recall_curves(
    test_predictions: pd.DataFrame, baseline_predictions: pd.DataFrame, reviews: ReviewsParameters
) -> go.Figure:
    """Draw precision against recall, of the positive class or of each of several labels.

    Args:
        test_predictions: Output of `score_test_reviews`.
        baseline_predictions: Output of `score_baseline`.
        reviews: The labels.

    Returns:
        One panel per label, with a curve per model.

    """
    from sklearn import metrics

    def draw(truth: Truth, probability: Numbers) -> tuple[Numbers, Numbers, float]:
        precision, recall, _ = metrics.precision_recall_curve(
            truth, probability, drop_intermediate=True
        )
        return recall, precision, metrics.average_precision_score(truth, probability)

    return _draw_both(
        test_predictions,
        baseline_predictions,
        reviews,
        draw,
        title="Precision and recall of the test set",
        axes=("recall", "precision"),
        area="AP",
        shape="hv",  # between two points, the average precision counts that of the higher recall
    )


def plot_thresholds(
    test_predictions: pd.DataFrame, decision: dict[str, Any], reviews: ReviewsParameters
) -> go.Figure:
    """Draw precision and recall at each threshold of the probability.

    Args:
        test_predictions: Output of `score_test_reviews`.
        decision: Output of the pipeline training, with the threshold of the second of two labels.
        reviews: The labels.

    Returns:
        Two lines for the positive class, and the threshold that the model has for it; or a panel
        with two lines for each of several labels.

    """
    labels = _choose_labels(test_predictions, reviews)
    figure = _create_panels(
        "Precision and recall by threshold", _name_panels(labels), "threshold", "share"
    )
    for number, label in enumerate(labels):
        table = tabulate_thresholds(test_predictions, label)
        for score, line in zip(("precision", "recall"), LINES, strict=True):
            style.add_line(
                figure,
                table["threshold"],
                table[score],
                score,
                line=line,
                showlegend=number == 0,
                legendgroup=score,
                **style.locate_panel(number),
            )
    if decision["threshold"] is not None:
        side = "right" if decision["threshold"] > 0.5 else "left"  # noqa: PLR2004
        style.add_vertical_line(figure, decision["threshold"], "model's threshold", xanchor=side)
    return figure


def _create_panels(title: str, names: list[str], x: str, y: str) -> go.Figure:
    """Return an empty figure with one panel per name, whose axes go from 0 to 1."""
    figure = style.create_panels(title, names, PANEL_HEIGHT)
    figure.update_xaxes(title=x, range=[0, 1])
    figure.update_yaxes(range=[0, 1.02]).update_yaxes(title=y, col=1)
    if len(names) > 1:  # on a phone, there is no room for more numbers
        figure.update_xaxes(dtick=0.5).update_yaxes(dtick=0.5)
    return figure


def _draw_both(
    test_predictions: pd.DataFrame,
    baseline_predictions: pd.DataFrame,
    reviews: ReviewsParameters,
    draw: Callable[[Truth, Numbers], tuple[Numbers, Numbers, float]],
    *,
    title: str,
    axes: tuple[str, str],
    area: str,
    shape: Literal["linear", "hv"] = "linear",
) -> go.Figure:
    """Return a panel per label with a curve of the model and one of the baseline.

    `draw` returns the curve's coordinates and the area under it, from whether each review has the
    label and its predicted probability, both of shape (reviews,). `shape` is that of the lines
    between two points, as plotly calls it. The traces of a panel follow one another.
    """
    labels = _choose_labels(test_predictions, reviews)
    curves = [
        [
            draw((frame["sentiment"] == label).to_numpy(), frame[f"probability_{label}"].to_numpy())
            for frame in (test_predictions, baseline_predictions)
        ]
        for label in labels
    ]
    names = [
        f"{name}<br>{area} {model[2]:.3f}<br>baseline {baseline[2]:.3f}"
        for name, (model, baseline) in zip(_name_panels(labels), curves, strict=True)
    ]
    figure = _create_panels(title, names, *axes)
    for number, both in enumerate(curves):
        for name, (x, y, _), line in zip(("model", "baseline"), both, LINES, strict=True):
            style.add_line(
                figure,
                x,
                y,
                name,
                line={**line, "shape": shape},
                showlegend=number == 0,
                legendgroup=name,
                **style.locate_panel(number),
            )
    return figure


def _choose_labels(predictions: pd.DataFrame, reviews: ReviewsParameters) -> tuple[str, ...]:
    """Return the labels that get a panel: the second of two, or all of several, up to 20."""
    labels = choose_positive_labels(reviews.labels)
    frequent = set(predictions["sentiment"].value_counts().index[:MAX_PANELS])
    return labels if len(labels) <= MAX_PANELS else tuple(x for x in labels if x in frequent)


def _name_panels(labels: tuple[str, ...]) -> list[str]:
    return [style.escape_markup(style.shorten(label)) for label in labels]
