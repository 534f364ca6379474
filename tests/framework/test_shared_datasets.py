"""Each dataset that two pipelines share is made anew with other parameters; the rest is kept."""

import importlib
import shutil
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click import ClickException
from kedro.framework.project import settings
from kedro.framework.startup import bootstrap_project

from helpers import run_session
from imdb_sentiment.framework.lineage import Lineage
from imdb_sentiment.pipeline_registry import DEFAULT

PIPELINES = {
    name: importlib.import_module(f"imdb_sentiment.pipelines.{name}").create_pipeline()
    for name in DEFAULT
}
FILE = {"reviews_file": "IMDB Dataset.csv"}
REFUSALS = ("make what is stale again", "begin a new study")
CHANGES: dict[str, list[dict[str, Any]]] = {
    "data_processing": [
        FILE | {"split": {"seed": 7}},
        FILE | {"tokenizer": {"vocabulary_size": 40}},
        FILE | {"word_vectors": {"seed": 9}},
    ],
    "tuning": [
        {"tuning": {"n_trials": 3}},
        {"hyperparameters": {"learning_rate": 0.05}, "tuning": {"study_name": "another"}},
    ],
    "training": [{"training": {"seed": 5}}, {"baseline": {"max_ngram": 1}}],
    "reporting": [],
}


def name_dataset(name: str) -> str:
    return name.partition("@")[0]


def list_cases() -> Iterator[Any]:
    for pipeline, changes in CHANGES.items():
        for node in PIPELINES[pipeline].nodes:
            outputs = set(map(name_dataset, node.outputs))
            readers = [
                reader
                for reader, others in PIPELINES.items()
                if reader != pipeline and outputs & set(map(name_dataset, others.inputs()))
            ]
            for number, change in enumerate(changes) if readers else ():
                yield pytest.param(node.name, change, readers, id=f"{node.name} {number}")


@pytest.mark.slow
@pytest.mark.parametrize(("node", "change", "readers"), list_cases())
def test_who_reads_it_is_refused_or_right(
    node: str, change: dict[str, Any], readers: list[str], copy_of_finished: Path, tmp_path: Path
) -> None:
    nodes = [node, *list_makers_in_memory(node, Lineage(copy_of_finished).read())]
    if not runs(lambda: run_nodes(copy_of_finished, nodes, change)):
        return
    for reader in readers:
        project = shutil.copytree(copy_of_finished, tmp_path / reader)
        if runs(partial(run_session, project, reader)):
            require_consistent(project, reader)


def run_nodes(project: Path, nodes: list[str], parameters: dict[str, Any]) -> None:
    bootstrap_project(project)
    with settings.SESSION_CLASS.create(project, runtime_params=parameters) as session:
        session.run(node_names=nodes)


def runs(run: Callable[[], object]) -> bool:
    """Return whether a run ends well; the only other end is that it is refused."""
    try:
        run()
    except ClickException as error:
        if not any(text in str(error) for text in REFUSALS):
            raise
        return False
    return True


def list_makers_in_memory(name: str, saved: Collection[str]) -> list[str]:
    """Return the nodes that make what a node reads and no file has."""
    pipeline = PIPELINES[name.partition(".")[0]]
    (node,) = (node for node in pipeline.nodes if node.name == name)
    unsaved = set(map(name_dataset, node.inputs)) - set(saved)
    return [other.name for other in pipeline.nodes if unsaved & set(other.outputs)]


def require_consistent(project: Path, pipeline: str) -> None:
    """Check that the outputs of a pipeline were made from what lies there now."""
    records = Lineage(project).read()
    waiting = [name_dataset(name) for name in PIPELINES[pipeline].all_outputs()]
    known: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in records and name not in known:
            known.add(name)
            for source, found in records[name].inputs.items():
                assert source not in records or records[source].digest == found.digest
                waiting.append(source)
    assert known


def test_every_pipeline_but_the_last_shares_datasets() -> None:
    nodes = {str(case.values[0]).partition(".")[0] for case in list_cases()}
    assert nodes == set(DEFAULT[:-1])
    assert len(list(list_cases())) >= 30
