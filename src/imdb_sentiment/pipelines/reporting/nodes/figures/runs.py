"""Figures of the runs so far."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from imdb_sentiment.pipelines.reporting.nodes.figures import style

logger = logging.getLogger(__name__)

MAX_MODELS = 50  # maximum number of models in the figure, the latest ones
PANEL_HEIGHT = 90  # in pixels
MAX_LABELS = 10  # maximum number of labels whose recall has a panel
LONGEST_VALUE = 12  # maximum length of the value of a setting

SCORES = {  # whose change is drawn, and their names
    "accuracy": "accuracy",
    "f1_macro": "macro F1",
    "log_loss": "log loss",
    "calibration_error": "calibration error",
}
LEARNT = ("model", "ngram_model", "calibration")  # parts of a model that are fitted to reviews
LOSSES = {"log_loss", "calibration_error"}  # lower is better

Record = dict[str, Any]  # what `record_run` returns


def plot_run_history(run_record: dict[str, Callable[[], Record]]) -> go.Figure:
    """Draw the test accuracy of the models so far, with its 95% interval.

    Args:
        run_record: Functions that load the record of a run, by names that begin with its time.

    Returns:
        Two lines per test set, of the models and of their baselines, since only accuracies on the
        same test set can be compared. The latest 50 models are drawn; a message if there is one.

    """
    title = "Test accuracy of the models so far"
    numbered = list(enumerate(_load_records(run_record), start=1))[-MAX_MODELS:]
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


def plot_run_changes(run_record: dict[str, Callable[[], Record]]) -> go.Figure:
    """Draw what changed between the last model and the one tested before on the same reviews.

    Args:
        run_record: Functions that load the record of a run, by names that begin with its time.

    Returns:
        One panel per score, and per setting that changed; a message if there is no earlier model
        with the same test reviews.

    """
    title = "What changed since the model before"
    records = _load_records(run_record)
    same = [r for r in records if r["test_reviews_sha256"] == records[-1]["test_reviews_sha256"]]
    if len(same) < 2:  # noqa: PLR2004
        return style.create_message(title, "No earlier model was tested<br>on the same reviews")
    before, now = same[-2:]
    changes = [*_compare_scores(before["metrics"], now["metrics"]), *_compare_settings(before, now)]
    names = [
        "<br>".join(style.escape_markup(style.shorten(line)) for line in change.name.splitlines())
        for change in changes
    ]
    figure = style.create_panels(title, names, PANEL_HEIGHT, legend=False)
    for number, change in enumerate(changes):
        values, place = [change.before, change.now], style.locate_panel(number)
        are_numbers = all(isinstance(value, float) for value in values)
        if not are_numbers:
            short = [style.shorten(str(value), LONGEST_VALUE) for value in values]
            values = list(map(style.escape_markup, short))
            figure.update_yaxes(type="category", **place)
        figure.add_scatter(
            x=["before", "now"],
            y=values,
            texttemplate="%{y:.4~g}" if are_numbers else "%{y}",
            textposition="top center",
            mode="lines+markers+text",
            hoverinfo="skip",
            line_color=change.colour,
            **place,
        )
        low, high = (min(values), max(values)) if are_numbers else (0, 1)
        room = (high - low) or 1  # for the text above the higher point
        figure.update_yaxes(range=[low - 0.3 * room, high + 0.7 * room], **place)
    return figure.update_xaxes(range=[-0.6, 1.6]).update_yaxes(visible=False)


@dataclass(frozen=True)
class _Change:
    """A score or a setting of two models; numbers are floats, and a name may have two lines."""

    name: str
    before: Any
    now: Any
    colour: str


def _compare_scores(before: dict[str, Any], now: dict[str, Any]) -> Iterator[_Change]:
    """Yield the scores that both records have, coloured by whether they are better now."""

    def compare(name: str, old: float, new: float, *, is_loss: bool = False) -> _Change:
        gain = old - new if is_loss else new - old
        colour = style.BLUE if gain > 0 else style.ORANGE if gain < 0 else style.GREY
        return _Change(name, old, new, colour)

    for key, name in SCORES.items():
        old, new = (metrics.get(f"test_{key}") for metrics in (before, now))
        if old is not None and new is not None:
            yield compare(name, old, new, is_loss=key in LOSSES)
    old_labels, new_labels = (metrics.get("test_by_label", {}) for metrics in (before, now))
    for label in new_labels if len(new_labels) <= MAX_LABELS else ():
        old, new = (rows.get(label, {}).get("recall") for rows in (old_labels, new_labels))
        if old is not None and new is not None:
            yield compare(f"recall of {label}", old, new)


def _compare_settings(before: Record, now: Record) -> Iterator[_Change]:
    """Yield the settings that differ, of a group of values each one."""
    old, new = _list_settings(before), _list_settings(now)
    for name in old:
        if name in new:  # otherwise, the versions that made the models have different settings
            values, new_values = _flatten(name, old[name]), _flatten(name, new[name])
            for key in values | new_values:
                value, new_value = values.get(key), new_values.get(key)
                if value != new_value:
                    yield _Change(key, value, new_value, style.GREY)


def _list_settings(record: Record) -> dict[str, Any]:
    """Return hyperparameters, parameters of the training and fitted weights by their names."""
    training = record["model"].get("training", {})
    ngrams = training.get("ngrams", {})
    return {
        **record["best_hyperparameters"],
        **{name: value for name, value in training.items() if name != "ngrams"},
        **{f"ngrams.{name}": value for name, value in ngrams.items()},
        "temperature": record["metrics"].get("temperature"),
        "share of the n-grams": record["metrics"].get("ngram_share"),
        "training reviews": record["model"].get("training_data_sha256", "")[:6],
    }


def _flatten(name: str, value: Any) -> dict[str, Any]:
    """Return a setting by its name, or the values of a group by names of two lines."""
    parts = {name: value}
    if isinstance(value, dict):
        parts = {f"{name}\n{key}": part for key, part in value.items()}
    return {key: float(part) if type(part) in (int, float) else part for key, part in parts.items()}


def _load_records(run_record: dict[str, Callable[[], Record]]) -> list[Record]:
    """Return the last record of each model and test set, the oldest first."""
    records: dict[tuple[str, str], Record] = {}
    for name in sorted(run_record):
        try:
            record = run_record[name]()
            key = (_identify_model(record), record["test_reviews_sha256"])
        except Exception:  # a damaged old record must not prevent a new report
            logger.warning("The record %s can't be read, and is left out.", name, exc_info=True)
            continue
        records.pop(key, None)
        records[key] = record
    return list(records.values())


def _identify_model(record: Record) -> str:
    """Return an identifier that differs between models, but not if one is only exported again."""
    model = record["model"]
    parts = {step["name"]: step["sha256"] for step in model.get("lineage", ())}
    learnt = [parts.get(name) for name in LEARNT]
    if not any(learnt):  # they lie in a bucket, whose files are not read
        return str(record["model_sha256"])
    return json.dumps([learnt, model["training"]], sort_keys=True)  # with the rule of the decision


def _describe_model(record: Record) -> str:
    hyperparameters = [
        f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}"
        for name, value in record["best_hyperparameters"].items()
    ]
    return "<br>".join([f"trained {record['model']['made']}", *hyperparameters])
