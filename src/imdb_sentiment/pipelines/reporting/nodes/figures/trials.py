"""Figures of the search: its trials and hyperparameters."""

from collections.abc import Sequence
from typing import Any

import optuna
import plotly.graph_objects as go
from optuna.trial import TrialState

from imdb_sentiment.pipelines.reporting.nodes.figures import style
from imdb_sentiment.pipelines.tuning.protocol import count_folds, name_metric
from imdb_sentiment.search import measure_seconds, was_given_back

MIN_TRIALS = 10  # with fewer, the importance of a hyperparameter is chance
PANEL_WIDTH = 140  # width of the panel of a hyperparameter, in pixels

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
    figure.update_traces(name="best so far", selector={"name": "Best Value"})
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


def plot_slice(study: optuna.Study) -> go.Figure:
    """Draw the value of each trial against each of its hyperparameters.

    Args:
        study: Output of the pipeline tuning.

    Returns:
        One panel per hyperparameter, with one point per finished trial, coloured by its number. A
        message if no two trials differ in their value.

    """
    title = "Hyperparameters of the trials"
    if not _has_different_trials(study):
        return style.create_message(
            title, "This figure needs two finished trials<br>with different values"
        )
    figure = optuna.visualization.plot_slice(study, target_name=_name_target(study))
    bar = style.make_integer_axis(len(study.trials)) | {"title": "trial"}
    figure.update_traces(marker={"colorscale": [style.BLUE, style.YELLOW], "colorbar": bar})
    figure.for_each_trace(lambda trace: trace.update(x=_escape(trace.x)))
    figure.for_each_xaxis(lambda axis: axis.update(categoryarray=_escape(axis.categoryarray)))
    return figure.update_layout(
        template=style.make_template(),
        title=title,
        width=None,
        meta={"min_width": PANEL_WIDTH * len(figure.data)},
    )


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


def _escape(values: Sequence[Any] | None) -> list[Any]:
    """Return the values of an axis, among which may be strings of a search space, in quotes."""
    return [style.escape_markup(x.strip("'")) if isinstance(x, str) else x for x in values or ()]
