"""Figures of the data: labels, lengths, words."""

from itertools import cycle
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from imdb_sentiment.pipelines.reporting.nodes.figures import style

BAR_HEIGHT = 20  # in pixels, with the space around it


def plot_label_balance(data_description: dict[str, Any]) -> go.Figure:
    """Draw the number of reviews per label and split.

    Args:
        data_description: Output of `describe_data`.

    Returns:
        One group of bars per split; if there are more labels than colours, one bar per label, of a
        part per split.

    """
    labels, splits = data_description["labels"], data_description["splits"]
    if len(labels) > len(style.COLOURS):
        return _plot_many_labels(labels, splits)
    figure = style.create_figure("Reviews per label", "split", "reviews")
    for label, colour in zip(labels, style.COLOURS, strict=False):
        figure.add_bar(
            x=list(splits),
            y=[split["by_label"][label] for split in splits.values()],
            name=style.escape_markup(style.shorten(label)),
            marker_color=colour,
            texttemplate="%{y:,}",
            textposition="auto",
        )
    return style.fit_height_to_legend(figure)


def _plot_many_labels(labels: list[str], splits: dict[str, Any]) -> go.Figure:
    figure = style.create_figure("Reviews per label", "reviews", "")
    for name, split in splits.items():
        figure.add_bar(
            x=[split["by_label"][label] for label in labels],
            y=labels,
            name=name,
            orientation="h",
            hovertemplate="%{x:,}",
        )
    short = [style.escape_markup(style.shorten(label)) for label in labels]
    figure.update_yaxes(type="category", tickvals=labels, ticktext=short, autorange="reversed")
    return figure.update_layout(
        barmode="stack", legend_traceorder="normal", height=180 + BAR_HEIGHT * len(labels)
    )


def plot_review_lengths(data_description: dict[str, Any], calibration: dict[str, Any]) -> go.Figure:
    """Draw the distribution of the lengths of the reviews, and the length limit.

    Args:
        data_description: Output of `describe_data`.
        calibration: Output of `calibrate`, for the share of the n-grams.

    Returns:
        One histogram per split, drawn as a line; the limit only if there are reviews as long.

    """
    figure = style.create_figure("Length of the reviews", "known tokens", "share of the reviews")
    lengths = data_description["lengths"]
    for (split, counts), dash in zip(lengths["counts"].items(), cycle(style.DASHES), strict=False):
        total = max(1, sum(counts))
        figure.add_scatter(
            x=lengths["edges"],
            y=[*(count / total for count in counts), 0],
            name=split,
            line={"shape": "hv", "dash": dash},
        )
    style.mark_limit(figure, data_description["sequence_length"], lengths["edges"][-1], calibration)
    return figure.update_yaxes(tickformat=".0%")


def plot_distinctive_words(data_description: dict[str, Any]) -> go.Figure:
    """Draw the words that each label uses more often than the other labels do.

    Args:
        data_description: Output of `describe_data`.

    Returns:
        One bar chart per label, one below the other; a message if there are no such words.

    """
    title = "Most distinctive words per label"
    words_by_label = data_description["distinctive_words"]
    n_labels = len(words_by_label)
    if not any(words_by_label.values()):
        return style.create_message(title, "No words are shown")
    figure = make_subplots(
        rows=n_labels,
        cols=1,
        subplot_titles=[
            f"{style.escape_markup(style.shorten(label))} against the rest"
            for label in words_by_label
        ],
        vertical_spacing=0.25 / n_labels,
    )
    for row, (words, colour) in enumerate(
        zip(words_by_label.values(), cycle(style.COLOURS), strict=False), start=1
    ):
        figure.add_bar(
            x=[word["z"] for word in words],
            y=[word["word"] for word in words],
            customdata=[[word["count"], word["elsewhere"]] for word in words],
            hovertemplate="%{y}: %{customdata[0]:,} times here, %{customdata[1]:,} elsewhere",
            orientation="h",
            marker_color=colour,
            showlegend=False,
            row=row,
            col=1,
        )
    figure.update_annotations(font_size=12)  # the titles, which have to fit on a phone
    figure.update_yaxes(autorange="reversed", type="category", dtick=1)
    figure.update_xaxes(title="log-odds ratio, z-score", row=n_labels, col=1)
    return figure.update_layout(
        template=style.make_template(),
        title=title,
        height=80 + 22 * sum(map(len, words_by_label.values())) + 60 * n_labels,
    )
