"""Common parts of the figures: colours, axes, legends, lines, panels."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

# Palette of Okabe and Ito, "Color Universal Design" (2008), for readers with any colour vision.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
BLUE, ORANGE, GREEN, PINK, YELLOW, SKY = COLOURS
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "square", "diamond", "x", "triangle-up", "star")
GREY = "#8a8a8a"
REFERENCE_LINE = {"dash": "dot", "color": GREY}
LEGEND_LINES = 5  # number of lines for which a figure of the usual height has room
PANEL_COLUMNS = 2
PANEL_GAP = 70  # between two rows of panels, in pixels, for the numbers and the title of an axis
LONGEST_NAME = 20  # maximum length of a label above a panel or along an axis: phones are narrow

_AXIS = {
    "gridcolor": "#dddddd",
    "linecolor": "#999999",
    "zeroline": False,
    "automargin": True,
    "title": {"standoff": 10},  # without it, the title may stand on the ticks' names
}


@cache
def make_template() -> go.layout.Template:
    """Return the template of all figures.

    It is made with the first figure, since plotly then loads the definitions of all its parts.
    """
    return go.layout.Template(
        layout={
            "colorway": COLOURS,
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "xaxis": _AXIS,
            "yaxis": _AXIS,
            # The title lies above a legend of up to three lines; the report shows it elsewhere.
            "title": {"yref": "container", "y": 1, "yanchor": "top", "pad": {"t": 10}},
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
            "margin": {"t": 90, "r": 20, "b": 50, "l": 60},
            "hovermode": "closest",
        }
    )


def create_figure(title: str, x: str, y: str) -> go.Figure:
    """Return an empty figure with a legend and titles of the axes."""
    return go.Figure().update_layout(
        template=make_template(), title=title, showlegend=True, xaxis_title=x, yaxis_title=y
    )


def create_panels(title: str, names: Sequence[str], panel_height: int) -> go.Figure:
    """Return an empty figure with one panel per name ("small multiples", Tufte, 1983).

    The panels are numbered from 0, row by row; `locate_panel` returns their places.

    Args:
        title: Title of the figure.
        names: Title of each panel, as plotly reads it.
        panel_height: Height of each panel in pixels, without titles and axes.

    """
    n_columns = min(len(names), PANEL_COLUMNS)
    n_rows = -(-len(names) // n_columns)
    title_height = 16 * (1 + max(name.count("<br>") for name in names))
    gap = PANEL_GAP + title_height
    height = n_rows * (panel_height + gap) - gap
    places = iter(names)
    figure = make_subplots(
        rows=n_rows,
        cols=n_columns,
        subplot_titles=names,
        horizontal_spacing=0.14,
        vertical_spacing=gap / height,
        specs=[
            [{} if next(places, None) is not None else None for _ in range(n_columns)]
            for _ in range(n_rows)
        ],
    )
    figure.update_annotations(font_size=12)
    top = title_height + 90
    return figure.update_layout(
        template=make_template(),
        title=title,
        height=height + top + 60,
        margin_t=top,
        showlegend=True,
        legend_y=1 + (title_height + 8) / height,
    )


def locate_panel(number: int) -> dict[str, int]:
    """Return the place of a panel of `create_panels`, as arguments of `add_line`."""
    row, column = divmod(number, PANEL_COLUMNS)
    return {"row": row + 1, "col": column + 1}


def create_message(title: str, message: str) -> go.Figure:
    """Return a figure that says in words why there is nothing to draw."""
    layout = {"template": make_template(), "title": title, "height": 120}
    figure = go.Figure(layout=layout | {"margin": {"t": 50, "b": 20}, "meta": {"is_message": True}})
    figure.add_annotation(text=message, showarrow=False)
    return figure.update_xaxes(visible=False).update_yaxes(visible=False)


def add_line(
    figure: go.Figure, x: Iterable[float], y: Iterable[float], name: str, **trace: Any
) -> go.Figure:
    """Draw a line; `trace` holds what else plotly's scatter traces can have."""
    trace = {"mode": "lines", **trace}
    return figure.add_scatter(x=round_values(x), y=round_values(y), name=name, **trace)


def add_vertical_line(figure: go.Figure, x: float, text: str, **annotation: str) -> go.Figure:
    """Mark a place on the horizontal axis."""
    return figure.add_vline(
        x=x, line=REFERENCE_LINE, annotation={"text": text, "textangle": 0, **annotation}
    )


def mark_limit(
    figure: go.Figure, limit: int, longest: float, calibration: dict[str, Any]
) -> go.Figure:
    """Mark the length that the LSTM cuts reviews to, if the figure has such lengths.

    Otherwise the axis names it: an axis up to the mark would leave short reviews a narrow strip.
    A model without an LSTM has no limit.
    """
    if calibration["ngram_share"] == 1:
        return figure
    if longest >= limit:
        return add_vertical_line(figure, limit, "limit")
    (axis,) = figure.select_xaxes()
    return figure.update_xaxes(title=f"{axis.title.text}<br>(limit: {limit})")


def fit_height_to_legend(figure: go.Figure) -> go.Figure:
    """Make a figure higher if its legend has many lines."""
    return figure.update_layout(height=400 + 24 * max(0, len(figure.data) - LEGEND_LINES))


def make_integer_axis(n: int) -> dict[str, Any]:
    """Return the settings of an axis that counts up to `n`."""
    return {"dtick": max(1, n // 10), "tickformat": "d"}


def make_error_bars(values: pd.Series, low: pd.Series, high: pd.Series) -> dict[str, list[float]]:
    """Return bars from `low` to `high` around the values."""
    return {"array": round_values(high - values), "arrayminus": round_values(values - low)}


def escape_markup(label: str) -> str:
    """Return a label that plotly shows literally, instead of reading markup in it."""
    return label.replace("&", "&amp;").replace("<", "&lt;")


def shorten(label: str, longest: int = LONGEST_NAME) -> str:
    """Return a label that fits above a panel, or into it, with its end, which may tell it apart."""
    if len(label) <= longest:
        return label
    n_last = longest // 3
    return f"{label[: longest - 1 - n_last]}…{label[-n_last:]}"


def round_values(values: Iterable[float]) -> list[float]:
    """Return plain numbers with five significant digits, which keep the figure's file small."""
    return [float(f"{value:.5g}") for value in values]
