import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml
from click import ClickException
from kedro.config import OmegaConfigLoader
from kedro.framework.project import settings
from kedro.framework.startup import bootstrap_project

from helpers import PROJECT, make_project, make_reviews, nest, run_session, write_csv
from imdb_sentiment.errors import InputError
from imdb_sentiment.framework.lineage import Lineage, flatten
from imdb_sentiment.framework.presets import PresetsConfigLoader
from imdb_sentiment.parameters import TuningParameters
from imdb_sentiment.parameters.tuning import Choices, FloatRange, IntRange


def write(project: Path, env: str, name: str, **values: Any) -> None:
    (project / "conf" / env).mkdir(exist_ok=True)
    path = project / "conf" / env / f"{name}.yml"
    path.write_text(yaml.safe_dump(nest(values)), encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project with two presets of its own."""
    project = make_project(tmp_path, {})
    bootstrap_project(project)
    write(
        project, "fast", "parameters", **{"hyperparameters.epochs": 1, "hyperparameters.units": 8}
    )
    write(project, "fast", "globals", seed=7)
    write(project, "wide", "parameters", **{"hyperparameters.units": 9, "split.test_fraction": 0.5})
    return project


def load(project: Path, env: str | None, **given: Any) -> dict[str, Any]:
    loader = settings.CONFIG_LOADER_CLASS(
        str(project / "conf"), env=env, runtime_params=nest(given), **settings.CONFIG_LOADER_ARGS
    )
    assert isinstance(loader, PresetsConfigLoader)
    assert loader.env == env
    return dict(flatten(dict(loader["parameters"])))


OWN = {"hyperparameters.epochs": 3}  # in conf/local
BOTH = OWN | {"split.seed": 7, "split.test_fraction": 0.5}


@pytest.mark.parametrize(
    ("env", "changes"),
    [
        ("base", {}),
        (None, OWN),
        ("local", OWN),
        ("fast", OWN | {"hyperparameters.units": 8, "split.seed": 7}),
        ("wide", OWN | {"hyperparameters.units": 9, "split.test_fraction": 0.5}),
        ("fast,wide", BOTH | {"hyperparameters.units": 9}),
        ("wide, fast", BOTH | {"hyperparameters.units": 8}),
        ("local, fast", OWN | {"hyperparameters.units": 8, "split.seed": 7}),
        ("local,local", OWN),
        ("base,local", OWN),
    ],
)
def test_a_later_folder_overrides_single_parameters(
    project: Path, env: str | None, changes: dict[str, Any]
) -> None:
    base = load(project, "base")
    write(project, "local", "parameters", **OWN)
    found = load(project, env)
    differ = {key for key in base if found[key] != base[key] and not key.endswith(".seed")}
    expected = {key for key in changes if not key.endswith(".seed")}
    assert differ == expected
    assert {key: found[key] for key in changes} == changes


def test_loaders_for_other_runs_keep_apart(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They share what they have read, and a resolver of Kedro's that the whole process has."""
    own = PresetsConfigLoader(str(project / "conf"), "wide", {}, **settings.CONFIG_LOADER_ARGS)
    fast = own.replace("fast", {"report": {"seed": 3}})
    assert (own.env, own.runtime_params) == ("wide", {})
    for _ in range(2):
        mine, theirs = own["parameters"], fast["parameters"]
        assert (mine["hyperparameters"]["units"], theirs["hyperparameters"]["units"]) == (9, 8)
        assert (mine["split"]["seed"], theirs["split"]["seed"]) == (42, 7)  # from globals.yml
        assert (mine["report"]["seed"], theirs["report"]["seed"]) == (42, 3)
        mine["split"]["seed"] = 1  # in the caller's own copy
    monkeypatch.setattr(OmegaConfigLoader, "_read_raw_config", None)
    assert own.replace("fast", {"report": {"seed": 3}})["parameters"] == theirs  # read once
    monkeypatch.undo()
    own["parameters"] = {"split": "set by hand"}
    assert own["parameters"] == {"split": "set by hand"}
    assert own.replace("fast", {"report": {"seed": 3}})["parameters"] == theirs


SHIPPED = sorted(path.name for path in (PROJECT / "conf").iterdir() if path.is_dir())
PRESETS = [name for name in SHIPPED if name not in ("base", "local")]


def load_tuning(project: Path, env: str) -> TuningParameters:
    loader = settings.CONFIG_LOADER_CLASS(
        str(project / "conf"), env=env, runtime_params={}, **settings.CONFIG_LOADER_ARGS
    )
    return TuningParameters.model_validate(loader["parameters"]["tuning"])


@pytest.mark.parametrize("env", [*map(",".join, itertools.permutations(PRESETS, 2))])
def test_every_two_presets_of_this_project_make_valid_parameters(project: Path, env: str) -> None:
    (project / "conf/local/parameters.yml").unlink()
    found = load_tuning(project, env)  # which makes the sampler and the pruner
    alone = [load_tuning(project, name) for name in env.split(",")]
    default = load_tuning(project, "base").pruner
    named = [preset.pruner for preset in alone if preset.pruner != default]
    assert found.pruner == [default, *named][-1]


def test_another_class_replaces_the_arguments_of_the_earlier_one(project: Path) -> None:
    pruner, sampler = "tuning.pruner", "tuning.sampler"
    percentile = {"percentile": 25.0, "n_startup_trials": 3}
    write(project, "fast", "parameters", **{pruner: {"name": "PercentilePruner"}})
    write(project, "fast", "parameters_more", **{pruner: {"arguments": percentile}})
    assert load_tuning(project, "fast").pruner.arguments == percentile
    write(project, "wide", "parameters", **{pruner: {"arguments": {"n_startup_trials": 5}}})
    assert load_tuning(project, "fast,wide").pruner.arguments == percentile | {
        "n_startup_trials": 5
    }
    write(project, "local", "parameters", **{f"{pruner}.name": "MedianPruner"})
    assert load_tuning(project, "fast,wide").pruner.model_dump() == {
        "name": "MedianPruner",
        "arguments": {},
    }
    own = {"name": "RandomSampler", "arguments": None}
    write(project, "wide", "parameters", **{sampler: {"arguments": {"multivariate": True}}})
    assert load_tuning(project, "wide").sampler.arguments == {"multivariate": True}
    write(project, "local", "parameters", **{sampler: own})
    assert load_tuning(project, "wide").sampler.model_dump() == own | {"arguments": {}}
    assert load_tuning(project, "local").sampler.name == "RandomSampler"


@pytest.mark.parametrize("env", ["fast", "fast,wide"])
def test_another_class_that_is_given_replaces_the_arguments_too(env: str, project: Path) -> None:
    own = {"percentile": 25.0, "n_startup_trials": 3}
    percentile = {"name": "PercentilePruner", "arguments": own}
    write(project, "fast", "parameters", **{"tuning.pruner": percentile})
    write(project, "wide", "parameters", **{"tuning.pruner.arguments": own})
    pruner = "tuning.pruner"
    given = {f"{pruner}.name": "MedianPruner", f"{pruner}.arguments.n_warmup_steps": 1}
    found = load(project, env, **given)
    assert {name: found[name] for name in found if name.startswith(pruner)} == given
    found = load(project, env, **{f"{pruner}.name": "PercentilePruner"})
    kept = {name: found[name] for name in found if name.startswith(f"{pruner}.arguments")}
    assert kept == {f"{pruner}.arguments.{name}": value for name, value in own.items()}


def test_a_range_of_another_type_replaces_the_earlier_one(project: Path) -> None:
    space = "tuning.search_space"
    default = load_tuning(project, "base").search_space["units"]
    assert isinstance(default, IntRange)
    write(project, "local", "parameters", **{f"{space}.units": {"type": "int", "low": 60}})
    assert load_tuning(project, "local").search_space["units"] == default.model_copy(
        update={"low": 60}
    )
    choices = {"type": "categorical", "choices": [8, 16]}
    write(project, "local", "parameters", **{f"{space}.units": choices})
    # Part of a range of the earlier type, and a value from another file.
    write(project, "wide", "parameters", **{f"{space}.units": {"low": 10}})
    write(project, "local", "parameters_a", _rate={"type": "float", "low": 0.1, "high": 0.2})
    write(project, "local", "parameters_b", **{f"{space}.dropout_rate": "${_rate}"})
    for env in ("local", "fast", "wide"):
        found = load_tuning(project, env).search_space
        assert found["units"] == Choices(**choices)
        assert found["dropout_rate"] == FloatRange(type="float", low=0.1, high=0.2)
        assert found["optimizer"] == load_tuning(project, "base").search_space["optimizer"]


def test_what_is_given_comes_last(project: Path) -> None:
    write(project, "local", "parameters", **OWN)
    found = load(project, "fast,wide", **{"hyperparameters.epochs": 5, "split.test_fraction": 0.3})
    assert (found["hyperparameters.epochs"], found["split.test_fraction"]) == (5, 0.3)
    assert found["hyperparameters.units"] == 9


def test_a_project_needs_no_conf_local(project: Path) -> None:
    (project / "conf/local/parameters.yml").unlink()
    (project / "conf/local").rmdir()
    assert load(project, "fast")["hyperparameters.units"] == 8
    assert load(project, None) == load(project, "base")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "tuning:\n  n_trials: 3\n  patience 3\n",
            r"^\S+conf/local/parameters\.yml is not .*: could .* in line 4",
        ),
        ("tuning:\n\tseed: 1\n", r"parameters\.yml is not valid YAML: .*token in line 2$"),
        ("tuning: {seed: \x07}\n", r"conf/local is not valid YAML: unacceptable character"),
        ("tuning: {seed: 1}\ntuning: {}\n", r"conf/local is not .* duplicate key tuning in line 2"),
        ("- tuning\n", "conf/local is not a mapping: write names and values, as in 'name: value'"),
        ("tuning: {seed: '${sed}'}\n", r"value of tuning\.seed .* 'sed' not found .* stands"),
        ("tuning: {seed: '${sed'}\n", r"the value of tuning\.seed in conf/ cannot be read"),
        ("reviews: {labels: [n\xe9gatif]}\n", r"conf/local is not in UTF-8 .* save it as UTF-8"),
        (
            "tuning: {search_space: {units: [50, 100]}}\n",
            r"^tuning\.search_space\.units is a list in one place, and a group of names and values",
        ),
        ("hyperparameters: [a]\n", "^hyperparameters is a list in one place, and a group"),
        ("tuning: [1]\n", "^tuning is a list in one place, and a group"),
    ],
)
def test_a_mistake_in_a_file_is_told_in_one_line(text: str, problem: str, project: Path) -> None:
    (project / "conf/local/parameters.yml").write_text(text, encoding="latin-1")
    with pytest.raises(ClickException, match=problem) as error:
        run_session(project, "data_processing")
    assert "\n" not in str(error.value)


def test_a_list_instead_of_a_group_on_the_command_line_is_told(project: Path) -> None:
    with pytest.raises(ClickException, match=r"^tuning\.search_space is a list in one place, and"):
        run_session(project, "data_processing", tuning={"search_space": []})


def test_a_parameter_in_two_files_of_a_folder_is_told(project: Path) -> None:
    for name in ("parameters", "parameters_tuning"):
        write(project, "local", name, **{"tuning.n_trials": 3})
    says = r"Duplicate keys found in .*: tuning\.n_trials: set each of them in one file only$"
    with pytest.raises(ClickException, match=says):
        run_session(project, "data_processing")


def test_an_unknown_preset_is_told(project: Path) -> None:
    with pytest.raises(InputError, match="there is no preset 'bst' in conf/, which --env names"):
        load(project, "fast,bst")
    with pytest.raises(ClickException, match="there is no preset 'bst'"):
        run_session(project, "data_processing", env="bst")


def test_a_label_that_is_a_number_and_text_is_refused_in_one_line(project: Path) -> None:
    path = project / "conf/local/parameters.yml"
    path.write_text("training: {class_weight: {1: 2.0, 5: 1.0}}", encoding="utf-8")
    given = {"class_weight": {"1": 4}}  # as --params gives it
    with pytest.raises(ClickException, match=r"class_weight\.1 is set in two .* as in '1': …"):
        run_session(project, "data_processing", training=given)
    path.write_text("training: {class_weight: {'1': 2.0, '5': 1.0}}", encoding="utf-8")
    assert load(project, None, **{"training.class_weight.1": 4})["training.class_weight.1"] == 4


@pytest.mark.slow
def test_presets_and_the_users_own_settings_make_one_run(project: Path) -> None:
    write_csv(project / "data/01_raw/mine.csv", make_reviews(150, ("a", "b")), ("x", "y"))
    own = {"reviews.text_column": "x", "reviews.label_column": "y", "reviews.labels": ["b", "a"]}
    write(project, "local", "parameters", **own)
    write(project, "local", "globals", reviews_file="mine.csv")
    run_session(project, "data_processing", env="fast,wide")
    records = Lineage(project).read()
    assert records["train"].env == "fast,wide"
    assert records["review_settings"].parameters["reviews"]["labels"] == ["b", "a"]
    assert records["clean_reviews"].parameters["split"]["test_fraction"] == 0.5

    # A later run without --env uses the same presets, and names them when it is refused.
    with pytest.raises(ClickException, match=r"kedro run .*--env fast,wide "):
        run_session(project, "tuning", tokenizer={"vocabulary_size": 7})
