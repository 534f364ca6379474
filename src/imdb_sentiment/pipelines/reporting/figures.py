"""Figures of the report: from data, a study or predictions to a plotly figure each."""

import logging
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import pandas as pd
import plotly.graph_objects as go
import scipy.stats
from optuna.trial import TrialState
from plotly.subplots import make_subplots
from sklearn import metrics as scores
from tokenizers import Tokenizer

from imdb_sentiment.evaluation.calibration import (
    Calibration,
    apply_temperature,
    measure_calibration,
)
from imdb_sentiment.evaluation.predictions import (
    align_rows,
    choose_positive_labels,
    get_codes,
    get_probabilities,
    is_correct,
)
from imdb_sentiment.network.training import History
from imdb_sentiment.parameters import Hyperparameters, ReportParameters, ReviewsParameters
from imdb_sentiment.text.tokenizer import UNKNOWN_ID, encode_whole

logger = logging.getLogger(__name__)

# Of Okabe and Ito, "Color Universal Design" (2008): told apart without full sight of colours.
BLUE, ORANGE, GREEN, PINK, YELLOW, SKY = COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
)
GREY = "#8a8a8a"
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
STATE_COLOURS = {"complete": BLUE, "pruned": YELLOW, "fail": ORANGE}
MOST_RUNS = 50  # in a figure: the latest
FEW_LINES = 5  # in a legend, for which a figure of usual height has room
SYMBOLS = ("circle", "square", "diamond", "x", "triangle-up", "star")

_AXIS = {"gridcolor": "#dddddd", "linecolor": "#999999", "zeroline": False, "automargin": True}
TEMPLATE = go.layout.Template(
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


def plot_label_balance(data_description: dict[str, Any]) -> go.Figure:
    """Draw how many reviews of each label each split has.

    Args:
        data_description: From `describe_data`.

    """
    figure = _start("Reviews by label", "split", "reviews")
    splits = data_description["splits"]
    for label, colour in zip(data_description["labels"], _cycle(COLOURS), strict=False):
        counts = [split["by_label"][label] for split in splits.values()]
        figure.add_bar(
            x=list(splits),
            y=counts,
            name=_escape(label),
            marker_color=colour,
            texttemplate="%{y:,}",
            textposition="auto",
        )
    return figure


def plot_review_lengths(data_description: dict[str, Any]) -> go.Figure:
    """Draw how long the reviews are, and where the length limit is.

    Args:
        data_description: From `describe_data`.

    """
    figure = _start("Length of the reviews", "known tokens", "share of the reviews")
    lengths = data_description["lengths"]
    edges = lengths["edges"]
    for (split, counts), dash in zip(lengths["counts"].items(), _cycle(DASHES), strict=False):
        total = max(1, sum(counts))
        figure.add_scatter(
            x=edges,
            y=[*(count / total for count in counts), 0],
            name=split,
            line={"shape": "hv", "dash": dash},
        )
    figure.add_vline(
        x=data_description["sequence_length"],
        line={"dash": "dot", "color": GREY},
        annotation={"text": "limit", "textangle": 0},
    )
    return figure.update_yaxes(tickformat=".0%")


def plot_distinctive_words(data_description: dict[str, Any]) -> go.Figure:
    """Draw the words of each label that the others use least.

    Args:
        data_description: From `describe_data`.

    """
    words = data_description["distinctive_words"]
    figure = make_subplots(
        rows=len(words),
        cols=1,
        subplot_titles=[f"{_escape(label)} against the rest" for label in words],
        vertical_spacing=0.25 / len(words),
    )
    for row, (found, colour) in enumerate(
        zip(words.values(), _cycle(COLOURS), strict=False), start=1
    ):
        figure.add_bar(
            x=[word["z"] for word in found],
            y=[word["word"] for word in found],
            customdata=[[word["count"], word["elsewhere"]] for word in found],
            hovertemplate="%{y}: %{customdata[0]:,} times here, %{customdata[1]:,} elsewhere",
            orientation="h",
            marker_color=colour,
            showlegend=False,
            row=row,
            col=1,
        )
    figure.update_yaxes(autorange="reversed", type="category", dtick=1)
    figure.update_xaxes(title="log-odds ratio, standard deviations", row=len(words), col=1)
    return figure.update_layout(
        template=TEMPLATE,
        title="Words that tell the labels apart",
        height=80 + 22 * sum(map(len, words.values())) + 60 * len(words),
    )


def plot_learning_curves(
    history: History, study: optuna.Study, best_hyperparameters: Hyperparameters
) -> go.Figure:
    """Draw accuracy epoch by epoch, and mark the epoch whose weights the model has.

    Args:
        history: Of the final model.
        study: Its best trial tells how accuracy on unseen rows went, since the final model may
            have learnt from all of them.
        best_hyperparameters: Say whether it stopped early.

    """
    names = {
        "accuracy": "final model, rows it learns from",
        "val_accuracy": "final model, validation",
    }
    figure = _start("Learning curves", "epoch", "accuracy")
    for (key, name), dash in zip(names.items(), DASHES, strict=False):
        if key in history:
            epochs = list(range(1, len(history[key]) + 1))
            figure.add_scatter(
                x=epochs, y=history[key], name=name, mode="lines+markers", line_dash=dash
            )
    best = study.best_trial.intermediate_values
    figure.add_scatter(
        x=[step + 1 for step in best],  # Keras counts from 0
        y=list(best.values()),
        name=f"best trial, {study.user_attrs['protocol']['evaluate_on']}",
        mode="lines+markers",
        line_dash="dot",
    )
    figure.add_vline(
        x=choose_epoch(history, best_hyperparameters),
        line={"dash": "dot", "color": GREY},
        annotation={"text": "the model", "xanchor": "right", "textangle": 0},
    )
    return figure.update_xaxes(dtick=1)


def choose_epoch(history: History, best_hyperparameters: Hyperparameters) -> int:
    """Return the epoch, from 1, whose weights the final model has: the best if it stopped early."""
    if best_hyperparameters.early_stopping_patience:
        return int(np.argmax(history["val_accuracy"])) + 1
    return len(history["accuracy"])


def plot_confusion_matrix(test_predictions: pd.DataFrame, reviews: ReviewsParameters) -> go.Figure:
    """Draw how many test reviews of each label were predicted as which.

    Args:
        test_predictions: From `score_test_reviews`.
        reviews: The labels.

    """
    labels = list(reviews.labels)
    counts = scores.confusion_matrix(
        test_predictions["sentiment"], test_predictions["predicted_sentiment"], labels=labels
    )
    figure = _start("Confusion matrix of the test set", "predicted", "actual")
    figure.add_heatmap(
        z=counts.tolist(),
        x=[_escape(label) for label in labels],
        y=[_escape(label) for label in labels],
        texttemplate="%{z:,}",
        colorscale="Blues",
        colorbar_title="reviews",
    )
    figure.update_xaxes(type="category")
    return figure.update_yaxes(type="category", autorange="reversed")


def plot_roc_curves(
    test_predictions: pd.DataFrame, baseline_predictions: pd.DataFrame, reviews: ReviewsParameters
) -> go.Figure:
    """Draw the ROC curve of the positive class, or of each of several labels against the rest.

    Args:
        test_predictions: From `score_test_reviews`.
        baseline_predictions: From `score_baseline`, drawn for two labels.
        reviews: The labels.

    """
    figure = _start("ROC curve of the test set", "false positive rate", "true positive rate")
    for name, truth, probability, style in _curves(test_predictions, baseline_predictions, reviews):
        false_positives, true_positives, _ = scores.roc_curve(truth, probability)
        area = scores.auc(false_positives, true_positives)
        figure.add_scatter(
            x=_round(false_positives),
            y=_round(true_positives),
            name=f"{name} (AUC {area:.3f})",
            mode="lines",
            line=style,
        )
    figure.add_scatter(
        x=[0, 1], y=[0, 1], name="chance", mode="lines", line={"dash": "dot", "color": GREY}
    )
    return _make_room(figure)


def plot_precision_recall_curves(
    test_predictions: pd.DataFrame, baseline_predictions: pd.DataFrame, reviews: ReviewsParameters
) -> go.Figure:
    """Draw precision against recall, of the positive class or of each of several labels.

    Args:
        test_predictions: From `score_test_reviews`.
        baseline_predictions: From `score_baseline`, drawn for two labels.
        reviews: The labels.

    """
    figure = _start("Precision and recall of the test set", "recall", "precision")
    for name, truth, probability, style in _curves(test_predictions, baseline_predictions, reviews):
        precision, recall, _ = scores.precision_recall_curve(
            truth, probability, drop_intermediate=True
        )
        area = scores.average_precision_score(truth, probability)
        figure.add_scatter(
            x=_round(recall),
            y=_round(precision),
            name=f"{name} (average precision {area:.3f})",
            mode="lines",
            line=style,
        )
    return _make_room(figure)


def plot_thresholds(test_predictions: pd.DataFrame, reviews: ReviewsParameters) -> go.Figure:
    """Draw what precision and recall each threshold of the probability gives.

    Args:
        test_predictions: From `score_test_reviews`.
        reviews: The labels.

    """
    figure = _start("Precision and recall by threshold", "threshold of the probability", "share")
    labels = choose_positive_labels(reviews.labels)
    for label, colour in zip(labels, _cycle(COLOURS), strict=False):
        table = tabulate_thresholds(test_predictions, label)
        for name, dash in (("precision", "solid"), ("recall", "dash")):
            figure.add_scatter(
                x=table["threshold"].tolist(),
                y=_round(table[name]),
                name=f"{_escape(label)}, {name}",
                mode="lines",
                line={"color": colour, "dash": dash},
            )
    return _make_room(figure)


def tabulate_thresholds(test_predictions: pd.DataFrame, label: str) -> pd.DataFrame:
    """Return precision and recall of a label if it is given from some probability on.

    Args:
        test_predictions: From `score_test_reviews`.
        label: The label.

    Returns:
        One row a `threshold`, 0.02 to 0.98; `precision` is NaN where nothing reaches it.

    """
    truth = (test_predictions["sentiment"] == label).to_numpy()
    probability = test_predictions[f"probability_{label}"].to_numpy()
    thresholds = np.arange(1, 50) / 50
    given = np.array([(probability >= threshold).sum() for threshold in thresholds])
    hits = np.array([(truth & (probability >= threshold)).sum() for threshold in thresholds])
    return pd.DataFrame(
        {
            "threshold": thresholds,
            "precision": np.divide(hits, given, out=np.full(len(hits), np.nan), where=given > 0),
            "recall": hits / truth.sum() if truth.any() else np.nan,
        }
    )


def plot_reliability(
    test_predictions: pd.DataFrame,
    calibration: dict[str, Any],
    reviews: ReviewsParameters,
    report: ReportParameters,
) -> go.Figure:
    """Draw how often predictions are right, by how sure the model was, before calibration too.

    Args:
        test_predictions: From `score_test_reviews`.
        calibration: From the training pipeline.
        reviews: The labels.
        report: Has the number of bins.

    """
    codes = get_codes(test_predictions, reviews.labels)
    probabilities = get_probabilities(test_predictions, reviews.labels)
    drawn: dict[str, Calibration] = {}
    if calibration["temperature"] != 1:
        raw = apply_temperature(probabilities, 1 / calibration["temperature"])
        drawn["as trained"] = measure_calibration(raw, codes, report.calibration_bins)
    drawn["calibrated" if drawn else "the model"] = measure_calibration(
        probabilities, codes, report.calibration_bins
    )
    figure = _start("Reliability", "mean probability of the predicted label", "share that is right")
    for (name, found), dash, symbol in zip(
        drawn.items(), DASHES[: len(drawn)][::-1], SYMBOLS, strict=False
    ):
        figure.add_scatter(
            x=_round(found.confidence),
            y=_round(found.accuracy),
            customdata=found.count.tolist(),
            hovertemplate="%{y:.3f} right at %{x:.3f}, %{customdata:,} reviews",
            name=f"{name} (expected calibration error {found.error:.3f})",
            mode="lines+markers",
            line_dash=dash,
            marker_symbol=symbol,
        )
    least = 1 / len(reviews.labels)
    return figure.add_scatter(
        x=[least, 1],
        y=[least, 1],
        name="honest",
        mode="lines",
        line={"dash": "dot", "color": GREY},
    )


def plot_accuracy_by_length(
    test_predictions: pd.DataFrame,
    baseline_predictions: pd.DataFrame,
    tokenizer: Tokenizer,
    data_description: dict[str, Any],
    report: ReportParameters,
) -> go.Figure:
    """Draw the accuracy of short and of long reviews, with Wilson's 95% intervals.

    Args:
        test_predictions: From `score_test_reviews`.
        baseline_predictions: From `score_baseline`, of the same rows.
        tokenizer: That of the training.
        data_description: From `describe_data`.
        report: Has the number of groups, each of as many reviews.

    """
    lengths = pd.Series(
        [(ids > UNKNOWN_ID).sum() for ids in encode_whole(tokenizer, test_predictions["review"])]
    )
    places = pd.qcut(
        lengths.rank(method="first"), min(report.groups, len(lengths)), labels=False
    ).to_numpy()
    middles = lengths.groupby(places).median()
    figure = _start("Accuracy by length", "known tokens, median of the group", "accuracy")
    frames = {
        "LSTM": test_predictions,
        "baseline": align_rows(baseline_predictions, test_predictions),
    }
    for (name, frame), dash, symbol in zip(frames.items(), DASHES, SYMBOLS, strict=False):
        by_group = pd.Series(is_correct(frame)).groupby(places).agg(["sum", "count"])
        accuracy = by_group["sum"] / by_group["count"]
        intervals = [
            scipy.stats.binomtest(int(hits), int(n)).proportion_ci(method="wilson")
            for hits, n in by_group.itertuples(index=False)
        ]
        figure.add_scatter(
            x=middles.tolist(),
            y=_round(accuracy),
            error_y={
                "array": _round(np.array([i.high for i in intervals]) - accuracy),
                "arrayminus": _round(accuracy - np.array([i.low for i in intervals])),
            },
            name=name,
            mode="lines+markers",
            line_dash=dash,
            marker_symbol=symbol,
        )
    return figure.add_vline(
        x=data_description["sequence_length"],
        line={"dash": "dot", "color": GREY},
        annotation={"text": "limit", "textangle": 0},
    )


def plot_accuracy_by_confidence(
    test_predictions: pd.DataFrame, baseline_predictions: pd.DataFrame
) -> go.Figure:
    """Draw the accuracy of the surest predictions alone, by the share of them that is taken.

    Args:
        test_predictions: From `score_test_reviews`.
        baseline_predictions: From `score_baseline`.

    """
    figure = _start(
        "Accuracy of the surest predictions", "share of the reviews that is answered", "accuracy"
    )
    shares = np.arange(1, 101) / 100
    for (name, frame), dash in zip(
        {"LSTM": test_predictions, "baseline": baseline_predictions}.items(), DASHES, strict=False
    ):
        correct = is_correct(frame)[np.argsort(-frame["probability"].to_numpy(), kind="stable")]
        counts = np.ceil(shares * len(correct)).astype(int)
        figure.add_scatter(
            x=shares.tolist(),
            y=_round(np.cumsum(correct)[counts - 1] / counts),
            name=name,
            mode="lines",
            line_dash=dash,
        )
    return figure.update_xaxes(tickformat=".0%")


def plot_run_history(run_record: dict[str, Callable[[], dict[str, Any]]]) -> go.Figure:
    """Draw the test accuracy of the models so far, with its 95% interval.

    Args:
        run_record: What loads the record of each run, by a name that begins with its time.

    """
    figure = _start("Test accuracy of the models so far", "model", "accuracy")
    records = dict(list(enumerate(_load_records(run_record), start=1))[-MOST_RUNS:])
    by_test_set: dict[str, list[int]] = {}
    for number, record in records.items():
        by_test_set.setdefault(record["test_reviews_sha256"], []).append(number)
    # Five symbols and six colours meet in 30 ways before they begin again.
    for (test_set, numbers), colour, symbol in zip(
        by_test_set.items(), _cycle(COLOURS), _cycle(SYMBOLS[:5]), strict=False
    ):
        metrics = pd.DataFrame([records[number]["metrics"] for number in numbers])
        reviews = f"{metrics['test_rows'].iloc[0]:,} reviews of {_escape(metrics['file'].iloc[0])}"
        if len(by_test_set) > 1:
            reviews += f" ({test_set[:6]})"
        for name, prefix, style in (("LSTM", "", "solid"), ("baseline", "baseline_", "dot")):
            accuracy, low, high = (
                metrics[f"{prefix}test_accuracy{end}"] for end in ("", "_low", "_high")
            )
            figure.add_scatter(
                x=numbers,
                y=_round(accuracy),
                error_y={"array": _round(high - accuracy), "arrayminus": _round(accuracy - low)}
                if name == "LSTM"
                else None,
                customdata=[_describe_run(records[number]) for number in numbers],
                hovertemplate="%{y:.4f}<br>%{customdata}",
                name=f"{name}, {reviews}",
                mode="lines+markers",
                line={"dash": style, "color": colour},
                marker_symbol=symbol if name == "LSTM" else f"{symbol}-open",
            )
    return _make_room(figure).update_xaxes(**_whole_numbers(len(records)))


def _load_records(run_record: dict[str, Callable[[], dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the last record of each model and test set, the oldest first."""
    records: dict[tuple[str, str], dict[str, Any]] = {}
    for name in sorted(run_record):
        try:
            record = run_record[name]()
            key = (record["model_sha256"], record["test_reviews_sha256"])
        except Exception:  # whatever became of it, an old record is no reason to have no report
            logger.warning("The record %s can't be read, and is left out.", name, exc_info=True)
            continue
        records.pop(key, None)
        records[key] = record
    return list(records.values())


def _describe_run(record: dict[str, Any]) -> str:
    hyperparameters = record["best_hyperparameters"].items()
    return "<br>".join(
        [
            f"made {record['model']['made']}",
            *(
                f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}"
                for name, value in hyperparameters
            ),
        ]
    )


def plot_optimization_history(study: optuna.Study) -> go.Figure:
    """Draw the value of each trial and the best so far.

    Args:
        study: From the tuning pipeline.

    """
    figure = optuna.visualization.plot_optimization_history(
        study, target_name=f"{study.user_attrs['protocol']['evaluate_on']} accuracy"
    )
    figure.update_layout(template=TEMPLATE, title="Accuracy of the trials", xaxis_title="trial")
    return figure.update_xaxes(**_whole_numbers(len(study.trials)))


def plot_parameter_importances(study: optuna.Study) -> go.Figure:
    """Draw what share of the variation between trials each hyperparameter explains.

    Args:
        study: From the tuning pipeline.

    Returns:
        A figure; without trials that differ it says that there is nothing to explain.

    """
    title = "Importance of the hyperparameters"
    if not _differ(study):
        return _explain_absence(title, "Importances need two finished trials of different value")
    figure = optuna.visualization.plot_param_importances(study)
    return figure.update_layout(
        template=TEMPLATE, title=title, xaxis_title="share of the variation", yaxis_title=None
    )


def plot_parallel_coordinates(study: optuna.Study) -> go.Figure:
    """Draw each trial as a line through its hyperparameters, coloured by its value.

    Args:
        study: From the tuning pipeline.

    Returns:
        A figure; without trials that differ it says that there is nothing to show.

    """
    title = "Hyperparameters of the trials"
    if not _differ(study):
        return _explain_absence(title, "Lines need two finished trials of different value")
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    accuracy = f"{study.user_attrs['protocol']['evaluate_on']} accuracy"
    values = [trial.value for trial in finished]
    axes = [{"label": accuracy, "values": values}]
    searched = {name: kind for trial in finished for name, kind in trial.distributions.items()}
    for name, kind in sorted(searched.items()):
        found = [trial.params.get(name) for trial in finished]
        axes.append({"label": name, **_make_axis(found, log=getattr(kind, "log", False))})
    figure = go.Figure(layout={"template": TEMPLATE, "title": title})
    figure.add_parcoords(
        dimensions=axes,
        line={"color": values, "colorscale": [BLUE, YELLOW], "showscale": False},
        labelangle=-15,
        rangefont={"color": "rgba(0,0,0,0)"},  # the ends, which would lie upon the names
    )
    return figure.update_layout(margin={"t": 90, "b": 20, "l": 80, "r": 80})


def _make_axis(values: list[Any], *, log: bool) -> dict[str, Any]:
    """Return an axis of numbers, or of names one above the other."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        if not log or max(values) < 10 * min(values):
            return {"values": values}
        first, last = (math.floor(math.log10(end(values))) for end in (min, max))
        every = [digit * 10.0**decade for decade in range(first, last + 1) for digit in (1, 2, 5)]
        ticks = [tick for tick in every if min(values) <= tick <= max(values)]
        return {
            "values": [math.log10(value) for value in values],
            "tickvals": [math.log10(tick) for tick in ticks],
            "ticktext": [f"{tick:g}" for tick in ticks],
        }
    names = sorted({str(value) for value in values})
    return {
        "values": [names.index(str(value)) for value in values],
        "tickvals": list(range(len(names))),
        "ticktext": names,
        "range": [-0.1, len(names) - 0.9],
    }


def plot_trial_times(study: optuna.Study) -> go.Figure:
    """Draw how long each trial took and how it ended.

    Args:
        study: From the tuning pipeline.

    """
    figure = _start("Time of the trials", "trial", "seconds")
    for state, colour in STATE_COLOURS.items():
        trials = [t for t in study.trials if t.state.name.lower() == state and t.duration]
        if trials:
            figure.add_bar(
                x=[trial.number for trial in trials],
                y=[trial.duration.total_seconds() for trial in trials if trial.duration],
                name={"fail": "failed"}.get(state, state),
                marker_color=colour,
            )
    return figure.update_layout(barmode="stack").update_xaxes(**_whole_numbers(len(study.trials)))


def _escape(label: str) -> str:
    """Return a label as plotly shows it letter by letter: it takes markup for what it is."""
    return label.replace("&", "&amp;").replace("<", "&lt;")


def _start(title: str, x: str, y: str) -> go.Figure:
    return go.Figure(
        layout={"template": TEMPLATE, "title": title, "showlegend": True}
    ).update_layout(xaxis_title=x, yaxis_title=y)


def _make_room(figure: go.Figure) -> go.Figure:
    """Make a figure higher where its legend has many lines."""
    return figure.update_layout(height=400 + 24 * max(0, len(figure.data) - FEW_LINES))


def _whole_numbers(n: int) -> dict[str, Any]:
    return {"dtick": max(1, n // 10), "tickformat": "d"}


def _explain_absence(title: str, message: str) -> go.Figure:
    figure = go.Figure(layout={"template": TEMPLATE, "title": title})
    figure.add_annotation(text=message, showarrow=False)
    return figure.update_xaxes(visible=False).update_yaxes(visible=False)


def _differ(study: optuna.Study) -> bool:
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return len({trial.value for trial in finished}) > 1 and bool(study.best_params)


def _curves(
    network: pd.DataFrame, baseline: pd.DataFrame, reviews: ReviewsParameters
) -> Iterable[tuple[str, npt.NDArray[np.bool_], npt.NDArray[np.float64], dict[str, str]]]:
    labels = choose_positive_labels(reviews.labels)
    if len(labels) == 1:
        drawn = [
            (network, labels[0], "LSTM", BLUE, "solid"),
            (baseline, labels[0], "baseline", ORANGE, "dash"),
        ]
    else:
        drawn = [
            (network, label, _escape(label), COLOURS[n % len(COLOURS)], DASHES[n // len(COLOURS)])
            for n, label in enumerate(labels[: len(COLOURS) * len(DASHES)])
        ]
    for frame, label, name, colour, dash in drawn:
        truth = (frame["sentiment"] == label).to_numpy()
        probability = frame[f"probability_{label}"].to_numpy()
        yield name, truth, probability, {"color": colour, "dash": dash}


def _cycle(values: tuple[str, ...]) -> Iterable[str]:
    while True:
        yield from values


def _round(values: Any) -> list[float]:
    """Return plain numbers, short enough for a figure's file."""
    return [float(f"{value:.5g}") for value in values]
