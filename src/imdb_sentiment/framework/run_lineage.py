"""The lineage of one run: whether its inputs belong together, and the records of its outputs."""

import contextlib
import dataclasses
import logging
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from click import get_current_context
from filelock import FileLock
from kedro.framework.project import pipelines
from kedro.io import DatasetError, MemoryDataset
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from pydantic import BaseModel, ValidationError

from imdb_sentiment.command_line import join_values, quote_word
from imdb_sentiment.datasets.run_facts import PACKAGES
from imdb_sentiment.errors import InputError, list_names
from imdb_sentiment.framework.code import PackageCode
from imdb_sentiment.framework.configuration import (
    CATALOG_PARAMETERS,
    FILE,
    FILE_SETTING,
    RAW_REVIEWS,
    Configuration,
    RunParameters,
)
from imdb_sentiment.framework.lineage import (
    Input,
    Lineage,
    Reason,
    Record,
    Staleness,
    digest_value,
    find_upstream,
    flatten,
)
from imdb_sentiment.framework.run_files import RunFiles, is_parameter, strip_names
from imdb_sentiment.parameters import TuningParameters
from imdb_sentiment.pipeline_registry import DEFAULT

logger = logging.getLogger(__name__)

# Read once, since the code that runs is the one that this process has loaded.
CODE = PackageCode(Path(__file__).parents[1])

# Several runs of this pipeline may share a folder, if they work on the same study.
SHARED = "tuning"
FIRST_MADE = "review_settings"  # the first dataset made from the table, whose record has its name
STUDY = "study"  # the copy of a study at the end of a search
MISSING_ONLY = " --only-missing-outputs"
SAMPLE = "data/01_raw/sample_reviews.csv"  # the table of a run that names none
# Options that choose what a run does, by their names in `run_params`.
SELECTIONS = {
    "pipeline_names": "--pipelines",
    "namespaces": "--namespaces",
    "tags": "--tags",
    "node_names": "--nodes",
    "from_nodes": "--from-nodes",
    "to_nodes": "--to-nodes",
    "from_inputs": "--from-inputs",
    "to_outputs": "--to-outputs",
}
# Inputs that may have changed since a dataset was made from them: the exported model contains
# examples for people to try, and its predictions do not depend on them.
MAY_HAVE_CHANGED = {("onnx_model", "custom_reviews"), ("export_check", "custom_reviews")}
# Parameters that say how work is carried out, not what is computed.
NOT_COMPARED = {
    "processing.scheduler_address",
    "processing.workers",
    "tuning.max_retries",
    "tuning.scheduler_address",
    "tuning.workers",
}

# Settings that name the files of datasets.
SETTINGS = {
    "custom_reviews": "custom_reviews_file",
    "imdb_archive": "imdb_archive",
    RAW_REVIEWS: FILE_SETTING,
    "unlabelled_reviews": "unlabelled_file",
}
INPUT_CHANGED = "an input has changed"  # why a node runs again
LINEAGE = "lineage"  # the dataset that tells what the inputs of a node were made from


class RunLineage:
    """The lineage of the current run.

    Args:
        run_id: Id of the run.
        files: The files of its datasets.
        lineage: The records of earlier runs.
        pipeline: The pipeline that it runs.
        configuration: Its parameters.

    """

    def __init__(
        self,
        run_id: str,
        files: RunFiles,
        lineage: Lineage,
        pipeline: Pipeline,
        configuration: Configuration,
    ) -> None:
        self.saving: FileLock | None = None  # held while a node's outputs are saved
        self._id = run_id
        self._configuration = configuration
        self._files = files
        self._lineage = lineage
        self._pipeline = pipeline
        self._records = {name: _leave_out_of(record) for name, record in lineage.read().items()}
        self._versions = {name: version(name) for name in PACKAGES}
        self._makers = {name: node for node in pipeline.nodes for name in strip_names(node.outputs)}
        self._lock = threading.Lock()  # nodes may run in threads
        self._inputs: dict[str, dict[str, Input]] = {}  # by the name of the node
        self._unsaved: dict[str, set[str]] = {}  # outputs, by the name of the node
        upstream = find_upstream(self._records, strip_names(pipeline.inputs()))
        self._sources = tuple(upstream.values())  # the records of what the run begins with
        self._parameters = configuration.adopt(
            self._sources, reads_file=RAW_REVIEWS in pipeline.inputs()
        )
        self._codes = {node.name: self._digest_code(node) for node in pipeline.nodes}

    def compare_tables(self, run_params: dict[str, Any]) -> None:
        """Compare the table of the run with that of the present results.

        Raises:
            InputError: This run would replace the results of another table with those of the sample
                only because it names no table.

        """
        if RAW_REVIEWS not in self._pipeline.inputs():
            return
        record = self._records.get(FIRST_MADE)
        if record and not any(map(self._files.exists, self._makers.keys() & self._records.keys())):
            return
        then = self._find_table(record)
        now = self._parameters.get(FILE)
        path = self._files.find_path(RAW_REVIEWS)
        source = record.inputs.get(RAW_REVIEWS) if record else None
        is_same_file = path is not None and source is not None and path == source.path
        if then is None or str(then) == str(now) or is_same_file:
            return
        if self._configuration.is_set(FILE_SETTING) or path != SAMPLE:
            logger.info("This run will replace the results of %s with those of %s", then, now)
            return
        # With the other settings of that run, such as the encoding of the table.
        kept = self._configuration.adopt([record] if record else [], reads_file=False)
        raise InputError(
            f"data/ contains the results of {then}. No table is specified, so this run would "
            f"replace them with those of the sample data. To continue with {then}: "
            f"{self._format_run(run_params, kept, then)}. To run the sample: "
            f"{self._format_run(run_params, self._parameters, now)}"
        )

    def _find_table(self, record: Record | None) -> str | None:
        """Return the name of the table of the present results, if there are any."""
        if record:
            name: str | None = record.parameters.get("reviews", {}).get("file")
            return name
        if FIRST_MADE in self._makers and self._files.exists(FIRST_MADE):  # without lineage.json
            with contextlib.suppress(DatasetError):  # it is damaged
                return str(self._files.get(FIRST_MADE).load().file)
        return None

    def _format_run(self, run_params: dict[str, Any], parameters: RunParameters, file: str) -> str:
        """Return the command of this run with other parameters and for a certain table."""
        chosen = {option: run_params.get(name) for name, option in SELECTIONS.items()}
        parts = "".join(
            f" {option} {quote_word(','.join(names))}" for option, names in chosen.items() if names
        )
        settings = parameters.settings | {FILE_SETTING: file}
        more = _repeat_runner()
        if run_params["only_missing_outputs"]:
            more += MISSING_ONLY
        return self._configuration.format_run(
            parts, dataclasses.replace(parameters, settings=settings), more
        )

    def compare_environments(self) -> None:
        """Compare the catalog with that of the environment whose parameters the run adopts.

        Raises:
            InputError: A dataset of the run has another entry there, since catalogs are not
                adopted.

        """
        env = self._parameters.env
        if names := self._configuration.list_other_entries(env, self._pipeline.datasets()):
            raise InputError(
                f"the inputs were made with --env {env}, where the catalog has other entries for "
                f"{list_names(names)}: repeat --env {env}"
            )

    def compare_inputs(self) -> None:
        """Raise `InputError` if an input of the run has no record, or is stale."""
        names = sorted(strip_names(self._pipeline.inputs()))
        for name in names:
            self._require_version(name)
            path = self._files.find_path(name)
            is_known = name in self._records and self._records[name].path == path
            if not (is_known or self._files.is_resource(name) or self._files.is_raw(name)):
                raise InputError(
                    f"there is no record of how {path} was created: run everything again with "
                    f"{self._configuration.format_run('', self._parameters)}"
                )
        self._require_current(names)
        self._compare_files(names)
        self._require_named_files()

    def _require_version(self, name: str) -> None:
        """Refuse another version of an input than the one that has a record."""
        recorded = self._records[name].version if name in self._records else ""
        found = self._files.find_version(name) if recorded else ""
        if found != recorded:
            raise InputError(
                f"the version of {name} that this run would load is {found or 'missing'}, and only "
                f"{recorded} has a record: load that, or run everything again with kedro run"
            )

    def _compare_files(self, names: Iterable[str]) -> None:
        """Compare the files of the user with those that the inputs were made from."""
        for made, record in find_upstream(self._records, names).items():
            for name in sorted(record.inputs.keys() - self._records.keys()):
                if (made, name) not in MAY_HAVE_CHANGED:
                    self._compare_file(name, record)

    def _compare_file(self, name: str, record: Record) -> None:
        setting, found = SETTINGS.get(name, name), record.inputs[name]
        named = self._configuration.named
        adopts_env = self._parameters.env != self._configuration.env
        # What conf/ names may have been overridden by that run, or belong to its environment.
        is_overridden = setting in record.settings.keys() - named
        if not is_overridden and (self._configuration.is_set(setting) or not adopts_env):
            path, then = self._files.find_path(name), found.path
            if then:  # an earlier version recorded file:///a.csv as it was given
                then = self._lineage.name_path(then)
            if not (path == then or self._is_away(name, path, then) or self._is_copy(path, found)):
                why = f"{record.path} was made from {then or 'no file'}, not from "
                raise InputError(
                    self._advise(
                        [Reason(record, f"{why}{path or 'no file'}")], "name the same file again"
                    )
                )
        kind, _, _ = setting.rpartition("_")
        for key in sorted(key for key in named if key.startswith(f"{kind}_") and key != setting):
            then, now = (
                self._configuration.get_setting(key, given)
                for given in (record.settings, self._parameters.settings)
            )
            if then != now:
                reason = Reason(record, f"{record.path} was made with {key}={then}, not {now}")
                raise InputError(self._advise([reason], f"leave {key} out"))

    def _require_named_files(self) -> None:
        """Refuse to read other files than those whose names the inputs were made with.

        The catalog was made before these settings were adopted.
        """
        for name, setting in SETTINGS.items():
            if setting == FILE_SETTING:  # a run that reads the table adopts no other
                continue
            is_read = name in strip_names(self._pipeline.inputs())
            if not is_read or self._configuration.is_set(setting):
                continue
            kind, _, _ = setting.rpartition("_")  # with its encoding and delimiter
            given = {k: v for k, v in self._parameters.settings.items() if k.startswith(f"{kind}_")}
            if given.get(setting) is not None:
                raise InputError(
                    f"the inputs were made with {setting}={given[setting]}: add --params "
                    f"{quote_word(join_values(given))}"
                )

    def _is_away(self, name: str, path: str | None, then: str | None) -> bool:
        """Return whether a file lay elsewhere, and is in neither place now."""
        if path is None or then is None or "://" in path or Path(path).name != Path(then).name:
            return False
        return not self._files.exists(name)

    def _is_copy(self, path: str | None, found: Input) -> bool:
        """Return whether a file has the content that a node has read from another one."""
        return path is not None and self._lineage.digest(path) == found.digest

    def _require_current(self, names: Iterable[str]) -> None:
        staleness = self._judge()
        known = (name for name in names if name in self._records)
        reasons = [reason for name in known if (reason := staleness.explain(name))]
        if reasons:
            raise InputError(self._advise(reasons))

    def _advise(
        self, reasons: list[Reason], other: str = "pass the parameters of that run again"
    ) -> str:
        """Return why the run is refused, with the command that recreates stale files.

        Args:
            reasons: Why datasets are stale.
            other: What else can be done.

        """
        first = min(reasons, key=lambda reason: _find_place(reason.record.node))
        # A pipeline outside the main job needs no more of it than what makes its inputs.
        makers = [
            self._records[name].node
            for name in strip_names(self._pipeline.inputs())
            if name in self._records
        ]
        last = max(_find_place(node) for node in [*makers, *(n.name for n in self._pipeline.nodes)])
        names = DEFAULT[_find_place(first.record.node) : last + 1]
        owner = first.record.node.partition(".")[0]
        if owner not in DEFAULT and owner in pipelines:
            names = (*names, owner)
        part = "" if names == DEFAULT else f" --pipelines {','.join(names)}"
        parameters = self._parameters
        if not self._is_of_this_table(first.record):
            # Parameters of the other table's run may name labels that this one does not have.
            with contextlib.suppress(InputError):  # their preset is gone
                sources = filter(self._is_of_this_table, self._sources)
                parameters = self._configuration.adopt(sources, reads_file=False)
        command = self._configuration.format_run(part, parameters, MISSING_ONLY)
        ways = [command, *self._find_way_back(first.record), other]
        return f"{first.text}: recreate the outdated files with {', or '.join(ways)}"

    def _is_of_this_table(self, record: Record) -> bool:
        then, now = (
            self._configuration.get_setting(FILE_SETTING, settings)
            for settings in (record.settings, self._parameters.settings)
        )
        return bool(then == now)

    def _find_way_back(self, record: Record) -> list[str]:
        """Return the command that completes the results of another table, as one way or none.

        Such results are left if a run of the present table has ended early.
        """
        table = record.settings.get(FILE_SETTING)
        now = self._configuration.get_setting(FILE_SETTING, self._parameters.settings)
        if table in (None, now) or FILE_SETTING in self._configuration.named:
            return []
        records = [x for x in self._records.values() if x.settings.get(FILE_SETTING) == table]
        configuration = self._configuration.without_params()
        try:
            parameters = configuration.adopt(records, reads_file=False)
        except InputError:  # their preset is gone
            return []
        known = {key for x in records for key, _ in flatten(x.parameters)} | {FILE}
        if {key for x in records for key in x.given} - known - NOT_COMPARED - {*CATALOG_PARAMETERS}:
            return []  # the early run has replaced the record of a parameter
        return [f"those of {table} with {configuration.format_run('', parameters, MISSING_ONLY)}"]

    def _judge(self) -> Staleness:
        return Staleness(
            self._records,
            self._lineage.digest,
            self._lineage.digest_output,
            self.get_parameter,
            tolerated=MAY_HAVE_CHANGED,
        )

    def get_parameter(self, name: str) -> Any:
        """Return the value of a parameter in the form of the records."""
        name = name.removeprefix("params:")
        return leave_out(self._parameters.get(name), name)

    def set_parameters(self) -> None:
        """Put the parameters that this run adopts into the catalog.

        Raises:
            InputError: They are not valid in this version of the project.

        """
        if not self._parameters.adopted:
            return
        logger.info(
            "Using the parameters that the inputs were made with: %s",
            ", ".join(f"{key}={value}" for key, value in self._parameters.adopted.items()),
        )
        for name in filter(is_parameter, self._pipeline.inputs()):
            dataset = self._files.get(name)
            try:
                now = dataset.load()
                value = _convert(self._parameters.get(name), now)
                if value is None and now is not None:
                    self._files.catalog[name] = MemoryDataset(None)  # None can't be saved
                elif value != now:
                    dataset.save(value)
            except ValidationError as error:
                raise InputError(
                    f"the inputs were made with a value of {name} that is no longer valid "
                    f"({error.errors()[0]['msg']}): run everything again with kedro run"
                ) from error

    def hide_stale_outputs(self) -> None:
        """Make the runner treat outputs that are, or may become, stale as missing."""
        staleness = self._judge()
        stale: set[str] = set()
        for node in self._pipeline.nodes:
            if not stale.isdisjoint(strip_names(node.inputs)) or self.find_change(node, staleness):
                stale |= strip_names(node.outputs)
                self._files.hide(node.outputs)

    def find_change(self, node: Node, staleness: Staleness | None = None) -> str | None:
        """Return why a node has to run again, or None if it need not."""
        if not node.outputs:
            return "it has no outputs"
        staleness = staleness or self._judge()
        changes = (self._find_change(name, node, staleness) for name in sorted(node.outputs))
        return next(filter(None, changes), None) or self._find_missing_trials(node)

    def _find_missing_trials(self, node: Node) -> str | None:
        """Return that a node has to go on with its search, or None if it need not."""
        if STUDY not in node.outputs:
            return None
        tuning = TuningParameters.model_validate(self._parameters.get("tuning"))
        if tuning.timeout is not None:  # which may have ended it, and might do so again and again
            return None
        from imdb_sentiment.search import lacks_trials  # imports Optuna, which few runs need here

        study = self._files.get(STUDY).load()
        n_trials = tuning.different_trials
        is_missing = lacks_trials(study, n_trials, tuning.max_retries, tuning.patience)
        return f"the study {study.study_name!r} lacks trials" if is_missing else None

    def _find_change(self, output: str, node: Node, staleness: Staleness) -> str | None:
        """Return why an output of a node has to be made again, or None if it need not."""
        (name,) = strip_names([output])
        if self._files.has_no_file(name):  # a database is missing if it is hidden
            dataset = self._files.get(output)
            is_there = isinstance(dataset, MemoryDataset) or dataset.exists()
            return None if is_there else f"{name} is missing"
        record = self._records.get(name)
        if record is None or not self._files.exists(name):
            return f"{name} is missing"
        reasons = {
            "its file has another path": record.path != self._files.find_path(name),
            "its code has changed": record.code != self._codes[node.name],
            INPUT_CHANGED: record.inputs != self._list_inputs(node),
            "a parameter has changed": record.parameters != self._list_parameters(node),
        }
        reason = staleness.explain(name)
        return next(filter(reasons.get, reasons), reason.text if reason else None)

    def begin(self, node: Node) -> None:
        """Check and record the inputs of a node before it reads them.

        Raises:
            InputError: An input that this run has not made is stale because of its outputs, or its
                file has changed since an earlier node began to read it.

        """
        if node.name not in self._inputs:
            self._require_current(sorted(strip_names(node.inputs) - self._makers.keys()))
            inputs = self._list_inputs(node)
            may_change = {name for _, name in MAY_HAVE_CHANGED}
            with self._lock:
                for name in sorted(inputs.keys() - self._makers.keys() - may_change):
                    earlier = (read[name] for read in self._inputs.values() if name in read)
                    if any(read != inputs[name] for read in earlier):
                        raise InputError(
                            f"{inputs[name].path} has changed while this run was reading it: run "
                            "the same command again"
                        )
                self._inputs[node.name] = inputs

    def begin_saving(self, node: Node) -> None:
        """Let no other run save outputs of the same node until all of this one are saved."""
        outputs = strip_names(node.outputs)
        self._unsaved[node.name] = {name for name in outputs if not self._files.has_no_file(name)}
        if self.saving and self._unsaved[node.name]:
            self.saving.acquire()

    def end_saving(self) -> None:
        """Let other runs save."""
        if self.saving:
            self.saving.release(force=True)

    def record(self, name: str, node: Node) -> None:
        """Write the record of a dataset that has been saved."""
        (name,) = strip_names([name])
        path = self._files.find_path(name)
        if path is None:
            return
        inputs = self._inputs[node.name]
        with self._lock:
            record = Record(
                path=path,
                version=self._files.find_version(name, is_saved=True),
                # The content of a file elsewhere is known by the run that has saved it.
                digest=self._lineage.digest(path) or digest_value([self._id, name]),
                node=node.name,
                outputs=tuple(sorted(strip_names(node.outputs))),
                inputs=inputs,
                parameters=self._list_parameters(node),
                given=tuple(sorted(self._parameters.given)),
                settings=self._parameters.settings,
                env=self._parameters.env,
                code=self._codes[node.name],
                run=self._id,
                time=datetime.now(UTC).isoformat(),
            )
            self._lineage.add(name, record, self._versions)
            self._records[name] = record
            self._unsaved[node.name].discard(name)
            if not self._unsaved[node.name]:
                self.end_saving()

    def _list_inputs(self, node: Node) -> dict[str, Input]:
        """Return the files that a node reads; for data in memory, those of the node before it."""
        found: dict[str, Input] = {}
        for name in sorted(strip_names(node.inputs)):
            path = self._files.find_path(name)
            if name in self._makers and self._files.has_no_file(name):
                found |= self._list_inputs(self._makers[name])
            elif name in self._records:
                found[name] = Input(path=path, digest=self._records[name].digest)
            elif name == LINEAGE:
                for record in find_upstream(self._records, strip_names(node.inputs)).values():
                    raw = record.inputs.keys() - self._records.keys()
                    found |= {source: record.inputs[source] for source in raw}
            elif not self._files.is_resource(name):
                digest = self._lineage.digest(path) or ""
                options = self._files.describe_options(name)
                found[name] = Input(path=path, digest=digest, options=options)
        return found

    def _list_parameters(self, node: Node) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in node.inputs:
            if name.startswith("params:"):
                found[name.removeprefix("params:")] = self.get_parameter(name)
            elif name == "parameters":
                groups = self._parameters.values.keys() - CATALOG_PARAMETERS
                found |= {group: self.get_parameter(group) for group in sorted(groups)}
            elif name in self._makers and self._files.has_no_file(name):
                found |= self._list_parameters(self._makers[name])
        return found

    def _digest_code(self, node: Node) -> str:
        """Return the digest of a node's code and that of its datasets."""
        func: Any = node.func.func if isinstance(node.func, partial) else node.func
        used = [func, *(type(self._files.get(name)) for name in (*node.inputs, *node.outputs))]
        names = {(part.__module__, part.__qualname__.partition(".")[0]) for part in used}
        digests = [CODE.digest(*name) for name in sorted(names)]
        for name in sorted(strip_names(node.inputs)):
            if name in self._makers and self._files.has_no_file(name):
                digests.append(self._digest_code(self._makers[name]))
        return digest_value(digests)


def _repeat_runner() -> str:
    """Return the options of the present command that choose its runner, each after a space."""
    context = get_current_context(silent=True)  # there is none in a notebook
    given = context.params if context else {}
    options = f" --runner {quote_word(given['runner'])}" if given.get("runner") else ""
    if listed := join_values(dict(flatten(given.get("runner_params") or {}))):
        options += f" --runner-params {quote_word(listed)}"
    return f"{options} --async" if given.get("is_async") else options


def _find_place(node: str) -> int:
    """Return the place of a node's pipeline in the main job; the first for any other pipeline."""
    name = node.partition(".")[0]
    return DEFAULT.index(name) if name in DEFAULT else 0


def _convert(value: Any, present: Any) -> Any:
    """Return a parameter in the type of the present one.

    A key is text, as where parameters are validated: in YAML, a label such as 5 is a number.
    """
    if isinstance(present, BaseModel):
        return type(present).model_validate(value)
    if isinstance(value, dict):
        parts = present if isinstance(present, dict) else {}
        return {str(key): _convert(part, parts.get(str(key))) for key, part in value.items()}
    return value


def leave_out(value: Any, name: str) -> Any:
    """Return the value of a parameter without the parts that are not compared.

    A key is text, as in the records: in YAML, a label such as 5 is a number.
    """
    if not isinstance(value, dict):
        return value
    parts = {key: (f"{name}.{key}", part) for key, part in value.items()}
    return {
        str(key): leave_out(part, full)
        for key, (full, part) in parts.items()
        if full not in NOT_COMPARED
    }


def _leave_out_of(record: Record) -> Record:
    """Return a record of any version without the parameters that are not compared."""
    compared = {name: leave_out(value, name) for name, value in record.parameters.items()}
    return record.model_copy(update={"parameters": compared})
