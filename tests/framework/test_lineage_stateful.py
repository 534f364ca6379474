"""In whatever order parts are run, killed or changed, what is shown is what a whole run would show.

The pipelines are small and pure, so that a whole run can be computed directly; the hooks, the
datasets and Kedro's runner are the real ones.
"""

import copy
import errno
import itertools
import json
import os
import random
import shutil
import tempfile
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import yaml
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from kedro.framework.hooks import hook_impl
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner

from helpers import nest
from imdb_sentiment.errors import InputError, find_input_error
from imdb_sentiment.framework import run_files, run_lineage
from imdb_sentiment.framework.presets import PresetsConfigLoader
from imdb_sentiment.framework.runner import IncrementalSequentialRunner
from imdb_sentiment.framework.track_lineage import TrackLineage
from imdb_sentiment.pipeline_registry import DEFAULT
from imdb_sentiment.settings import CONFIG_LOADER_ARGS

CONF: dict[str, Any] = {
    "reviews": {"file": "${runtime_params:reviews_file, ${globals:reviews_file}}", "column": "a"},
    "split": {"seed": 1},
    "tokenizer": {"size": 1},
    "tuning": {"name": "${runtime_params:reviews_file, ${globals:reviews_file}}", "trials": 2},
    "training": {"rate": 1},
    "report": {"groups": 1},
}
# Parameters that are given or changed, by dotted name.
KEYS = ("split.seed", "tokenizer.size", "tuning.trials", "training.rate", "report.groups")
OUTPUTS = ("clean", "train", "test", "best", "model", "history", "metrics", "report")
FILES = ("a.csv", "b.csv")
SUCCESS, REFUSED, KILLED = 0, 3, 9


def clean(raw: str, more: str, reviews: Any, split: Any) -> Any:
    return ["clean", raw, more, reviews, split]


def encode(clean: Any, tokenizer: Any) -> tuple[Any, Any]:
    return ["train", clean, tokenizer], ["test", clean, tokenizer]


def hold_out(train: Any, test: Any, tuning: Any) -> Any:
    return ["held out", train, test, tuning["name"]]


def tune(held_out: Any, tuning: Any) -> Any:
    return ["best", held_out, tuning["name"], min(tuning["trials"], 3)]


def fit(train: Any, best: Any, training: Any, seed: int | None = None) -> tuple[Any, Any]:
    """Return two results that differ from run to run, but belong together."""
    seed = random.SystemRandom().randrange(10**9) if seed is None else seed
    return ["model", train, best, training, seed], ["history", best, training, seed]


def score(model: Any, test: Any, report: Any) -> Any:
    return ["metrics", model, test, report]


def write(metrics: Any, history: Any, reviews: Any, parameters: Any) -> Any:
    return {"shown": [metrics, history, reviews["file"]], "parameters": parameters}


def node(func: Any, inputs: list[str], outputs: str | list[str]) -> Node:
    return Node(func, inputs, outputs, name=func.__name__)


NODES = {
    "data_processing": [
        node(clean, ["raw_reviews", "more_reviews", "params:reviews", "params:split"], "clean"),
        node(encode, ["clean", "params:tokenizer"], ["train", "test"]),
    ],
    "tuning": [
        node(hold_out, ["train", "test", "params:tuning"], "held_out"),
        node(tune, ["held_out", "params:tuning"], "best"),
    ],
    "training": [node(fit, ["train", "best", "params:training"], ["model", "history"])],
    "reporting": [
        node(score, ["model", "test", "params:report"], "metrics"),
        node(write, ["metrics", "history", "params:reviews", "parameters"], "report"),
    ],
}
PIPELINES = {
    name: Pipeline(nodes, namespace=name, prefix_datasets_with_namespace=False)
    for name, nodes in NODES.items()
}


def compute_report(raw: str, more: str, p: dict[str, Any], seed: int) -> Any:
    """Return what a whole run shows."""
    cleaned = clean(raw, more, p["reviews"], p["split"])
    train, test = encode(cleaned, p["tokenizer"])
    best = tune(hold_out(train, test, p["tuning"]), p["tuning"])
    model, history = fit(train, best, p["training"], seed)
    return write(score(model, test, p["report"]), history, p["reviews"], p)["shown"]


def make_toy(folder: Path) -> None:
    (folder / "conf/base").mkdir(parents=True)
    (folder / "conf/local").mkdir()
    (folder / "data/01_raw").mkdir(parents=True)
    raw = "${join_path:data/01_raw, ${runtime_params:reviews_file, ${globals:reviews_file}}}"
    catalog: dict[str, Any] = {
        name: {
            "type": "imdb_sentiment.datasets.AtomicDataset",
            "filepath": f"data/{name}.json",
            "dataset": "json.JSONDataset",
        }
        for name in OUTPUTS
    }
    more = raw.replace("reviews_file", "unlabelled_file")
    for name, path in {"raw_reviews": raw, "more_reviews": more}.items():
        catalog[name] = {
            "type": "text.TextDataset",
            "filepath": path,
            "metadata": {"kedro-viz": {"layer": "01_raw"}},
        }
    contents = {
        "globals": {"reviews_file": "a.csv", "unlabelled_file": "a.csv"},
        "parameters": CONF,
        "catalog": catalog,
    }
    for name, content in contents.items():
        (folder / f"conf/base/{name}.yml").write_text(yaml.safe_dump(content))
    for file in FILES:
        (folder / "data/01_raw" / file).write_text(file)


class ListNodes:
    """Lists the nodes that run."""

    def __init__(self) -> None:
        self.names: list[str] = []

    @hook_impl
    def after_node_run(self, node: Node) -> None:
        self.names.append(node.func.__name__)


@mock.patch.object(run_files, "list_outputs", mock.Mock(return_value=frozenset(OUTPUTS)))
def run(project: Path, names: list[str], given: dict[str, Any], *, only_missing: bool) -> list[str]:
    """Run pipelines of the toy project as Kedro's session does; return the nodes that have run."""
    os.chdir(project)
    loader = PresetsConfigLoader(
        str(project / "conf"), runtime_params=nest(given), **CONFIG_LOADER_ARGS
    )
    hooks = _create_hook_manager()
    hooks.register(TrackLineage())
    ran = ListNodes()
    hooks.register(ran)
    hooks.hook.after_context_created(
        context=SimpleNamespace(config_loader=loader, project_path=project)
    )
    parameters = loader["parameters"]
    catalog = DataCatalog.from_config(loader["catalog"])
    catalog["parameters"] = parameters
    for name in CONF:
        catalog[f"params:{name}"] = parameters[name]
    pipeline = sum((PIPELINES[name] for name in names), start=Pipeline([]))
    run_params: dict[str, Any] = {
        "run_id": f"{len(list(project.glob('data/*')))}-{os.getpid()}",
        "pipeline_names": names,
        "only_missing_outputs": only_missing,
    }
    arguments = {"run_params": run_params, "pipeline": pipeline, "catalog": catalog}
    for name in pipeline.inputs():
        if not name.startswith("param") and not catalog.exists(name):
            raise InputError(f"{name} does not exist")  # as the hook RequireInputs does
    hooks.hook.before_pipeline_run(**arguments)
    try:
        runner = IncrementalSequentialRunner() if only_missing else SequentialRunner()
        runner.run(
            pipeline, catalog, hooks, run_params["run_id"], only_missing_outputs=only_missing
        )
    except Exception as error:
        hooks.hook.on_pipeline_error(error=error, **arguments)
        raise
    hooks.hook.after_pipeline_run(run_result={}, **arguments)
    return ran.names


def run_in_child(
    kill_at: int | None, *arguments: Any, fail_at: int | None = None, **options: Any
) -> int:
    """Run in another process, which may be killed: see `_kill_at_renaming`."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        if kill_at is not None:
            _kill_at_renaming(kill_at)
        if fail_at is not None:
            _fail_at_renaming(fail_at)
        run(*arguments, **options)
        code = SUCCESS
    except BaseException as error:
        refused = find_input_error(error)
        code = REFUSED if refused and "\n" not in str(refused) else 1
        if code == 1:
            traceback.print_exc()
    finally:
        os._exit(code)


def _kill_at_renaming(number: int) -> None:
    """End this process before the n-th renaming if `number` is 2n - 1, or after it if it is 2n."""
    replace = Path.replace
    passed = 0

    def count(self: Path, target: Any) -> Any:
        nonlocal passed
        passed += 1
        if passed == number:
            os._exit(KILLED)
        done = replace(self, target)
        passed += 1
        if passed == number:
            os._exit(KILLED)
        return done

    Path.replace = count  # type: ignore[method-assign]


def _fail_at_renaming(number: int) -> None:
    """Let the n-th renaming, and all that follow, find the disk full."""
    replace = Path.replace
    calls = itertools.count(1)

    def fail(self: Path, target: Any) -> Any:
        if next(calls) >= number:
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(self, target)

    Path.replace = fail  # type: ignore[method-assign]


NOTHING: st.SearchStrategy[dict[str, Any]] = st.just({})
GIVEN = NOTHING | st.dictionaries(st.sampled_from(KEYS), st.integers(1, 4), max_size=2)
SETTINGS = st.sampled_from(["reviews_file", "unlabelled_file"])
GIVEN_FILES = NOTHING | st.dictionaries(SETTINGS, st.sampled_from(FILES))
LAST = st.integers(0, len(DEFAULT) - 1).map(lambda first: list(DEFAULT[first:]))
SUBSETS = LAST | st.sets(st.sampled_from(DEFAULT), min_size=1).map(
    lambda names: [name for name in DEFAULT if name in names]
)


class Project(RuleBasedStateMachine):
    """A project in which anything happens."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        make_toy(self.folder)
        self.conf = copy.deepcopy(CONF)
        self.edits = 0
        self.run_what_is_missing({}, "a.csv")

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @rule(names=SUBSETS, given=GIVEN, files=GIVEN_FILES)
    def run_parts(self, names: list[str], given: dict[str, Any], files: dict[str, str]) -> None:
        given = given | files
        code = run_in_child(None, self.folder, names, given, only_missing=False)
        assert code in (SUCCESS, REFUSED)
        if code == SUCCESS and "reporting" in names:
            self.compare(given, reads_csv="data_processing" in names)
        assert code == SUCCESS or names != list(DEFAULT)

    @rule(given=GIVEN, file=st.sampled_from(FILES))
    def run_what_is_missing(self, given: dict[str, Any], file: str) -> None:
        given = given | {"reviews_file": file}
        assert run_in_child(None, self.folder, list(DEFAULT), given, only_missing=True) == SUCCESS
        self.compare(given, reads_csv=True, is_whole=True)

    @rule(names=SUBSETS, given=GIVEN, only_missing=st.booleans(), number=st.integers(1, 60))
    def kill(
        self, names: list[str], given: dict[str, Any], only_missing: bool, number: int
    ) -> None:
        code = run_in_child(number, self.folder, names, given, only_missing=only_missing)
        assert code in (SUCCESS, REFUSED, KILLED)

    @rule(names=SUBSETS, number=st.integers(1, 20))
    def fill_the_disk(self, names: list[str], number: int) -> None:
        code = run_in_child(None, self.folder, names, {}, only_missing=False, fail_at=number)
        assert code in (SUCCESS, REFUSED)

    @rule(file=st.sampled_from(FILES))
    def change_csv(self, file: str) -> None:
        self.edits += 1
        (self.folder / "data/01_raw" / file).write_text(f"{file} {self.edits}")

    @rule(key=st.sampled_from(KEYS), value=st.integers(1, 4))
    def change_conf(self, key: str, value: int) -> None:
        group, name = key.split(".")
        self.conf[group][name] = value
        (self.folder / "conf/base/parameters.yml").write_text(yaml.safe_dump(self.conf))

    @rule(name=st.sampled_from(OUTPUTS), delete=st.booleans())
    def change_output(self, name: str, delete: bool) -> None:
        path = self.folder / f"data/{name}.json"
        if path.exists() and not delete:
            self.edits += 1
            path.write_text(json.dumps(self.edits))
        else:
            path.unlink(missing_ok=True)

    def compare(self, given: dict[str, Any], *, reads_csv: bool, is_whole: bool = False) -> None:
        """Compare the report with that of a whole run with the same parameters, on the same CSV."""
        report = json.loads((self.folder / "data/report.json").read_text())
        shown = report["parameters"]
        file = shown["reviews"]["file"]
        seed = report["shown"][1][-1]
        found = {name: (self.folder / "data/01_raw" / name).read_text() for name in FILES}
        # Which unlabelled reviews were read is no parameter, so it is not shown.
        used = [given.get("unlabelled_file", "a.csv")] if reads_csv else FILES
        reports = [compute_report(found[file], found[name], shown, seed) for name in used]
        assert report["shown"] in json.loads(json.dumps(reports))
        assert shown["tuning"]["name"] == file
        for key, value in given.items():
            if key == "reviews_file":
                assert file == value
            elif key in KEYS:
                group, name = key.split(".")
                assert shown[group][name] == value
        if is_whole:
            for key in set(KEYS) - set(given):
                group, name = key.split(".")
                assert shown[group][name] == self.conf[group][name]


def test_what_a_run_makes_must_fit_what_it_finds(tmp_path: Path) -> None:
    """The search has read other unlabelled reviews, which only shows when they are read again."""
    make_toy(tmp_path)
    (tmp_path / "data/01_raw/b.csv").write_text("other")
    whole, without_search = list(DEFAULT), ["data_processing", "training", "reporting"]

    def start(names: list[str], **given: Any) -> int:
        return run_in_child(None, tmp_path, names, given, only_missing=False)

    assert start(whole, unlabelled_file="b.csv") == SUCCESS
    assert start(without_search, unlabelled_file="b.csv") == SUCCESS
    assert start(without_search) == REFUSED
    assert start(whole) == SUCCESS


def test_results_of_two_runs_of_a_node_are_not_mixed(tmp_path: Path) -> None:
    make_toy(tmp_path)
    assert run_in_child(None, tmp_path, list(DEFAULT), {}, only_missing=False) == SUCCESS
    model, history = (tmp_path / f"data/{name}.json" for name in ("model", "history"))
    before = history.read_bytes()
    # After the third renaming: that of the claim, of the model, and of the model's record.
    assert run_in_child(2 * 3, tmp_path, ["training"], {}, only_missing=False) == KILLED
    assert history.read_bytes() == before
    assert json.loads(model.read_text())[-1] != json.loads(history.read_text())[-1]
    assert run_in_child(None, tmp_path, ["reporting"], {}, only_missing=False) == REFUSED
    assert run_in_child(None, tmp_path, list(DEFAULT), {}, only_missing=True) == SUCCESS
    assert json.loads(model.read_text())[-1] == json.loads(history.read_text())[-1]


@pytest.mark.parametrize(
    ("change", "ran"),
    [
        ({}, []),
        ({"training.rate": 2}, ["fit", "score", "write"]),
        ({"report.groups": 2}, ["score", "write"]),
        # What the search reads is only in memory, so it is made again for it.
        ({"tuning.trials": 1}, ["hold_out", "tune", "fit", "score", "write"]),
        # The search ends after 3 trials, so its result is the same. `write` shows all parameters.
        ({"tuning.trials": 4}, ["hold_out", "tune", "write"]),
    ],
)
def test_what_depends_on_an_unchanged_result_does_not_run_again(
    change: dict[str, int], ran: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_toy(tmp_path)
    whole = list(DEFAULT)
    run(tmp_path, whole, {"tuning.trials": 3}, only_missing=False)
    given = {"tuning.trials": 3} | change
    assert run(tmp_path, whole, given, only_missing=True) == ran
    assert run(tmp_path, whole, given, only_missing=True) == []


def test_code_that_has_changed_runs_again_and_what_depends_on_its_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_toy(tmp_path)
    whole = list(DEFAULT)
    digests: dict[str, str] = {}
    monkeypatch.setattr(
        run_lineage, "CODE", SimpleNamespace(digest=lambda _, name: digests.get(name, ""))
    )
    run(tmp_path, whole, {}, only_missing=False)
    digests["clean"] = "new"
    assert run(tmp_path, whole, {}, only_missing=True) == ["clean"]  # with the same result
    digests["hold_out"] = digests["fit"] = "new"
    ran = run(tmp_path, whole, {}, only_missing=True)
    assert ran == ["hold_out", "tune", "fit", "score", "write"]
    digests["AtomicDataset"] = "new"
    assert run(tmp_path, whole, {}, only_missing=True)[:2] == ["clean", "encode"]


Project.TestCase.settings = settings(
    max_examples=int(os.environ.get("LINEAGE_SEQUENCES", "30")),
    stateful_step_count=12,
    suppress_health_check=list(HealthCheck),
)
test_any_order = pytest.mark.slow(Project.TestCase)
