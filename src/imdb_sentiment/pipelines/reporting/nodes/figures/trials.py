"""Figures of the search: its trials and hyperparameters."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import plotly.graph_objects as go
from optuna.study import StudyDirection
from optuna.trial import TrialState
from plotly.colors import sample_colorscale

from imdb_sentiment.pipelines.reporting.nodes.figures import style
from imdb_sentiment.pipelines.tuning.protocol import count_folds, name_metric
from imdb_sentiment.search import format_values, measure_seconds, was_given_back

MIN_TRIALS = 10  # with fewer, the importance of a hyperparameter is chance
AXIS_WIDTH = 80  # width of an axis of parallel coordinates, in pixels
N_COLOURS = 10  # number of colours of trials, from the worst to the best

STATES = {  # of trials that have ended: name in the legend, colour
    TrialState.COMPLETE: ("complete", style.BLUE),
    TrialState.PRUNED: ("pruned", style.YELLOW),
    TrialState.FAIL: ("failed", style.ORANGE),
}


def plot_optimization_history(study: optuna.Study) -> go.Figure:
    """Draw the value of each trial and the best so far.

    Args:
        study: Output of the pipeline tuning.

    Returns:
        One point per finished trial, and a line.

    """
    figure = optuna.visualization.plot_optimization_history(study, target_name=_name_target(study))
    axis = style.make_integer_axis(len(study.trials)) | {"title": "trial"}
    return figure.update_layout(
        template=style.make_template(), title="Values of the trials", xaxis=axis
    )


def plot_parameter_importances(study: optuna.Study) -> go.Figure:
    """Draw the share of the variance between trials that each hyperparameter explains.

    The shares are those of fANOVA (Hutter, Hoos and Leyton-Brown, "An Efficient Approach for
    Assessing Hyperparameter Importance", ICML 2014).

    Args:
        study: Output of the pipeline tuning.

    Returns:
        One bar per hyperparameter, or a message if there are too few trials.

    """
    title = "Importance of the hyperparameters"
    n_finished = len(_get_finished_trials(study))
    if n_finished < MIN_TRIALS or not _has_different_trials(study):
        return style.create_message(
            title,
            f"This figure needs {MIN_TRIALS} finished trials with<br>"
            f"different values; {n_finished} have finished so far",
        )
    figure = optuna.visualization.plot_param_importances(
        study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0)
    )
    return figure.update_layout(
        template=style.make_template(),
        title=title,
        xaxis_title="share of the variance",
        yaxis_title=None,
    )


def plot_parallel_coordinates(study: optuna.Study) -> go.Figure:
    """Draw each trial as a line through its hyperparameters, coloured by its value.

    Plotly's own parallel coordinates need WebGL, which makes a page slow to open, and do not follow
    its colours.

    Args:
        study: Output of the pipeline tuning.

    Returns:
        One line per finished trial, the best ones last; trials of similar value are one trace. A
        message if no two trials differ in their value.

    """
    title = "Hyperparameters of the trials"
    if not _has_different_trials(study):
        return style.create_message(
            title, "This figure needs two finished trials<br>with different values"
        )
    sign = -1 if study.direction == StudyDirection.MINIMIZE else 1
    finished = sorted(_get_finished_trials(study), key=lambda trial: sign * (trial.value or 0))
    searched = {name: kind for trial in finished for name, kind in trial.distributions.items()}
    axes = {_name_target(study): _make_axis([trial.value for trial in finished], log=False)}
    for name, kind in sorted(searched.items()):
        chosen = [trial.params.get(name) for trial in finished]
        axes[name] = _make_axis(chosen, log=getattr(kind, "log", False))
    (values, _), *_ = axes.values()
    quality = np.array(values if sign > 0 else [1 - value for value in values])
    groups = (quality * (N_COLOURS - 1)).round()
    figure = go.Figure(
        layout={"template": style.make_template(), "title": title, "showlegend": False}
    )
    for group in sorted(set(groups)):
        (colour,) = sample_colorscale([style.BLUE, style.YELLOW], [group / (N_COLOURS - 1)])
        lines: dict[str, list[Any]] = {"x": [], "y": [], "text": []}
        for trial in np.flatnonzero(groups == group).tolist():
            lines["x"] += [*range(len(axes)), None]  # None ends a line
            lines["y"] += [*(places[trial] for places, _ in axes.values()), None]
            lines["text"] += [_describe_trial(finished[trial])] * (len(axes) + 1)
        figure.add_scatter(**lines, mode="lines+markers", line_color=colour, hoverinfo="text")
    for number, (_, ticks) in enumerate(axes.values()):
        for place, text in ticks.items():
            # A line between two ends of axes would strike through a text beside them.
            aside = {0.0: -8, 1.0: 8}.get(place, 0)
            figure.add_annotation(
                x=number,
                y=place,
                text=text,
                xanchor="right",
                xshift=-4,
                yshift=aside,
                showarrow=False,
            )
    figure.update_annotations(font_size=11)
    figure.update_yaxes(visible=False, range=[-0.05, 1.05])
    figure.update_xaxes(
        tickvals=list(range(len(axes))),
        ticktext=list(axes),
        range=[-0.5, len(axes) - 0.8],
        side="top",
        showline=False,
        tickangle=-20,
    )
    return figure.update_layout(meta={"min_width": AXIS_WIDTH * len(axes)})


def plot_trial_times(study: optuna.Study) -> go.Figure:
    """Draw the duration of each trial, and how it ended.

    Args:
        study: Output of the pipeline tuning.

    Returns:
        One bar per trial that has ended, except those that were interrupted.

    """
    figure = style.create_figure("Duration of the trials", "trial", "seconds")
    for state, (name, colour) in STATES.items():
        seconds = {
            trial.number: measured
            for trial in study.trials
            if trial.state is state
            and not was_given_back(trial)
            and (measured := measure_seconds(trial)) is not None
        }
        if seconds:
            x, y = list(seconds), list(seconds.values())
            figure.add_bar(x=x, y=y, name=name, marker_color=colour)
    axis = style.make_integer_axis(len(study.trials))
    return figure.update_layout(barmode="stack").update_xaxes(**axis)


def _name_target(study: optuna.Study) -> str:
    metric = style.escape_markup(name_metric(study))  # may have the name of a label
    if count_folds(study) > 1:
        return f"cross-validation {metric}"
    return f"{study.user_attrs['protocol']['evaluate_on']} {metric}"


def _get_finished_trials(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _has_different_trials(study: optuna.Study) -> bool:
    values = {trial.value for trial in _get_finished_trials(study)}
    return len(values) > 1 and bool(study.best_params)


def _make_axis(values: list[Any], *, log: bool) -> tuple[list[float], dict[float, str]]:
    """Return the place of each value on an axis from 0 to 1, and the ticks' texts by place."""
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        names = sorted({str(value) for value in values})
        places = {name: (number + 0.5) / len(names) for number, name in enumerate(names)}
        ticks = {place: style.escape_markup(name) for name, place in places.items()}
        return [places[str(value)] for value in values], ticks
    low, high = min(values), max(values)
    scale: Callable[[float], float] = float
    marks = [low, (low + high) / 2, high]
    if log and high >= 10 * low:
        scale = math.log10
        first, last = (math.floor(scale(end)) for end in (low, high))
        every = [digit * 10.0**decade for decade in range(first, last + 1) for digit in (1, 2, 5)]
        marks = [mark for mark in every if low <= mark <= high]

    def place(value: float) -> float:
        return (scale(value) - scale(low)) / (scale(high) - scale(low)) if high > low else 0.5

    return list(map(place, values)), {place(mark): f"{mark:.4g}" for mark in marks}


def _describe_trial(trial: optuna.trial.FrozenTrial) -> str:
    params = {
        name: style.escape_markup(value) if isinstance(value, str) else value
        for name, value in trial.params.items()
    }
    return f"trial {trial.number}: {trial.value:.4f}<br>{format_values(params)}"
