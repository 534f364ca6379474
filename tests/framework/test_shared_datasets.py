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
from kedro.pipeline import Node

from helpers import run_session
from imdb_sentiment.framework.lineage import Lineage, flatten
from imdb_sentiment.pipeline_registry import DEFAULT

PIPELINES = {
    name: importlib.import_module(f"imdb_sentiment.pipelines.{name}").create_pipeline()
    for name in DEFAULT
}
FILE = {"reviews_file": "IMDB Dataset.csv"}
REFUSAL = "recreate the outdated files"
CHANGES: dict[str, list[dict[str, Any]]] = {
    "data_processing": [
        FILE | {"split": {"seed": 7}},
        FILE | {"tokenizer": {"vocabulary_size": 40}},
        FILE | {"word_vectors": {"seed": 9}},
    ],
    "tuning": [
        {"tuning": {"n_trials": 1}},  # the best trial stays the same
        {"hyperparameters": {"learning_rate": 0.05}},
    ],
    "training": [{"training": {"seed": 5}}, {"baseline": {"max_ngram": 1}}],
    "reporting": [],
}
# Of each node that reads a parameter of a change, given by its number. A node is refused if its
# inputs were made with another value; otherwise, those who read its results are refused or checked.
OUTCOMES = {
    "data_processing.find_columns 0": "tuning refused, training refused, reporting refused",
    "data_processing.check_reviews 0": "refused",
    "data_processing.split_reviews 0": "refused",
    "data_processing.fit_tokenizer 1": "tuning refused, training refused, reporting refused",
    "data_processing.encode_reviews 1": "refused",
    "data_processing.pretrain_network 1": "refused",
    "data_processing.fit_word_vectors 2": "tuning refused, training refused",
    "tuning.tune_hyperparameters 0": "training checked, reporting checked",
    "tuning.tune_hyperparameters 1": "training checked, reporting refused",
    "training.fit_baseline 0": "reporting refused",
    "training.fit_baseline 1": "reporting checked",
    "training.fit_best_model 0": "reporting refused",
    "training.teach_ngrams 0": "refused",
    "training.fit_average 0": "refused",
    "training.fit_decision 0": "refused",
    "training.export_model 0": "refused",
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
                if reads(node, change):
                    case = f"{node.name} {number}"
                    yield pytest.param(node.name, change, readers, OUTCOMES.get(case), id=case)


def reads(node: Node, change: dict[str, Any]) -> bool:
    """Return whether a parameter of a change is part of one that a node reads."""
    names = [name.removeprefix("params:") for name in node.inputs if name.startswith("params:")]
    return any(f"{key}.".startswith(f"{name}.") for key, _ in flatten(change) for name in names)


@pytest.mark.slow
@pytest.mark.parametrize(("node", "change", "readers", "outcome"), list(list_cases()))
def test_who_reads_it_is_refused_or_right(
    *,
    node: str,
    change: dict[str, Any],
    readers: list[str],
    outcome: str | None,
    copy_of_finished: Path,
    tmp_path: Path,
) -> None:
    nodes = [node, *list_makers_in_memory(node, Lineage(copy_of_finished).read())]
    found = []
    if runs(lambda: run_nodes(copy_of_finished, nodes, change)):
        for reader in readers:
            project = shutil.copytree(copy_of_finished, tmp_path / reader)
            if runs(partial(run_session, project, reader)):
                require_consistent(project, reader)
                found.append(f"{reader} checked")
            else:
                found.append(f"{reader} refused")
    assert (", ".join(found) or "refused") == outcome


def run_nodes(project: Path, nodes: list[str], parameters: dict[str, Any]) -> None:
    bootstrap_project(project)
    with settings.SESSION_CLASS.create(project, runtime_params=parameters) as session:
        session.run(node_names=nodes)


def runs(run: Callable[[], object]) -> bool:
    """Return whether a run ends well; the only other end is that it is refused."""
    try:
        run()
    except ClickException as error:
        if REFUSAL not in str(error):
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


def test_the_outcomes_are_those_of_all_cases() -> None:
    assert {case.id for case in list_cases()} == set(OUTCOMES)
    assert {name.partition(".")[0] for name in OUTCOMES} == set(DEFAULT[:-1])
