"""A hook that records the lineage of outputs, and refuses runs whose inputs do not match."""

import contextlib
import itertools
import threading
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog, SharedMemoryDataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from imdb_sentiment.errors import InputError
from imdb_sentiment.framework import claims
from imdb_sentiment.framework.claims import Claim, ClaimRegistry, HeldClaim
from imdb_sentiment.framework.configuration import Configuration
from imdb_sentiment.framework.lineage import Lineage, digest_value, flatten
from imdb_sentiment.framework.run_files import RunFiles, is_parameter
from imdb_sentiment.framework.run_lineage import SHARED, RunLineage

# Parameters of a search that may differ between runs that share its study.
GOES_ON = (
    "tuning.n_trials.",
    "tuning.patience.",
    "tuning.pruner.",
    "tuning.sampler.",
    "tuning.timeout.",
)
# This pipeline needs nothing but the exported model, which has a digest of its own.
SEALED = "inference"
OTHER_RUN = (
    "another run of this process has not ended yet: wait until it ends, or start this one in "
    "another process"
)


class TrackLineage:
    """Compares the inputs of a run with their records, and writes those of its outputs."""

    def __init__(self) -> None:
        self._run: RunLineage | None = None
        self._claimed: HeldClaim | None = None
        self._thread = threading.current_thread()  # that of the run

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Keep what reads the parameters."""
        self._project = Path(context.project_path)
        self._configuration = Configuration(context.config_loader, self._project)

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Claim the files of the run, and compare its inputs with their records.

        Parameters that were given only when the inputs were made are used again.

        Raises:
            InputError: The inputs do not belong together or do not fit the parameters or the
                catalog, another run uses the files, or they are results of another table than the
                sample, and this run names no table.

        """
        if isinstance(catalog, SharedMemoryDataCatalog):
            raise InputError(
                "ParallelRunner can't record the lineage: use ThreadRunner, or omit --runner"
            )
        if self._claimed and self._thread.is_alive() and self._thread != threading.current_thread():
            raise InputError(OTHER_RUN)
        self.close()  # what an interrupted run of this process has left
        lineage = Lineage(self._project)
        files = RunFiles(catalog, lineage)
        is_search = all((node.namespace or "").split(".")[0] == SHARED for node in pipeline.nodes)
        names = ",".join(run_params["pipeline_names"] or ["__default__"])
        run_id = str(run_params["run_id"])
        reads, writes = (
            files.list_paths(pipeline.inputs()),
            files.list_paths(pipeline.all_outputs()),
        )
        for read, written in itertools.product(reads, writes):
            if _is_same_file(self._project / read, self._project / written):
                raise InputError(
                    f"this run would both read and write {written}: choose another file, or run "
                    "the pipelines one after the other"
                )
        is_sealed = names == SEALED
        open_lineage = partial(RunLineage, run_id, files, lineage, pipeline, self._configuration)
        claim = Claim(
            reads=() if is_sealed else reads,
            writes=writes,
            search=_digest_search(open_lineage(), pipeline) if is_search else "",
            description=f"{names}, {claims.describe_process()}",
        )
        self._thread = threading.current_thread()
        try:
            self._claimed = ClaimRegistry(self._project).make(run_id.replace(":", "."), claim)
        except OSError:
            if not is_sealed:  # which may run where nothing can be written
                raise
        if is_sealed:
            # What `--only-missing-outputs` finds there has no record, and may be of another table.
            files.hide(pipeline.all_outputs())
            return
        try:
            run = open_lineage()  # anew, since a run that has ended meanwhile has left records
            run.compare_tables(run_params)
            run.compare_environments()
            run.compare_inputs()
            run.set_parameters()
            if run_params["only_missing_outputs"]:
                run.hide_stale_outputs()
        except BaseException:  # Kedro calls `on_pipeline_error` only for what happens later
            self.close()
            raise
        if is_search:
            run.saving = FileLock(self._project / claims.FOLDER / "saving.lock", thread_local=False)
        self._run = run

    def find_change(self, node: Node) -> str | None:
        """Return why a node of the run has to run again, or None if its outputs are up to date."""
        return self._run.find_change(node) if self._run else "its outputs have no records"

    @hook_impl
    def before_dataset_loaded(self, node: Node) -> None:
        """Check the inputs of a node before it reads the first one."""
        if self._run:
            self._run.begin(node)

    @hook_impl
    def after_node_run(self, node: Node) -> None:
        """Prepare for the saving of the node's outputs."""
        if self._run:
            self._run.begin_saving(node)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """Record a dataset that has been saved."""
        if self._run:
            self._run.record(dataset_name, node)

    @hook_impl(trylast=True)  # other hooks may read them
    def after_pipeline_run(self) -> None:
        """Give up the files of the run."""
        self.close()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Give up the files of the run."""
        self.close()

    def close(self) -> None:
        """Give up the files of the run, if one is going on."""
        if self._run:
            self._run.end_saving()
            self._run = None
        if self._claimed:
            self._claimed.release()
            self._claimed = None


def _digest_search(run: RunLineage, pipeline: Pipeline) -> str:
    """Return a digest of the parameters of a search that make its trials what they are."""
    found: dict[str, Any] = {}
    for name in filter(is_parameter, pipeline.inputs()):
        found |= dict(flatten(run.get_parameter(name), name.removeprefix("params:")))
    return digest_value({k: v for k, v in found.items() if not f"{k}.".startswith(GOES_ON)})


def _is_same_file(one: Path, other: Path) -> bool:
    """Return whether two paths lead to the same file, as by a link or in another case."""
    with contextlib.suppress(OSError):  # one of them does not exist, or is a URL
        return one.samefile(other)
    return one == other
