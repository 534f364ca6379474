"""Hooks that check every Kedro run and release memory, whichever session starts the run."""

import ctypes
import gc
import itertools
import logging
import sys
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from fnmatch import fnmatch
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import AbstractDataset, DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from pydantic import ValidationError

from imdb_sentiment.datasets.optuna_storage import OptunaStorageDataset
from imdb_sentiment.datasets.table import TableDataset
from imdb_sentiment.datasets.table_files import has_table_suffix
from imdb_sentiment.errors import InputError, list_names, suggest_name
from imdb_sentiment.framework.configuration import CATALOG_PARAMETERS, RAW_REVIEWS, Configuration
from imdb_sentiment.framework.lineage import Lineage, find_upstream, flatten
from imdb_sentiment.framework.presets import PresetsConfigLoader
from imdb_sentiment.framework.problems import explain_inexact, explain_problems
from imdb_sentiment.framework.run_files import is_parameter
from imdb_sentiment.parameters import (
    BaselineParameters,
    ClassWeight,
    CustomReviewsParameters,
    Hyperparameters,
    InferenceParameters,
    LabelCheckParameters,
    LanguageModelParameters,
    Parameters,
    ProcessingParameters,
    PseudoLabelsParameters,
    ReportParameters,
    ReviewsOptions,
    ReviewsParameters,
    SplitParameters,
    TokenizerParameters,
    TrainingParameters,
    TuningParameters,
    WordVectorsParameters,
    parse_class_weight,
)
from imdb_sentiment.pipeline_registry import create_pipelines
from imdb_sentiment.urls import hide_secrets

logger = logging.getLogger(__name__)

REVIEW_SETTINGS = "review_settings"  # the dataset with the labels
CLASS_WEIGHT = "params:training.class_weight"
METRIC = "metric"
# Parameters that say how a table is written, and the dataset that reads it.
CATALOG_SETTINGS = {
    f"{kind}_{setting}": dataset
    for kind, dataset in (
        ("input", "input_reviews"),
        ("reviews", RAW_REVIEWS),
        ("unlabelled", "unlabelled_reviews"),
    )
    for setting in ("delimiter", "encoding")
}
SIMILARITY = 0.8  # of two names, from which on one may be a misspelling (`difflib`)
LIKENESS = 0.75  # the same, of the names of files in conf/, such as `params.yml`
MAX_SIMILAR = 5  # maximum number of files that a message names
CONF_SUFFIXES = (".yml", ".yaml", ".json")  # of the files in conf/ that Kedro reads
DEFAULT_INPUT = "custom_reviews.csv"  # of inference
OF_INFERENCE = {"input_delimiter", "input_encoding", "input_file", "output_file"}
# The settings that name a table which a run can't do without.
NAMED_BY = {"custom_reviews": "custom_reviews_file", "input_reviews": "input_file"}

# The models of the groups of parameters in conf/.
MODELS: dict[str, type[Parameters]] = {
    "baseline": BaselineParameters,
    "custom_reviews": CustomReviewsParameters,
    "hyperparameters": Hyperparameters,
    "inference": InferenceParameters,
    "label_check": LabelCheckParameters,
    "language_model": LanguageModelParameters,
    "pseudo_labels": PseudoLabelsParameters,
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

    Kedro would accept a misspelt group, and invalid values of single parameters that a node reads
    without the rest of their group. For other values, it would show the messages of pydantic.
    """

    _loader: Any = None
    _file = ""  # the table that is named, from which the results have their name
    _given: Mapping[str, Any] = {}

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Compare the names of all parameters with those of conf/base, and validate the groups.

        Raises:
            InputError: If a name is not in conf/base, a value is not valid, or the parameters name
                another table than the catalog reads.

        """
        loader: Any = context.config_loader
        self._loader = loader
        self._given = given = loader.runtime_params or {}
        values, settings = loader["parameters"], loader["globals"]
        table = {**settings, **given}.get("reviews_file")
        if not table:
            raise InputError("reviews_file is empty: name the table to read")
        if type(settings["seed"]) is not int:
            raise InputError(f"seed is {settings['seed']!r} in conf/: it must be a whole number")
        configured = loader.replace(loader.env, {})["parameters"]
        base = loader.replace(loader.base_env, {})
        known = set(base["parameters"])
        for name in sorted(given.keys() - known - set(CATALOG_PARAMETERS)):
            if name in base["globals"]:
                raise InputError(f"--params can't set {name}: put it into conf/local/globals.yml")
        _require_known(given, known | set(CATALOG_PARAMETERS), "in --params", base["parameters"])
        place = "in conf/ (settings such as reviews_file belong in globals.yml)"
        _require_known(configured, known, place, base["parameters"])
        own = set(base["globals"])  # a catalog may use others as well
        for name in sorted(settings.keys() & set(CATALOG_PARAMETERS) - own):
            raise InputError(f"globals.yml can't set {name}: set it with --params")
        misspelt = [name for name in settings.keys() - own if get_close_matches(name, own)]
        _require_known(misspelt, own, "in globals.yml")
        for group in sorted(values.keys() & MODELS.keys()):
            try:
                found = MODELS[group].model_validate(values[group])
            except ValidationError as error:
                problems = explain_problems(error, group, MODELS[group])
                raise InputError(problems) from error
            if problem := explain_inexact(values[group], found, group):
                raise InputError(problem)
        _require_same_table(values, table)
        self._file = str(values["reviews"]["file"])

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Warn if the run reads another table than it names, or of parameters without effect.

        Raises:
            InputError: If `inference` would score the custom reviews instead of a named table, or
                another pipeline is given such a table.

        """
        is_inference = "input_reviews" in pipeline.inputs()
        if not is_inference and (idle := sorted(self._given.keys() & OF_INFERENCE)):
            raise InputError(
                f"{idle[0]} has an effect on inference only: add --pipelines inference"
            )
        _warn_of_unread_files(self._loader)
        _warn_of_idle_entries(catalog, self._loader)
        _require_entries_to_use(self._given, pipeline.inputs(), self._loader)
        if RAW_REVIEWS in pipeline.inputs():
            _warn_of_another_table(find_path(catalog, RAW_REVIEWS), self._file)
            return
        if not is_inference:
            return
        table = self._given.get("reviews_file")
        is_unnamed = "input_file" not in self._given
        if table and is_unnamed and find_path(catalog, "input_reviews").endswith(DEFAULT_INPUT):
            raise InputError(
                f"inference scores the table that input_file names: pass input_file={table}"
            )
        # Other runs take them into account when they compare their inputs with their records.
        read = {name.removeprefix("params:") for name in pipeline.inputs()}
        unread = {
            name
            for name, _ in flatten(self._given)
            if name not in CATALOG_PARAMETERS and name.partition(".")[0] not in read
        }
        if unread and "onnx_model" in pipeline.inputs():
            logger.warning(
                "%s %s no effect on inference, which uses the model as it was exported: to export "
                "it with other parameters, run training again",
                *(list_names(sorted(unread)), "has" if len(unread) == 1 else "have"),
            )


class CheckSearch:
    """Refuses a search of what a pretrained LSTM determines, and warns of what has no effect.

    It is called when the run has adopted the parameters of its inputs.
    """

    _search: tuple[TuningParameters, LanguageModelParameters] | None = None  # to be judged later

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Keep what reads the parameters."""
        self._loader = context.config_loader

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Judge the search before the work starts, as far as possible.

        Raises:
            InputError: The search would have no effect, lacks the rows or the scheduler that it
                needs, or searches the shape of an LSTM that the run pretrains.
            DatasetError: Its database can't be opened.

        """
        self._search = None
        if "study" not in pipeline.all_outputs():
            return
        tuning = TuningParameters.model_validate(catalog.load("params:tuning"))
        hyperparameters = Hyperparameters.model_validate(catalog.load("params:hyperparameters"))
        self._require_usable(tuning, hyperparameters, pipeline, catalog)
        if not run_params["only_missing_outputs"]:  # otherwise, perhaps neither is needed
            storage = catalog.get("study_storage")
            if isinstance(storage, OptunaStorageDataset):
                storage.check()
            if tuning.scheduler_address:
                from imdb_sentiment.engine.cluster import require_scheduler

                require_scheduler(tuning.scheduler_address, "tuning")
        given = _find_given(self._loader)
        for name in sorted(given & tuning.search_space.keys()):
            logger.warning(
                "hyperparameters.%s has no effect, since it is searched: to fix its value, set "
                "tuning.search_space.%s to null",
                *(name, name),
            )
        for name, other in tuning.find_unused(hyperparameters).items():
            if name in given:
                size = "; the size of pretrained word vectors is word_vectors.size"
                logger.warning(
                    "hyperparameters.%s has no effect with the value of hyperparameters.%s%s",
                    *(name, other, size if name == "embedding_size" else ""),
                )
        if "pretrained_weights" not in pipeline.all_outputs():
            return
        model = LanguageModelParameters.model_validate(catalog.load("params:language_model"))
        is_used = tuning.may_be_on("pretrained_embedding", hyperparameters)
        if not hyperparameters.pretrained_embedding or not is_used:
            return
        if find_path(catalog, "unlabelled_reviews") == "unlabelled_reviews":  # no file is named
            self._search = tuning, model
        elif model.passes:
            tuning.require_fixed_shape()

    def _require_usable(
        self,
        tuning: TuningParameters,
        hyperparameters: Hyperparameters,
        pipeline: Pipeline,
        catalog: DataCatalog,
    ) -> None:
        from imdb_sentiment.network.model import require_word_vectors

        tuning.require_effects(hyperparameters)
        tuning.require_rows_to_watch(
            hyperparameters,
            use_validation_rows=catalog.load("params:training.use_validation_rows"),
        )
        if "word_vectors" in pipeline.all_outputs() and tuning.may_be_on(
            "pretrained_embedding", hyperparameters
        ):
            word_vectors = catalog.load("params:word_vectors")
            if WordVectorsParameters.model_validate(word_vectors).method == "none":
                require_word_vectors(None, 0)

    @hook_impl
    def before_node_run(self, node: Node, inputs: dict[str, Any]) -> None:
        """Judge it where only the number of reviews tells whether the LSTM is pretrained.

        Raises:
            InputError: The run pretrains the LSTM, and then searches its shape.

        """
        if self._search is None or "pretrained_weights" not in node.outputs:
            return
        tuning, model = self._search
        if model.count_passes(len(inputs["train"]), has_unlabelled=False):
            tuning.require_fixed_shape()


class CheckLabels:
    """Refuses names of labels that the table does not have as soon as its labels are known.

    The nodes that use them come after the search, and would find them after hours.
    """

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Check the names if earlier runs have found the labels.

        Raises:
            InputError: There is no such label, or a parameter does not fit the labels.

        """
        self._catalog = catalog
        # Of others, the run has not adopted the values that its inputs were made with.
        self._read = pipeline.inputs() & {"params:training", "params:tuning", CLASS_WEIGHT, METRIC}
        may_be_found = (
            REVIEW_SETTINGS not in pipeline.all_outputs() or run_params["only_missing_outputs"]
        )
        if self._read and may_be_found and catalog.exists(REVIEW_SETTINGS):
            self._check(catalog.load(REVIEW_SETTINGS))

    @hook_impl
    def after_node_run(self, outputs: dict[str, Any]) -> None:
        """Check the names if this run has found the labels.

        Raises:
            InputError: There is no such label, or a parameter does not fit the labels.

        """
        if REVIEW_SETTINGS in outputs:
            self._check(outputs[REVIEW_SETTINGS])

    def _check(self, reviews: ReviewsParameters) -> None:
        labels = reviews.labels
        training = None
        if "params:training" in self._read:
            training = TrainingParameters.model_validate(self._catalog.load("params:training"))
            self._check_weights(training.class_weight, labels)
        elif CLASS_WEIGHT in self._read:
            self._check_weights(parse_class_weight(self._catalog.load(CLASS_WEIGHT)), labels)
        if "params:tuning" in self._read:
            from imdb_sentiment.pipelines.tuning.nodes import choose_metric

            tuning = TuningParameters.model_validate(self._catalog.load("params:tuning"))
            metric = choose_metric(tuning.metric, tuning.metric_label, reviews)
        elif METRIC in self._read and self._catalog.exists(METRIC):  # of an earlier run
            metric = self._catalog.load(METRIC)
        else:
            return
        if training:
            from imdb_sentiment.pipelines.training.decision import find_method

            find_method(training, metric, labels, are_ordered=reviews.ordered)

    def _check_weights(self, class_weight: ClassWeight, labels: tuple[str, ...]) -> None:
        from imdb_sentiment.evaluation.decisions import compute_label_weights

        if isinstance(class_weight, Mapping):
            compute_label_weights(class_weight, np.zeros(0, np.uint8), labels)


def _find_given(loader: Any) -> set[str]:
    """Return the names of the hyperparameters that --params or conf/local sets."""
    given = {name for name, _ in flatten(loader.runtime_params or {})}
    given |= loader.replace(loader.default_run_env, {}).find_files().keys()
    group = "hyperparameters."
    return {name.removeprefix(group) for name in given if name.startswith(group)}


def _warn_of_another_table(path: str, named: str) -> None:
    """Warn if the catalog reads another file than the run names; `path` may be no file at all."""
    names = [PurePath(hide_secrets(file)).name for file in (path, named)]
    if path != RAW_REVIEWS and all(names) and names[0] != names[1]:
        logger.warning(
            "The entry %s of the catalog reads %s, although this run names %s: remove the entry "
            "from conf/, or set reviews_file to the same table",
            *(RAW_REVIEWS, hide_secrets(path), hide_secrets(named)),
        )


def _require_entries_to_use(
    given: Iterable[str], inputs: set[str], loader: PresetsConfigLoader
) -> None:
    """Refuse settings of a table that an entry in conf/ does not use, which reads it."""
    for parameter in sorted(CATALOG_SETTINGS.keys() & set(given)):
        dataset = CATALOG_SETTINGS[parameter]
        if dataset in inputs and loader.ignores(dataset, parameter):
            raise InputError(
                f"{parameter} has no effect, since the entry {dataset} in conf/ does not use it: "
                "change the entry, or leave the parameter out"
            )


def _require_same_table(parameters: dict[str, Any], table: Any) -> None:
    """Refuse a name of the table in messages and reports that is not the table that is read."""
    named = parameters.get("reviews", {}).get("file", table)
    if named != table:
        raise InputError(
            f"reviews.file is {named}, but the table is {table}: name the table with "
            f"reviews_file={named} instead, in --params or in conf/local/globals.yml"
        )


def _require_known(
    names: Iterable[str], known: set[str], place: str, groups: Mapping[str, Any] | None = None
) -> None:
    """Refuse the names that are not known; `groups` has the parameters that may be meant."""
    for name in sorted(set(names) - known):
        full = [full for full, _ in flatten(groups or {}) if full.endswith(f".{name}")]
        hint = f"did you mean {' or '.join(full)}?" if full else suggest_name(name, known)
        raise InputError(f"there is no parameter {name!r} {place}: {hint}")


def _warn_of_unread_files(loader: PresetsConfigLoader) -> None:
    """Warn of files in conf/ and its folders that nothing reads because of their name or place."""
    conf = Path(loader.conf_source)
    patterns = list(itertools.chain.from_iterable(loader.config_patterns.values()))
    for path in sorted([*conf.glob("*.*"), *conf.glob("*/*.*")]):
        name = path.name.removesuffix(".txt")  # which an editor may have added
        stem, _, suffix = name.lower().partition(".")
        kinds = list(filter(stem.startswith, loader.config_patterns))
        kinds = kinds or get_close_matches(stem, loader.config_patterns, n=1, cutoff=LIKENESS)
        if not kinds or f".{suffix}" not in CONF_SUFFIXES:
            continue
        is_named_well = path.suffix in CONF_SUFFIXES and any(
            fnmatch(path.name, pattern) for pattern in patterns
        )
        if path.parent == conf or not is_named_well:
            folder = conf / loader.default_run_env if path.parent == conf else path.parent
            right = folder / f"{kinds[0]}.yml"
            names = [str(file.relative_to(conf.parent)) for file in (path, right)]
            logger.warning("%s is not read: did you mean %s?", *names)


def _warn_of_idle_entries(catalog: DataCatalog, loader: PresetsConfigLoader) -> None:
    """Warn of entries that no pipeline uses, and whose names are nearly those of others.

    A name that contains another one, such as `raw_reviews_2`, is one of the user's own.

    Those of conf/base are none, though the run may have other pipelines than those that use them.
    """
    used = {name for pipeline in pipelines.values() for name in pipeline.datasets()}
    idle = set(itertools.filterfalse(is_parameter, catalog.keys())) - used
    known = used | loader.list_base("catalog") if idle else used  # reading them takes 0.1 s
    for name in sorted(idle - known):
        similar = get_close_matches(name, known, n=1, cutoff=SIMILARITY)
        if similar and similar[0] not in name:
            logger.warning(
                "No pipeline uses the entry %s of the catalog in conf/: did you mean %s?",
                *(name, *similar),
            )


class RequireInputs:
    """Stops a run before it begins if a file that it needs does not exist."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Keep what reads the parameters."""
        project = Path(context.project_path)
        self._configuration = Configuration(context.config_loader, project)
        self._lineage = Lineage(project)

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Look for each input that no node of this run makes.

        Raises:
            InputError: If one is missing.

        """
        for name in sorted(pipeline.inputs()):
            if name in NAMED_BY and not getattr(catalog.get(name), "is_named", True):
                raise InputError(f"{NAMED_BY[name]} is null: name the table to read")
            if not name.startswith("params:") and _is_missing(catalog, name):
                path = find_path(catalog, name)
                if isinstance(catalog.get(name), TableDataset) and Path(path).is_dir():
                    raise InputError(f"the folder {path} has no tables: put some into it")
                raise InputError(
                    f"{path} does not exist, and this run needs it as {name!r}: "
                    + (self._advise_maker(catalog, name) or _list_similar(path))
                )

    def _advise_maker(self, catalog: DataCatalog, name: str) -> str | None:
        """Return how to make a missing dataset; None if it is a file of the user."""
        path = find_path(catalog, name)
        for pipeline, created in create_pipelines():
            for node in created.nodes:
                if path not in (find_path(catalog, made) for made in node.outputs):
                    continue
                if isinstance(catalog.get(name), MemoryDataset):
                    return f"add the node that creates it, {node.name}: it is not saved to a file"
                sources = find_upstream(self._lineage.read(), [name])
                parameters = self._configuration.adopt(sources.values(), reads_file=not sources)
                command = self._configuration.format_run(f" --pipelines {pipeline}", parameters)
                return f"run the pipeline that makes it first: {command}"
        return None


class ReleaseMemory:
    """Returns memory that earlier nodes have freed to the system before a node runs.

    glibc keeps free memory that lies between blocks in use. A node rarely fits into the gaps that
    others have left, so the peaks of several nodes would add up.
    """

    @hook_impl
    def before_node_run(self) -> None:
        """Collect networks of earlier nodes, and trim the heap, where that is possible: with glibc.

        A network refers to itself, and Python may wait long before it looks for such objects. That
        takes a few milliseconds, as those imported with Keras are left out (`tensorflow_setup`).
        """
        if "keras" in sys.modules:
            gc.collect()
        if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
            libc.malloc_trim(0)


def _is_missing(catalog: DataCatalog, name: str) -> bool:
    dataset: Any = catalog.get(name, fallback_to_runtime_pattern=True)
    can_tell = type(dataset)._exists is not AbstractDataset._exists  # a query in SQL can't
    return can_tell and not catalog.exists(name)


def _list_similar(path: str) -> str:
    """Return what to do about a missing file, with similar files in its folder."""
    if "://" in path:
        return "check the address"
    folder = Path(path).parent
    if not folder.is_dir():
        return f"correct the path, since there is no folder {folder}"
    names = sorted(file.name for file in folder.iterdir() if not file.name.startswith("."))
    by_case = {name.casefold(): name for name in names}
    close = get_close_matches(Path(path).name.casefold(), by_case, MAX_SIMILAR)
    listed = [by_case[name] for name in close] or [name for name in names if has_table_suffix(name)]
    return (
        f"in {folder}, there {'is' if len(listed) == 1 else 'are'} "
        f"{list_names(listed) or 'no tables'}. Put the file there, or give its path"
    )


def find_path(catalog: DataCatalog, name: str) -> str:
    """Return the path that the catalog's entry gives to a dataset, or its name if there is none."""
    entry = catalog.config_resolver.resolve_pattern(name)
    return str(entry.get("filepath") or entry.get("path") or name)
