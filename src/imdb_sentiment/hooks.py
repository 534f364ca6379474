"""What the project adds to a Kedro run."""

from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from rich.console import Console
from rich.markdown import Markdown


class PrintSummary:
    """Ends a run that made a summary by printing it."""

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Print the dataset `summary`, if this run has made it."""
        if "summary" in pipeline.all_outputs():
            summary: Any = catalog.load("summary")
            Console().print(Markdown(summary))
