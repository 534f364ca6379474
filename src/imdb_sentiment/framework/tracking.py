"""Records the parameters and results of each run in MLflow. Needs the extra `mlflow`."""

import atexit
import contextlib
import logging
import os
import re
from typing import Any

import mlflow
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from pydantic import BaseModel

from imdb_sentiment.errors import InputError
from imdb_sentiment.framework.hooks import find_path
from imdb_sentiment.framework.lineage import flatten
from imdb_sentiment.urls import hide_secrets

_ALLOWED = re.compile(r"[\w.\- ]+")  # names that MLflow takes on all systems

logger = logging.getLogger(__name__)

if "MLFLOW_EXPERIMENT_ID" not in os.environ:
    os.environ.setdefault("MLFLOW_EXPERIMENT_NAME", "imdb_sentiment")

FILES = (
    "metrics",
    "summary",
    "report",
    "model_card",
    "best_hyperparameters",
    "trials",
    "test_predictions",
    "custom_predictions",
    "onnx_model",
)


class TrackRun:
    """Records each Kedro run as an MLflow run."""

    def __init__(self) -> None:
        self._is_open = False  # other runs that are active are not ours
        # MLflow's own function, registered before, would mark a run ended by Ctrl-C as finished.
        atexit.register(self.close)

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Start an MLflow run and log the parameters of the run's nodes.

        Raises:
            InputError: If the place that MLFLOW_TRACKING_URI names can't be used.

        """
        try:
            mlflow.start_run()
            self._is_open = True
            for name in sorted(pipeline.inputs()):
                group, _, key = name.partition(":")
                if group == "params":
                    mlflow.log_params(_flatten(key, catalog.load(name)))
        # Databases, drivers and servers raise errors of their own.
        except Exception as error:
            self._give_up()
            # Without its cause, whose message may have the password.
            raise InputError(
                f"MLFLOW_TRACKING_URI names {hide_secrets(mlflow.get_tracking_uri())}, which can't "
                f"be used: correct it, or unset it to run without tracking. {_explain(error)}"
            ) from None
        except BaseException:  # Kedro calls `on_pipeline_error` only for what happens later
            self._give_up()
            raise

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Log the best hyperparameters, the numbers in the metrics and the files, then end.

        If that fails, there is a warning: the results of the run are complete.
        """
        try:
            self._log_results(pipeline, catalog)
            self._end("FINISHED")
        except Exception as error:
            self._give_up()
            logger.warning(
                "MLflow could not record the results of this run, which are complete in data/: %s",
                _explain(error),
            )

    def _log_results(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        if "best_hyperparameters" in pipeline.datasets():
            best = catalog.load("best_hyperparameters")
            mlflow.log_params(_flatten("best_hyperparameters", best))
        made = pipeline.all_outputs()
        if "metrics" in made:
            metrics: Any = catalog.load("metrics")
            mlflow.log_metrics(
                {name: value for name, value in metrics.items() if type(value) in (int, float)}
            )
        for name in FILES:
            if name in made:
                mlflow.log_artifact(find_path(catalog, name))

    @hook_impl
    def on_pipeline_error(self) -> None:
        """End the MLflow run as failed."""
        self._give_up()

    def close(self) -> None:
        """End the MLflow run of a run that was interrupted: in a notebook, the process goes on."""
        if self._is_open:
            self._end("KILLED")

    def _give_up(self) -> None:
        """End the MLflow run as failed, if MLflow can still be reached."""
        if self._is_open:
            with contextlib.suppress(Exception):
                self._end("FAILED")

    def _end(self, status: str) -> None:
        self._is_open = False
        mlflow.end_run(status)


def _explain(error: Exception) -> str:
    """Return the message of an error without the secrets of URLs."""
    return str(hide_secrets(str(error)))


def _flatten(name: str, value: Any) -> dict[str, Any]:
    """Return the parameters in a group, each by its full dotted name.

    The weights of labels such as `Q&A`, which MLflow allows in no name, are one value.
    """
    found: dict[str, Any] = {}
    for full, part in flatten(value.model_dump() if isinstance(value, BaseModel) else value, name):
        if _ALLOWED.fullmatch(full):
            found[full] = part
        else:
            group, _, key = full.rpartition(".")
            found.setdefault(group, {})[key] = part
    return found
