"""Figures of the training of the final network."""

import numpy as np
import optuna
import plotly.graph_objects as go
from optuna.study import StudyDirection

from imdb_sentiment.network.training import History
from imdb_sentiment.parameters import Hyperparameters
from imdb_sentiment.pipelines.reporting.nodes.figures import style
from imdb_sentiment.pipelines.tuning.protocol import count_folds, name_metric

OF_KERAS = {"val_loss", "val_accuracy"}


def plot_learning_curves(
    history: History, study: optuna.Study, best_hyperparameters: Hyperparameters
) -> go.Figure:
    """Draw the metric of the search after each epoch, and mark the epoch that was kept.

    Args:
        history: Metrics of the final network after each epoch.
        study: Output of the pipeline tuning. Its best trial shows the accuracy on unseen reviews,
            since the final network may be trained on the validation reviews too; not with
            cross-validation, which reports no epochs.
        best_hyperparameters: Output of the pipeline tuning; says whether training stopped early.

    Returns:
        One line per network and set of reviews.

    """
    unseen = study.best_trial.intermediate_values if count_folds(study) == 1 else {}
    watched = find_watched_metric(history)
    is_accuracy = watched == "val_accuracy" and name_metric(study) == "accuracy"
    curves = {  # values by the epoch, counted from 0 as Keras does
        "final network, training reviews": dict(enumerate(history["accuracy"])),
        "final network, validation": dict(enumerate(history.get(watched, []))),
        f"best trial, {study.user_attrs['protocol']['evaluate_on']}": unseen,
    }
    title = style.escape_markup(name_metric(study))  # may have the name of a label
    if not is_accuracy:  # of the training reviews, Keras knows the accuracy only
        accuracies = curves.pop("final network, training reviews")
        if not any(curves.values()):
            curves, title = {"final network, training reviews": accuracies}, "accuracy"
    figure = style.create_figure("Learning curves", "epoch", title)
    for (name, accuracies), dash in zip(curves.items(), style.DASHES, strict=False):
        if accuracies:
            figure.add_scatter(
                x=[epoch + 1 for epoch in accuracies],
                y=list(accuracies.values()),
                name=name,
                mode="lines+markers",
                line_dash=dash,
            )
    is_loss = study.direction == StudyDirection.MINIMIZE
    epoch = find_chosen_epoch(history, best_hyperparameters, is_loss=is_loss)
    figure.update_xaxes(style.make_integer_axis(len(history["loss"])))
    return style.add_vertical_line(figure, epoch, "final weights", xanchor="right")


def find_watched_metric(history: History) -> str:
    """Return the name of the validation metric that the search and early stopping watch."""
    others = [name for name in history if name.startswith("val_")]
    return next((name for name in others if name not in OF_KERAS), "val_accuracy")


def find_chosen_epoch(
    history: History, best_hyperparameters: Hyperparameters, *, is_loss: bool = False
) -> int:
    """Return the epoch whose weights the final network has, counted from 1.

    With early stopping it is the epoch of the best value on the validation reviews, otherwise the
    last one.
    """
    if best_hyperparameters.early_stopping_patience:
        values = history[find_watched_metric(history)]
        return int(np.nanargmin(values) if is_loss else np.nanargmax(values)) + 1
    return len(history["accuracy"])
