"""The project's pipelines."""

from kedro.framework.project import find_pipelines
from kedro.pipeline import Pipeline

DEFAULT = ("data_processing", "tuning", "training", "reporting")


def register_pipelines() -> dict[str, Pipeline]:
    """Return every pipeline in `pipelines/` by its name; the default is the main job."""
    pipelines: dict[str, Pipeline] = find_pipelines(raise_errors=True)
    # With `--pipelines`, only those are found.
    pipelines["__default__"] = sum(
        (pipelines[name] for name in DEFAULT if name in pipelines), start=Pipeline([])
    )
    return pipelines
