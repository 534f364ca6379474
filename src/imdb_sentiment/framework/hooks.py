"""What the project adds to every Kedro run, whichever session starts it."""

import copy
from collections.abc import Iterable
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import AbstractDataset, DataCatalog
from kedro.pipeline import Pipeline
from pydantic import ValidationError

from imdb_sentiment.errors import InputError, propose
from imdb_sentiment.framework.problems import explain_problems
from imdb_sentiment.parameters import (
    BaselineParameters,
    CustomReviewsParameters,
    Hyperparameters,
    InferenceParameters,
    LabelCheckParameters,
    LanguageModelParameters,
    Parameters,
    ProcessingParameters,
    ReportParameters,
    ReviewsOptions,
    SplitParameters,
    TokenizerParameters,
    TrainingParameters,
    TuningParameters,
    WordVectorsParameters,
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
    "unlabelled_encoding",
    "unlabelled_file",
)


# The models of the groups of parameters in conf/.
MODELS: dict[str, type[Parameters]] = {
    "baseline": BaselineParameters,
    "custom_reviews": CustomReviewsParameters,
    "hyperparameters": Hyperparameters,
    "inference": InferenceParameters,
    "label_check": LabelCheckParameters,
    "language_model": LanguageModelParameters,
    "processing": ProcessingParameters,
    "report": ReportParameters,
    "reviews": ReviewsOptions,
    "split": SplitParameters,
    "tokenizer": TokenizerParameters,
    "training": TrainingParameters,
    "tuning": TuningParameters,
    "word_vectors": WordVectorsParameters,
}


class ValidateParameters:
    """Refuses parameters that conf/base does not have, and values that can't be used.

    Kedro would accept a misspelt group, and single parameters of a group that a node reads without
    the rest. For the others, it would show what pydantic says.
    """

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Compare the names of all parameters with those of conf/base, and validate the groups.

        Raises:
            InputError: If a name is not in conf/base, or a value is not valid.

        """
        # A copy, as other settings of the loader itself would stay with the run. (A new loader
        # would register its own globals for the whole process.)
        loader: Any = copy.copy(context.config_loader)
        given = set(loader.runtime_params or {})
        values = loader["parameters"]
        loader.runtime_params = {}
        configured = set(loader["parameters"])
        loader.env = loader.base_env
        base = loader["parameters"]
        known = set(base)
        _require_known(given, known | set(CATALOG_PARAMETERS), "in --params")
        _require_known(
            configured, known, "in conf/ (settings such as reviews_file belong in globals.yml)"
        )
        for group in sorted(values.keys() & MODELS.keys()):
            try:
                MODELS[group].model_validate(values[group])
            except ValidationError as error:
                problems = explain_problems(error, group, MODELS[group])
                raise InputError(problems) from error


def _require_known(names: Iterable[str], known: set[str], place: str) -> None:
    for name in sorted(set(names) - known):
        raise InputError(f"there is no parameter {name!r} {place}: {propose(name, known)}")


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
