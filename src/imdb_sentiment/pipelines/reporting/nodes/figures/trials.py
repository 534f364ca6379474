"""Figures of the search: its trials and hyperparameters."""

import math
from typing import Any

import optuna
import plotly.graph_objects as go
from optuna.study import StudyDirection
from optuna.trial import TrialState

from imdb_sentiment.pipelines.reporting.nodes.figures import style
from imdb_sentiment.pipelines.tuning.protocol import count_folds, name_metric
from imdb_sentiment.search import measure_seconds

MIN_TRIALS = 10  # with fewer, the importance of a hyperparameter is chance
AXIS_WIDTH = 80  # of parallel coordinates, in pixels

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
    return figure.update_layout(template=style.TEMPLATE, title="Values of the trials", xaxis=axis)


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
            f"Too few trials: {MIN_TRIALS} have to finish<br>"
            f"with different values, there are {n_finished}",
        )
    figure = optuna.visualization.plot_param_importances(
        study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0)
    )
    return figure.update_layout(
        template=style.TEMPLATE, title=title, xaxis_title="share of the variance", yaxis_title=None
    )


def plot_parallel_coordinates(study: optuna.Study) -> go.Figure:
    """Draw each trial as a line through its hyperparameters, coloured by its value.

    Args:
        study: Output of the pipeline tuning.

    Returns:
        One line per finished trial, or a message if no two trials differ in their value.

    """
    title = "Hyperparameters of the trials"
    if not _has_different_trials(study):
        return style.create_message(
            title, "Lines need two finished trials<br>with different values"
        )
    finished = _get_finished_trials(study)
    values = [trial.value for trial in finished]
    axes = [{"label": _name_target(study), "values": values}]
    searched = {name: kind for trial in finished for name, kind in trial.distributions.items()}
    for name, kind in sorted(searched.items()):
        chosen = [trial.params.get(name) for trial in finished]
        axes.append({"label": name, **_make_axis(chosen, log=getattr(kind, "log", False))})
    figure = go.Figure(layout={"template": style.TEMPLATE, "title": title})
    figure.add_parcoords(
        dimensions=axes,
        line={
            "color": values,
            "colorscale": [style.BLUE, style.YELLOW],
            "reversescale": study.direction == StudyDirection.MINIMIZE,  # the best are yellow
            "showscale": False,
        },
        labelangle=-20,
        rangefont={"color": "rgba(0,0,0,0)"},  # hides the ends, which would overlap the names
    )
    return figure.update_layout(
        margin={"t": 90, "b": 20, "l": 60, "r": 40}, meta={"min_width": AXIS_WIDTH * len(axes)}
    )


def plot_trial_times(study: optuna.Study) -> go.Figure:
    """Draw the duration of each trial, and how it ended.

    Args:
        study: Output of the pipeline tuning.

    Returns:
        One bar per trial that has ended.

    """
    figure = style.create_figure("Duration of the trials", "trial", "seconds")
    for state, (name, colour) in STATES.items():
        seconds = {
            trial.number: measured
            for trial in study.trials
            if trial.state is state and (measured := measure_seconds(trial)) is not None
        }
        if seconds:
            x, y = list(seconds), list(seconds.values())
            figure.add_bar(x=x, y=y, name=name, marker_color=colour)
    axis = style.make_integer_axis(len(study.trials))
    return figure.update_layout(barmode="stack").update_xaxes(**axis)


def _name_target(study: optuna.Study) -> str:
    if count_folds(study) > 1:
        return f"cross-validation {name_metric(study)}"
    return f"{study.user_attrs['protocol']['evaluate_on']} {name_metric(study)}"


def _get_finished_trials(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _has_different_trials(study: optuna.Study) -> bool:
    values = {trial.value for trial in _get_finished_trials(study)}
    return len(values) > 1 and bool(study.best_params)


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
