"""What the figures share: colours, axes, legends, lines."""

from collections.abc import Iterable
from functools import cache
from typing import Any

import pandas as pd
import plotly.graph_objects as go

# Palette of Okabe and Ito, "Color Universal Design" (2008), for readers with any colour vision.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
BLUE, ORANGE, GREEN, PINK, YELLOW, SKY = COLOURS
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "square", "diamond", "x", "triangle-up", "star")
REFERENCE_LINE = {"dash": "dot", "color": "#8a8a8a"}
LEGEND_LINES = 5  # for which a figure of the usual height has room

_AXIS = {"gridcolor": "#dddddd", "linecolor": "#999999", "zeroline": False, "automargin": True}


@cache
def make_template() -> go.layout.Template:
    """Return what all figures have in common.

    It is made with the first figure, since plotly then reads what each part of a figure may be.
    """
    return go.layout.Template(
        layout={
            "colorway": COLOURS,
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "xaxis": _AXIS,
            "yaxis": _AXIS,
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
            "margin": {"t": 60, "r": 20, "b": 50, "l": 60},
            "hovermode": "closest",
        }
    )


def create_figure(title: str, x: str, y: str) -> go.Figure:
    """Return an empty figure with a legend and titles of the axes."""
    return go.Figure().update_layout(
        template=make_template(), title=title, showlegend=True, xaxis_title=x, yaxis_title=y
    )


def create_message(title: str, message: str) -> go.Figure:
    """Return a figure that says in words why there is nothing to draw."""
    figure = go.Figure(layout={"template": make_template(), "title": title})
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


def round_values(values: Iterable[float]) -> list[float]:
    """Return plain numbers with five significant digits, which keep the figure's file small."""
    return [float(f"{value:.5g}") for value in values]
