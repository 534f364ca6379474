"""The project's pipelines."""

from collections.abc import Iterator
from importlib import import_module
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


def create_pipelines() -> Iterator[tuple[str, Pipeline]]:
    """Yield the name of each pipeline and the pipeline, also those that are not to run."""
    for name in list_pipelines()[1:]:
        yield name, import_module(f"{pipelines.__name__}.{name}").create_pipeline()
