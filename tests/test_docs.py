"""What the documents show in blocks of Python or bash is run as it stands."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

from helpers import PROJECT, run_shell

SNIPPETS = [
    pytest.param(snippet, id=f"{path.name}, {number}")
    for path in (PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md")))
    for number, snippet in enumerate(
        re.findall(r"```python\n(.*?)```", path.read_text("utf-8"), re.S)
    )
]


def find_commands(text: str) -> set[str]:
    """Return the lines of a document's bash blocks, and the runs of Kedro in its sentences."""
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.S | re.M)
    lines = [line.split("  #")[0].split(" # ")[0] for line in "".join(blocks).splitlines()]
    sentences = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    runs = re.findall(r"`((?:kedro run|pip install -e)\b[^`…]*)`", sentences)
    return {re.sub(r"\s+", " ", command).strip() for command in (*lines, *runs)} - {""}


COMMANDS = set().union(
    *(
        find_commands(path.read_text("utf-8"))
        for path in (PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md")))
    )
)
# MLflow alone is not in requirements.txt.
EXTRAS = {
    f'pip install -e ".[{extra}]"'
    for extra in tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"][
        "optional-dependencies"
    ]
    if extra != "mlflow"
}


def run_by_ci() -> set[str]:
    """Return what .ci/run gives to make, and what make makes of it."""
    made = set(re.findall(r"^make .*", (PROJECT / ".ci/run").read_text("utf-8"), re.M))
    dry = run_shell(PROJECT, "\n".join(f"{command} --dry-run" for command in sorted(made)))
    return made | set(dry.splitlines())


def run_by_tests() -> set[str]:
    """Return the lines that stand as they are in the tests that give some to a shell."""
    lines = set()
    for path in (PROJECT / "tests").rglob("*.py"):
        for function in ast.parse(path.read_text("utf-8")).body:
            parts = list(ast.walk(function))
            called = {ast.unparse(part.func) for part in parts if isinstance(part, ast.Call)}
            if called & {"run_shell", "run_server"}:
                strings = [part.value for part in parts if isinstance(part, ast.Constant)]
                lines |= {line for some in strings for line in str(some).splitlines()}
    return lines


def test_every_command_is_run() -> None:
    assert len(COMMANDS) > 30
    assert COMMANDS - EXTRAS - run_by_ci() - run_by_tests() == set()


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """Return a project without an environment, and pip's settings to change nothing."""
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, tmp_path)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PROJECT / "src", tmp_path / "src", ignore=ignored)
    return tmp_path


# The pins have all that is named, so pip needs no index, and has nothing to do.
PIP = {"PIP_DRY_RUN": "1", "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}


@pytest.mark.skipif(bool(find_spec("mlflow")), reason="with MLflow, there are other pins")
def test_the_plain_commands_make_the_environment(bare: Path) -> None:
    run_shell(bare, "python3 -m venv .venv")
    assert (bare / ".venv/bin/pip").exists()
    shutil.rmtree(bare / ".venv")
    (bare / ".venv").symlink_to(sys.prefix)
    pins = run_shell(
        bare, ".venv/bin/python -m pip install --require-hashes -r requirements.txt", **PIP
    )
    assert pins.count("Requirement already satisfied") > 100
    assert "Would install" not in pins
    project = run_shell(
        bare, ".venv/bin/python -m pip install --no-deps --no-build-isolation -e .", **PIP
    )
    assert re.search(r"^Would install imdb-sentiment-\S+$", project, re.M)


@pytest.mark.parametrize("command", ["pip install -e .", *sorted(EXTRAS)])
def test_it_installs_with_an_extra_or_without(command: str, bare: Path) -> None:
    output = run_shell(bare, command, **PIP)
    assert "does not provide the extra" not in output
    assert re.search(r"^Would install imdb-sentiment-\S+$", output, re.M)


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_runs(snippet: str, model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "data/06_models").mkdir(parents=True)
    shutil.copy(model_file, tmp_path / "data/06_models/model.onnx")
    subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path, check=True, timeout=60)


def test_there_are_snippets() -> None:
    assert len(SNIPPETS) >= 2


def test_a_pipeline_is_added_as_the_document_has_it(
    finished: tuple[Path, str], tmp_path: Path
) -> None:
    project = shutil.copytree(finished[0], tmp_path / "project")
    text = (PROJECT / "docs/architecture.md").read_text("utf-8")
    files = re.findall(r"^`([\w/]+\.\w+)`:\n\n```\w+\n(.*?)```", text, re.M | re.S)
    assert len(files) == 3
    for name, content in files:
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(content)
    run_shell(project, "kedro run --pipelines lengths")
    lengths = pd.read_csv(project / "data/08_reporting/lengths.csv")
    assert lengths["code"].tolist() == [0, 1, 2]
    assert lengths["words"].between(8, 10).all()  # three words, five fillers, a number
