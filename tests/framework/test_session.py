"""The command with which a run that was refused would begin."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from click import ClickException
from kedro.framework.hooks import hook_impl
from kedro.framework.project import settings
from kedro.framework.startup import bootstrap_project

from helpers import kedro, make_project, run_session
from imdb_sentiment import command_line
from imdb_sentiment.errors import InputError
from imdb_sentiment.framework.session import repeat_command


@pytest.mark.parametrize(
    ("typed", "parameters", "repeated"),
    [
        ("run", {"reviews_encoding": "cp1252"}, "run --params reviews_encoding=cp1252"),
        (
            "run --params reviews_encoding=utf-16,reviews_file='my table.csv' --pipelines tuning",
            {"reviews_encoding": "cp1252"},
            "run --pipelines tuning --params 'reviews_file=my table.csv,reviews_encoding=cp1252'",
        ),
        (
            "run --params=a.b=1 --env best",
            {"split.group_column": None, "reviews.text_column": "body"},
            "run --env best --params a.b=1,split.group_column=null,reviews.text_column=body",
        ),
        ("run", {"reviews.text_column": "one, two"}, None),
    ],
)
def test_a_command_is_repeated_with_other_parameters(
    typed: str, parameters: dict[str, str | None], repeated: str | None
) -> None:
    assert repeat_command(shlex.split(typed), parameters) == repeated


def test_commands_are_quoted_for_the_shells_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "IS_WINDOWS", True)
    typed = ["run", "--pipelines", "tuning,reporting", "--params", r"reviews_file=C:\my\a.csv"]
    assert repeat_command(typed, {"split.seed": 1}) == (
        r'run --pipelines "tuning,reporting" --params "reviews_file=C:\my\a.csv,split.seed=1"'
    )
    assert repeat_command(["run"], {"split.seed": 1}) == "run --params split.seed=1"


def test_credentials_that_are_missing_are_named(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    (project / "conf/local/catalog.yml").write_text(
        "study_storage:\n  type: imdb_sentiment.datasets.OptunaStorageDataset\n"
        "  url: postgresql+psycopg://HOST/NAME\n  credentials: my_database\n"
    )
    says = "names the credentials 'my_database': add them to conf/local/credentials.yml"
    with pytest.raises(ClickException, match=says):
        run_session(project, "tuning")


class FailingHook:
    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.is_closed = False

    @hook_impl
    def before_pipeline_run(self) -> None:
        raise self.error

    def close(self) -> None:
        self.is_closed = True
        raise OSError("no server to tell")


@pytest.mark.parametrize(
    ("error", "raised"),
    [(KeyboardInterrupt(), KeyboardInterrupt), (InputError("no server"), ClickException)],
)
def test_every_hook_is_closed_if_a_run_does_not_begin(
    error: BaseException,
    raised: type[BaseException],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project = make_project(tmp_path)
    bootstrap_project(project)
    hooks = [FailingHook(error), FailingHook(error)]
    monkeypatch.setattr(settings, "HOOKS", [*settings.HOOKS, *hooks])
    with settings.SESSION_CLASS.create(project) as session, pytest.raises(raised):
        session.run(pipeline_names=["tuning"])
    assert all(hook.is_closed for hook in hooks)


@pytest.mark.parametrize(
    "selection",
    [
        {"node_names": ["nodes.nope"]},
        {"tags": ["nope"]},
        {"from_nodes": ["nope"]},
        {"to_outputs": ["nope"]},
        {"namespaces": ["nope"]},
    ],
)
def test_nodes_that_there_are_not_are_refused_in_one_line(
    selection: dict[str, Any], tmp_path: Path
) -> None:
    project = make_project(tmp_path)
    bootstrap_project(project)
    with (
        pytest.raises(ClickException, match=r"Pipeline (does not contain|contains no)"),
        settings.SESSION_CLASS.create(project) as session,
    ):
        session.run(pipeline_names=["tuning"], **selection)


def test_parameters_that_kedro_would_ignore_are_refused(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    given = ["--params", "split.seed=1", "--params=tuning.n_trials=3"]
    done = kedro(project, "run", "--pipelines", "data_processing", *given)
    assert done.returncode == 1
    assert "--params is given twice: join the parameters with commas" in done.stdout


@pytest.mark.parametrize(
    ("timeout", "advice"),
    [
        (None, "To go on, repeat the command with --only-missing-outputs"),
        (
            9,
            "To go on, repeat the command with --only-missing-outputs (which does not continue a "
            "search that tuning.timeout has ended before)",
        ),
    ],
)
def test_after_ctrl_c_the_command_that_goes_on_is_named(
    timeout: int | None,
    advice: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    project = make_project(tmp_path)
    bootstrap_project(project)
    monkeypatch.setattr("kedro.framework.session.KedroSession.run", interrupt)
    given = {"tuning": {"timeout": timeout}}
    with (
        settings.SESSION_CLASS.create(project, runtime_params=given) as session,
        pytest.raises(KeyboardInterrupt),
    ):
        session.run(pipeline_names=["tuning"])
    assert caplog.messages[-1] == advice


def test_a_refusal_names_the_command_of_the_place(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    bootstrap_project(project)

    def refuse(command: str) -> None:
        advice = rf"makes it first: {command} --pipelines data_processing$"
        with (
            pytest.raises(ClickException, match=advice),
            settings.SESSION_CLASS.create(project) as session,
        ):
            session.run(pipeline_names=["label_check"])

    refuse("kedro run")
    (project / "pyproject.toml").unlink()  # as where the package runs
    refuse("imdb-sentiment")
