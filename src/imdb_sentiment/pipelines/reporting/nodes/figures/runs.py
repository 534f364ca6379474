"""Figures of the runs so far."""

import logging
from collections.abc import Callable
from itertools import cycle
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from imdb_sentiment.pipelines.reporting.nodes.figures import style

logger = logging.getLogger(__name__)

MAX_MODELS = 50  # in the figure: the latest ones

Record = dict[str, Any]  # what `record_run` returns


def plot_run_history(run_record: dict[str, Callable[[], Record]]) -> go.Figure:
    """Draw the test accuracy of the models so far, with its 95% interval.

    Args:
        run_record: Functions that load the record of a run, by names that begin with its time.

    Returns:
        Two lines per test set, of the models and of their baselines, since only accuracies on the
        same test set can be compared. The latest 50 models are drawn.

    """
    figure = style.create_figure("Test accuracy of the models so far", "model", "accuracy")
    numbered = list(enumerate(_load_records(run_record), start=1))[-MAX_MODELS:]
    by_test_set: dict[str, dict[int, Record]] = {}
    for number, record in numbered:
        by_test_set.setdefault(record["test_reviews_sha256"], {})[number] = record
    # Five symbols and six colours make 30 different pairs.
    for (test_set, records), colour, symbol in zip(
        by_test_set.items(), cycle(style.COLOURS), cycle(style.SYMBOLS[:5]), strict=False
    ):
        metrics = pd.DataFrame([record["metrics"] for record in records.values()])
        file = style.escape_markup(metrics["file"].iloc[0])
        reviews = f"{metrics['test_rows'].iloc[0]:,} reviews of {file}"
        if len(by_test_set) > 1:
            reviews += f" ({test_set[:6]})"
        for name, prefix, dash in (("model", "", "solid"), ("baseline", "baseline_", "dot")):
            accuracy, low, high = (
                metrics[f"{prefix}test_accuracy{end}"] for end in ("", "_low", "_high")
            )
            figure.add_scatter(
                x=list(records),
                y=style.round_values(accuracy),
                error_y=style.make_error_bars(accuracy, low, high) if name == "model" else None,
                customdata=[_describe_model(record) for record in records.values()],
                hovertemplate="%{y:.4f}<br>%{customdata}",
                name=f"{name}, {reviews}",
                mode="lines+markers",
                line={"dash": dash, "color": colour},
                marker_symbol=symbol if name == "model" else f"{symbol}-open",
            )
    return style.fit_height_to_legend(figure).update_xaxes(**style.make_integer_axis(len(numbered)))


def _load_records(run_record: dict[str, Callable[[], Record]]) -> list[Record]:
    """Return the last record of each model and test set, the oldest first."""
    records: dict[tuple[str, str], Record] = {}
    for name in sorted(run_record):
        try:
            record = run_record[name]()
            key = (record["model_sha256"], record["test_reviews_sha256"])
        except Exception:  # a damaged old record must not prevent a new report
            logger.warning("The record %s can't be read, and is left out.", name, exc_info=True)
            continue
        records.pop(key, None)
        records[key] = record
    return list(records.values())


def _describe_model(record: Record) -> str:
    hyperparameters = [
        f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}"
        for name, value in record["best_hyperparameters"].items()
    ]
    return "<br>".join([f"trained {record['model']['made']}", *hyperparameters])
