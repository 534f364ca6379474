"""A figure of the runs so far."""

from collections.abc import Callable
from itertools import cycle

import pandas as pd
import plotly.graph_objects as go

from imdb_sentiment.pipelines.reporting.nodes.figures import style
from imdb_sentiment.pipelines.reporting.nodes.runs import Record, load_records

MAX_MODELS = 50  # maximum number of models in the figure, the latest ones


def plot_run_history(run_record: dict[str, Callable[[], Record]]) -> go.Figure:
    """Draw the test accuracy of the models so far, with its 95% interval.

    Args:
        run_record: Functions that load the record of a run, by names that begin with its time.

    Returns:
        Two lines per test set, of the models and of their baselines, since only accuracies on the
        same test set can be compared. The latest 50 models are drawn; a message if there is one.

    """
    title = "Test accuracy of the models so far"
    numbered = list(enumerate(load_records(run_record), start=1))[-MAX_MODELS:]
    if len(numbered) < 2:  # noqa: PLR2004
        return style.create_message(title, "This is the first model")
    figure = style.create_figure(title, "model", "accuracy")
    by_test_set: dict[str, dict[int, Record]] = {}
    for number, record in numbered:
        by_test_set.setdefault(record["test_reviews_sha256"], {})[number] = record
    firsts = [next(iter(records.values())) for records in by_test_set.values()]
    # Five symbols and six colours make 30 different pairs.
    for (test_set, records), colour, symbol in zip(
        by_test_set.items(), cycle(style.COLOURS), cycle(style.SYMBOLS[:5]), strict=False
    ):
        metrics = pd.DataFrame([record["metrics"] for record in records.values()])
        file = metrics["file"].iloc[0]
        is_alone = sum(file == record["metrics"]["file"] for record in firsts) == 1
        which = f"{metrics['test_rows'].iloc[0]:,} reviews" if is_alone else test_set[:6]
        reviews = f"{style.escape_markup(style.shorten(file))} ({which})"
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


def _describe_model(record: Record) -> str:
    hyperparameters = [
        f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}"
        for name, value in record["best_hyperparameters"].items()
    ]
    return "<br>".join([f"trained {record['model']['made']}", *hyperparameters])
