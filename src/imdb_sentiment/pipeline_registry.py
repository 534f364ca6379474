"""The project's pipelines."""

from pkgutil import iter_modules

from kedro.framework.project import find_pipelines
from kedro.pipeline import Pipeline

from imdb_sentiment import pipelines

DEFAULT = ("data_processing", "tuning", "training", "reporting")


def register_pipelines() -> dict[str, Pipeline]:
    """Return every pipeline in `pipelines/` by its name; the default is the main job."""
    found: dict[str, Pipeline] = find_pipelines(raise_errors=True)
    # With `--pipelines`, only those are found.
    found["__default__"] = sum(
        (found[name] for name in DEFAULT if name in found), start=Pipeline([])
    )
    return found


def list_pipelines() -> list[str]:
    """Return the names of all pipelines, without importing them."""
    return ["__default__", *sorted(module.name for module in iter_modules(pipelines.__path__))]
