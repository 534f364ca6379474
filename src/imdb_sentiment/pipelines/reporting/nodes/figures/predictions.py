"""Figures of the predictions: which are wrong, and how far their probabilities can be trusted."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from tokenizers import Tokenizer

from imdb_sentiment.evaluation.calibration import measure_calibration
from imdb_sentiment.evaluation.logits import to_logits, to_probabilities
from imdb_sentiment.evaluation.metrics import (
    tabulate_accuracy_by_coverage,
    tabulate_accuracy_by_group,
)
from imdb_sentiment.evaluation.predictions import (
    align_rows,
    get_codes,
    get_probabilities,
    is_correct,
)
from imdb_sentiment.parameters import ReportParameters, ReviewsParameters
from imdb_sentiment.pipelines.reporting.nodes.figures import style
from imdb_sentiment.text.review_encoder import ReviewEncoder
from imdb_sentiment.text.tokenizer import count_known

ROOMY_LABELS = 10  # maximum number of labels for a confusion matrix of the usual size
CELL = (36, 22)  # width and height of a cell in a larger one, in pixels
ROOM_FOR_NAMES = 180  # of the labels along an axis, in pixels


def plot_confusion_matrix(test_predictions: pd.DataFrame, reviews: ReviewsParameters) -> go.Figure:
    """Draw the number of test reviews for each pair of an actual and a predicted label.

    Args:
        test_predictions: Output of `score_test_reviews`.
        reviews: The labels.

    Returns:
        A heat map; actual labels are rows, predicted labels are columns. It is larger if there are
        many labels.

    """
    from sklearn import metrics

    truth, predicted = test_predictions["sentiment"], test_predictions["predicted_sentiment"]
    counts = metrics.confusion_matrix(truth, predicted, labels=list(reviews.labels))
    names = [style.escape_markup(label) for label in reviews.labels]
    figure = style.create_figure("Confusion matrix of the test set", "predicted", "actual")
    figure.add_heatmap(
        z=counts.tolist(),
        x=names,
        y=names,
        texttemplate="%{z:,}",
        colorscale="Blues",
        showscale=False,
    )
    short = [style.escape_markup(style.shorten(label)) for label in reviews.labels]
    axis = {"type": "category", "tickvals": names, "ticktext": short}
    if len(names) > ROOMY_LABELS:
        width, height = (ROOM_FOR_NAMES + side * len(names) for side in CELL)
        figure.update_layout(height=height, meta={"min_width": width})
    return figure.update_xaxes(**axis).update_yaxes(**axis, autorange="reversed")


def plot_reliability(
    test_predictions: pd.DataFrame,
    calibration: dict[str, Any],
    reviews: ReviewsParameters,
    report: ReportParameters,
) -> go.Figure:
    """Draw how often the most probable label is right against its probability.

    This is a reliability diagram. Thresholds play no part in it.

    Args:
        test_predictions: Output of `score_test_reviews`.
        calibration: Output of the pipeline training: temperature and bias, or why they are not
            fitted.
        reviews: The labels.
        report: Number of bins.

    Returns:
        One line, two if the probabilities were calibrated (before and after it), and the diagonal.
        The area of a point grows with the number of its reviews.

    """
    codes = get_codes(test_predictions, reviews.labels)
    probabilities = get_probabilities(test_predictions, reviews.labels)
    drawn = [("the model", probabilities, "solid")]
    bias = calibration["weights"].get("bias", ())
    if calibration["uncalibrated_reason"] is None:
        logits = to_logits(probabilities) - np.array(bias or 0.0)
        before = to_probabilities(calibration["temperature"] * logits)
        drawn = [("uncalibrated", before, "dash"), ("calibrated", probabilities, "solid")]
    figure = style.create_figure("Reliability diagram", "mean confidence", "accuracy")
    for (name, values, dash), symbol in zip(drawn, style.SYMBOLS, strict=False):
        found = measure_calibration(values, codes, report.calibration_bins)
        style.add_line(
            figure,
            found.confidence,
            found.accuracy,
            f"{name} (expected calibration error {found.error:.3f})",
            customdata=found.count.tolist(),
            hovertemplate="%{y:.3f} right at %{x:.3f}, %{customdata:,} reviews",
            mode="lines+markers",
            line_dash=dash,
            marker_symbol=symbol,
            marker_size=(4 + 10 * np.sqrt(found.count / found.count.max())).round(1).tolist(),
        )
    diagonal = [1 / len(reviews.labels), 1]
    return figure.add_scatter(
        x=diagonal, y=diagonal, name="perfectly calibrated", mode="lines", line=style.REFERENCE_LINE
    )


def plot_accuracy_by_length(
    *,
    test_predictions: pd.DataFrame,
    baseline_predictions: pd.DataFrame,
    clean_reviews: Iterable[pd.DataFrame],
    tokenizer: Tokenizer,
    words: Sequence[str],
    data_description: dict[str, Any],
    calibration: dict[str, Any],
    report: ReportParameters,
) -> go.Figure:
    """Draw the accuracy of short and of long reviews, with Wilson's 95% intervals of the model.

    Args:
        test_predictions: Output of `score_test_reviews`.
        baseline_predictions: Output of `score_baseline`, for the same rows.
        clean_reviews: Chunks with `row`, `text`, `split` and `words`.
        tokenizer: Output of the pipeline data_processing.
        words: Output of the pipeline data_processing: what the numbers in `words` stand for.
        data_description: Output of `describe_data`.
        calibration: Output of `calibrate`, for the share of the n-grams.
        report: Number of groups, which hold about the same number of reviews each. If many reviews
            have the same length, there are fewer groups.

    Returns:
        One line per model, and the length limit if a group is as long.

    """
    encoder = ReviewEncoder(tokenizer, words)
    test = (chunk[chunk["split"] == "test"] for chunk in clean_reviews)
    by_row = pd.concat(
        pd.Series(count_known(*encoder.encode_joined(chunk)), chunk["row"]) for chunk in test
    )
    lengths = by_row.reindex(pd.Index(test_predictions["row"])).reset_index(drop=True)
    limits = lengths.quantile(np.arange(1, report.groups) / report.groups).unique()
    groups = np.searchsorted(limits, lengths)  # reviews of one length are in one group
    medians = lengths.groupby(groups).median()
    figure = style.create_figure(
        "Accuracy by length", "known tokens, median of the group", "accuracy"
    )
    baseline = align_rows(baseline_predictions, test_predictions)
    for name, frame, dash, symbol in (
        ("model", test_predictions, "solid", "circle"),
        ("baseline", baseline, "dash", "square"),
    ):
        table = tabulate_accuracy_by_group(is_correct(frame), groups)
        bars = style.make_error_bars(table["accuracy"], table["low"], table["high"])
        style.add_line(
            figure,
            medians,
            table["accuracy"],
            name,
            error_y=bars if name == "model" else None,
            mode="lines+markers",
            line_dash=dash,
            marker_symbol=symbol,
        )
    return style.mark_limit(figure, data_description["sequence_length"], medians.max(), calibration)


def plot_accuracy_by_confidence(
    test_predictions: pd.DataFrame, baseline_predictions: pd.DataFrame
) -> go.Figure:
    """Draw the accuracy of the most confident predictions against the share that is kept.

    Args:
        test_predictions: Output of `score_test_reviews`.
        baseline_predictions: Output of `score_baseline`.

    Returns:
        One line per model.

    """
    figure = style.create_figure(
        "Accuracy of the most confident predictions",
        "share of the reviews with a prediction",
        "accuracy",
    )
    for name, frame, dash in (
        ("model", test_predictions, "solid"),
        ("baseline", baseline_predictions, "dash"),
    ):
        table = tabulate_accuracy_by_coverage(frame)
        style.add_line(figure, table["coverage"], table["accuracy"], name, line_dash=dash)
    return figure.update_xaxes(tickformat=".0%")
