"""Figures of the training of the final network."""

import numpy as np
import optuna
import plotly.graph_objects as go

from imdb_sentiment.network.training import History
from imdb_sentiment.parameters import Hyperparameters
from imdb_sentiment.pipelines.reporting.nodes.figures import style
from imdb_sentiment.pipelines.tuning.protocol import count_folds


def plot_learning_curves(
    history: History, study: optuna.Study, best_hyperparameters: Hyperparameters
) -> go.Figure:
    """Draw the accuracy after each epoch, and mark the epoch whose weights the network has.

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
    curves = {  # accuracies by the epoch, counted from 0 as Keras does
        "final network, training reviews": dict(enumerate(history["accuracy"])),
        "final network, validation": dict(enumerate(history.get("val_accuracy", []))),
        f"best trial, {study.user_attrs['protocol']['evaluate_on']}": unseen,
    }
    figure = style.create_figure("Learning curves", "epoch", "accuracy")
    for (name, accuracies), dash in zip(curves.items(), style.DASHES, strict=False):
        if accuracies:
            figure.add_scatter(
                x=[epoch + 1 for epoch in accuracies],
                y=list(accuracies.values()),
                name=name,
                mode="lines+markers",
                line_dash=dash,
            )
    epoch = find_chosen_epoch(history, best_hyperparameters)
    figure.update_xaxes(dtick=1)
    return style.add_vertical_line(figure, epoch, "final weights", xanchor="right")


def find_chosen_epoch(history: History, best_hyperparameters: Hyperparameters) -> int:
    """Return the epoch whose weights the final network has, counted from 1.

    With early stopping it is the epoch of the best validation accuracy, otherwise the last one.
    """
    if best_hyperparameters.early_stopping_patience:
        return int(np.argmax(history["val_accuracy"])) + 1
    return len(history["accuracy"])
