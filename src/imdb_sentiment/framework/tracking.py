"""Keeping what a run was given and what it made in MLflow. Needs the extra mlflow."""

import atexit
import warnings
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from pydantic import BaseModel

from imdb_sentiment.errors import InputError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kedro-mlflow wakes some that are about itself
    import mlflow
    from kedro_mlflow.framework.hooks.mlflow_hook import MlflowHook

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


class TrackRun(MlflowHook):
    """kedro-mlflow's hook, which begins and ends an MLflow run, and the results in it."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Get ready.

        Raises:
            InputError: The place that MLFLOW_TRACKING_URI names can't be used.

        """
        try:
            super().after_context_created(context)
        except mlflow.MlflowException as error:
            raise InputError(
                f"MLFLOW_TRACKING_URI names {mlflow.get_tracking_uri()}, which can't be used: "
                f"correct it, or unset it to run without tracking. {error}"
            ) from error
        # MLflow's own exit would mark a run as finished that Ctrl-C has ended.
        atexit.register(_end_killed_run)

    @hook_impl
    def before_node_run(
        self, node: Node, catalog: DataCatalog, inputs: dict[str, Any], is_async: bool
    ) -> None:
        """Log the parameters of the node, each under a name of its own."""
        plain = {
            name: value.model_dump() if isinstance(value, BaseModel) else value
            for name, value in inputs.items()
            if name != "parameters"  # all of them, which other nodes have one by one
        }
        super().before_node_run(node, catalog, plain, is_async)

    @hook_impl
    def after_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Log the best hyperparameters, the numbers in the metrics and the files, then end."""
        if self._is_mlflow_enabled:
            _log_results(pipeline, catalog)
        super().after_pipeline_run(run_params, pipeline, catalog)


def _log_results(pipeline: Pipeline, catalog: DataCatalog) -> None:
    if "best_hyperparameters" in pipeline.datasets():
        best = catalog.load("best_hyperparameters").model_dump()
        mlflow.log_params({f"best_hyperparameters.{name}": best[name] for name in best})
    made = pipeline.all_outputs()
    if "metrics" in made:
        metrics = catalog.load("metrics")
        mlflow.log_metrics(
            {name: value for name, value in metrics.items() if type(value) in (int, float)}
        )
    for name in FILES:
        if name in made:
            dataset: Any = catalog.get(name)
            mlflow.log_artifact(str(dataset._filepath))


def _end_killed_run() -> None:
    if mlflow.active_run():
        mlflow.end_run("KILLED")
