"""What the project adds to every Kedro run, whichever session starts it."""

import copy
from collections.abc import Iterable
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import AbstractDataset, DataCatalog
from kedro.pipeline import Pipeline
from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from imdb_sentiment.errors import InputError, propose
from imdb_sentiment.parameters import (
    Hyperparameters,
    Parameters,
    ReviewsOptions,
    TrainingParameters,
)

# Read by the catalog with `runtime_params`, so they are not parameters of a node.
CATALOG_PARAMETERS = (
    "imdb_archive",
    "input_delimiter",
    "input_encoding",
    "input_file",
    "output_file",
    "reviews_delimiter",
    "reviews_encoding",
    "reviews_file",
    "unlabelled_delimiter",
    "unlabelled_encoding",
    "unlabelled_file",
)


# The groups of which a node reads single parameters.
MODELS: dict[str, type[Parameters]] = {
    "hyperparameters": Hyperparameters,
    "reviews": ReviewsOptions,
    "training": TrainingParameters,
}


class RefuseUnknownParameters:
    """Refuses parameters that conf/base does not have; Kedro would accept a misspelt name."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Compare the names of all parameters with those of conf/base.

        Raises:
            InputError: If a name is not in conf/base.

        """
        # A copy, as other settings of the loader itself would stay with the run. (A new loader
        # would register its own globals for the whole process.)
        loader: Any = copy.copy(context.config_loader)
        given = set(loader.runtime_params or {})
        loader.runtime_params = {}
        configured = set(loader["parameters"])
        loader.env = loader.base_env
        known = set(loader["parameters"])
        _require_known(given, known | set(CATALOG_PARAMETERS), "in --params")
        _require_known(
            configured, known, "in conf/ (settings such as reviews_file belong in globals.yml)"
        )


def _require_known(names: Iterable[str], known: set[str], place: str) -> None:
    for name in sorted(set(names) - known):
        raise InputError(f"there is no parameter {name!r} {place}: {propose(name, known)}")


class ValidateGroups:
    """Validates whole groups of parameters of which a node reads single ones.

    Kedro validates a group only if a node reads it as a whole.
    """

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Validate the groups.

        Raises:
            InputError: If a value or a name in one is not valid.

        """
        names = (name.removeprefix("params:") for name in pipeline.inputs())
        groups = {group for group, dot, _ in (name.partition(".") for name in names) if dot}
        for group in sorted(groups & MODELS.keys()):
            value: Any = catalog.load(f"params:{group}")
            try:
                MODELS[group].model_validate(to_jsonable_python(value))
            except ValidationError as error:
                problems = (
                    f"{'.'.join([group, *map(str, problem['loc'])])}: {problem['msg']}"
                    for problem in error.errors()
                )
                raise InputError("; ".join(problems)) from error


class RequireInputs:
    """Stops a run before it begins if a file that it needs does not exist."""

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Look for each input that no node of this run makes.

        Raises:
            InputError: If one is missing.

        """
        for name in sorted(pipeline.inputs()):
            if not name.startswith("params:") and _is_missing(catalog, name):
                raise InputError(
                    f"{find_path(catalog, name)} does not exist, and this run needs it as "
                    f"{name!r}: put the file there, name another one, or run the pipeline that "
                    "makes it first"
                )


def _is_missing(catalog: DataCatalog, name: str) -> bool:
    dataset: Any = catalog.get(name, fallback_to_runtime_pattern=True)
    can_tell = type(dataset)._exists is not AbstractDataset._exists  # a query in SQL can't
    return can_tell and not catalog.exists(name)


def find_path(catalog: DataCatalog, name: str) -> str:
    """Return the path that the catalog's entry gives to a dataset, or its name if there is none."""
    entry = catalog.config_resolver.resolve_pattern(name)
    return str(entry.get("filepath") or entry.get("path") or name)
