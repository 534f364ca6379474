"""What the project adds to a Kedro run."""

from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from rich.console import Console
from rich.markdown import Markdown

from imdb_sentiment.errors import InputError


class RequireInputs:
    """Stops a run before it begins if something that it needs is not there."""

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Look for each input that no node of this run makes.

        Raises:
            InputError: One is missing.

        """
        for name in sorted(pipeline.inputs()):
            if not name.startswith("params:") and not catalog.exists(name):
                dataset = catalog.get(name)
                filepath = getattr(dataset, "_filepath", getattr(dataset, "_path", name))
                raise InputError(
                    f"{filepath} does not exist, and this run needs it as {name!r}: put the file "
                    "there, name another one, or run the pipeline that makes it first"
                )


class PrintSummary:
    """Ends a run that made a summary by printing it."""

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Print the dataset `summary`, if this run has made it."""
        if "summary" in pipeline.all_outputs():
            summary: Any = catalog.load("summary")
            Console().print(Markdown(summary))
