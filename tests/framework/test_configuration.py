"""Which parameters of the runs that made its inputs a run uses again."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from click import Command, Context
from kedro.framework.cli.utils import _split_params
from kedro.framework.project import settings
from kedro.framework.startup import bootstrap_project

from helpers import make_project, nest
from imdb_sentiment.framework.configuration import Configuration
from imdb_sentiment.framework.lineage import Record

PARENT = "training.class_weight"


def make_record(
    time: str, parameters: dict[str, Any], given: tuple[str, ...], **other: Any
) -> Record:
    values: dict[str, Any] = {
        "path": f"data/{time}",
        "digest": time,
        "node": time,
        "outputs": (time,),
        "inputs": {},
        "env": "local",
        "code": "",
        "run": time,
    }
    return Record(time=time, parameters=nest(parameters), given=given, **values | other)


def test_what_was_given_for_an_older_table_is_not_used_again(tmp_path: Path) -> None:
    project = make_project(tmp_path, {})
    bootstrap_project(project)
    loader = settings.CONFIG_LOADER_CLASS(str(project / "conf"), **settings.CONFIG_LOADER_ARGS)
    configuration = Configuration(loader, project)
    older = make_record(
        "2026-11-27",
        {"training.seed": 7, "baseline.max_ngram": 1},
        ("training.seed", "baseline.max_ngram"),
        settings={"reviews_file": "a.csv", "reviews_encoding": "cp1252"},
    )
    newer = make_record("2026-11-28", {"training.seed": 42}, (), settings={"reviews_file": "b.csv"})
    adopted = configuration.adopt([newer, older], reads_file=False)
    assert adopted.settings == {"reviews_file": "b.csv"}
    assert adopted.get("training.seed") == 42
    assert adopted.get("baseline.max_ngram") == 1
    assert adopted.get("reviews.file") == "b.csv"
    assert configuration.adopt([older], reads_file=False).get("training.seed") == 7


def test_a_command_does_not_repeat_that_another_pruner_has_no_arguments(tmp_path: Path) -> None:
    project = make_project(tmp_path, {})
    bootstrap_project(project)
    own = project / "conf/local/parameters.yml"
    own.write_text(
        "tuning: {pruner: {name: MedianPruner, arguments: {n_warmup_steps: 1}}}\n", encoding="utf-8"
    )
    loader = settings.CONFIG_LOADER_CLASS(
        str(project / "conf"),
        runtime_params={"tuning": {"pruner": {"name": "NopPruner"}}},
        **settings.CONFIG_LOADER_ARGS,
    )
    configuration = Configuration(loader, project)
    parameters = configuration.adopt([], reads_file=True)
    assert parameters.get("tuning.pruner.arguments") == {}
    command = configuration.format_run("", parameters)
    assert command == "kedro run --params tuning.pruner.name=NopPruner"


@pytest.mark.parametrize(
    ("weights", "can_be_given"),
    [
        ({"Node.js": 5, "U.S.": 2}, True),
        ({"Node.js": 5, "so so": 2, "Q&A": 3}, True),
        ({"Q&A": 5, "don't": 2, "C++": 1, "\u0928\u092e\u0938\u094d\u0924\u0947": 3}, True),
        ({"Food, drink": 5, "x": 2}, False),
        ({"a=b": 5, "x.y": 2}, False),
        ({"[x]": 5, "y": 1}, False),
        ({"a\\.b": 5}, False),
    ],
)
def test_a_command_has_the_weights_of_labels_as_they_can_be_given(
    *, weights: dict[str, int], can_be_given: bool, tmp_path: Path
) -> None:
    project = make_project(tmp_path, {})
    bootstrap_project(project)
    loader = settings.CONFIG_LOADER_CLASS(
        str(project / "conf"),
        runtime_params={"training": {"class_weight": weights}},
        **settings.CONFIG_LOADER_ARGS,
    )
    configuration = Configuration(loader, project)
    command = configuration.format_run("", configuration.adopt([], reads_file=True))
    if not can_be_given:
        written = json.dumps(weights)
        assert command == f"kedro run (with training.class_weight: {written} in conf/)"
        return
    given = _split_params(Context(Command("run")), None, shlex.split(command)[-1])
    assert given == {"training": {"class_weight": weights}}


def test_null_ends_what_an_earlier_run_had_in_its_place(tmp_path: Path) -> None:
    project = make_project(tmp_path, {})
    bootstrap_project(project)

    def adopt(*sources: Record, **runtime_params: Any) -> Any:
        loader = settings.CONFIG_LOADER_CLASS(
            str(project / "conf"), runtime_params=runtime_params, **settings.CONFIG_LOADER_ARGS
        )
        adopted = Configuration(loader, project).adopt(sources, reads_file=False)
        return adopted.get("training.class_weight")

    name = "training.class_weight.negative"
    weighted = make_record("2026-11-27", {name: 5}, (name,))
    assert adopt(weighted) == {"negative": 5}
    assert adopt(weighted, training={"class_weight": None}) is None
    of_labels = make_record("2026-11-27", {"training.class_weight": {"Node.js": 5}}, (PARENT,))
    assert adopt(of_labels) == {"Node.js": 5}
    without = make_record("2026-11-28", {PARENT: None}, (PARENT,))
    assert adopt(weighted, without) is None
    assert adopt(without, training={"class_weight": {"negative": 5}}) == {"negative": 5}
