"""The commands and the code in the documents, run as they are."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

from commands import (
    DOCUMENTS,
    find_commands,
    find_commands_of_ci,
    find_documented_commands,
    find_strings_of_tests,
)
from helpers import PATIENCE, PROJECT, run_shell
from imdb_sentiment.datasets import TableDataset
from imdb_sentiment.text.columns import find_label_column, find_text_column

SNIPPETS = [
    pytest.param(snippet, id=f"{path.name}, {number}")
    for path in DOCUMENTS
    for number, snippet in enumerate(
        re.findall(r"```python\n(.*?)```", path.read_text("utf-8"), re.S)
    )
]

EXTRAS = [
    f'pip install -e ".[{extra}]"'
    for extra in tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"][
        "optional-dependencies"
    ]
    if extra not in ("gpu", "mlflow", "peers")  # which requirements.txt does not have
]


def test_commands_are_found_in_blocks_and_sentences() -> None:
    text = """
The command `kedro run
--env imdb` and `kedro viz` in a sentence.

```bash
make run    # a comment
dask scheduler &
# a comment of its own
export A=1 &&  kedro run # another
```

```python
kedro = "kedro run"
```
"""
    assert find_commands(text) == {
        "kedro run --env imdb",
        "make run",
        "dask scheduler",
        "export A=1 && kedro run",
    }
    assert len(find_documented_commands()) > 30


def test_each_documented_run_is_in_a_test() -> None:
    """Say so within minutes; whether it has been run, only `make test-all` can tell."""
    strings = find_strings_of_tests()
    runs = {command for command in find_documented_commands() if command.startswith("kedro")}
    assert len(runs) > 20
    missing = [
        run
        for run in runs - find_commands_of_ci()
        if not any(re.search(rf"{re.escape(run)}\s*(?:$|['\";&|)])", string) for string in strings)
    ]
    assert missing == []


@pytest.mark.slow
@pytest.mark.parametrize("processes", [0, 1])
def test_a_documented_command_that_was_not_run_fails_the_run(processes: int) -> None:
    """Check the commands with this word, as `make test-all` does."""
    this = f"{__file__}::test_commands_are_found_in_blocks_and_sentences"
    options = ["-p", "no:cacheprovider", f"--numprocesses={processes}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--check-commands=kedro viz", this],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed" in done.stdout
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "no test has run:\n  kedro viz run\n" in done.stdout


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """Return a project without an environment, and settings with which pip does nothing."""
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, tmp_path)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PROJECT / "src", tmp_path / "src", ignore=ignored)
    return tmp_path


# The pins include every dependency, so pip needs no index and installs nothing.
PIP = {"PIP_DRY_RUN": "1", "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}


@pytest.mark.slow
@pytest.mark.skipif(bool(find_spec("mlflow")), reason="with MLflow, there are other pins")
def test_the_plain_commands_make_the_environment(bare: Path) -> None:
    run_shell(bare, "python3 -m venv .venv")
    assert (bare / ".venv/bin/pip").exists()
    shutil.rmtree(bare / ".venv")
    (bare / ".venv").symlink_to(sys.prefix)
    pins = run_shell(
        bare,
        ".venv/bin/python -m pip install --require-hashes -r requirements.txt",
        environment=PIP,
    )
    assert pins.count("Requirement already satisfied") > 100
    assert "Would install" not in pins
    project = run_shell(
        bare, ".venv/bin/python -m pip install --no-deps --no-build-isolation -e .", environment=PIP
    )
    assert re.search(r"^Would install imdb-sentiment-\S+$", project, re.M)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["pip install -e .", *EXTRAS])
def test_it_installs_with_an_extra_or_without(command: str, bare: Path) -> None:
    output = run_shell(bare, command, environment=PIP)
    assert "does not provide the extra" not in output
    assert re.search(r"^Would install imdb-sentiment-\S+$", output, re.M)


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_runs(snippet: str, model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "data/06_models").mkdir(parents=True)
    shutil.copy(model_file, tmp_path / "data/06_models/model.onnx")
    subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path, check=True, timeout=PATIENCE)


def test_a_nested_table_is_flattened_as_the_document_has_it(tmp_path: Path) -> None:
    text = (PROJECT / "docs/data.md").read_text("utf-8")
    _, snippet = re.findall(r"```py\n(.*?)```", text, re.S)
    (tmp_path / "data/01_raw").mkdir(parents=True)
    lines = [
        {"review": {"body": f"ein schöner Film {n}"}, "meta": {"rating": n % 2}} for n in range(9)
    ]
    nested = "".join(f"{json.dumps(line)}\n" for line in lines)
    (tmp_path / "data/01_raw/nested.jsonl").write_text(nested, encoding="utf-8")
    subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path, check=True, timeout=PATIENCE)
    (rows,) = TableDataset(filepath=str(tmp_path / "data/01_raw/flat.jsonl")).load()
    assert find_text_column(rows).column == "review.body"
    assert find_label_column(rows, ["review.body"]).column == "meta.rating"


def test_titles_are_joined_as_the_document_has_it(tmp_path: Path) -> None:
    snippet, _ = re.findall(r"```py\n(.*?)```", (PROJECT / "docs/data.md").read_text("utf-8"), re.S)
    (tmp_path / "data/01_raw").mkdir(parents=True)
    lines = "title,body,stars\nGreat,A superb film,5\n,Awful,1\n"
    (tmp_path / "data/01_raw/reviews.csv").write_text(lines, encoding="utf-8")
    subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path, check=True, timeout=PATIENCE)
    joined = pd.read_csv(tmp_path / "data/01_raw/joined.csv")
    assert joined["body"].tolist() == ["Great. A superb film", "Awful"]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_nothing_is_left_to_be_filled_in(path: Path) -> None:
    assert not re.search(r"TODO|FIXME|XXX|<<<<<<<", path.read_text("utf-8"))


def test_there_are_snippets() -> None:
    assert len(SNIPPETS) >= 2


@pytest.mark.slow
def test_a_pipeline_is_added_as_the_document_has_it(
    copy_of_finished: Path,
) -> None:
    project = copy_of_finished
    text = (PROJECT / "docs/architecture.md").read_text("utf-8")
    files = re.findall(r"^`([\w/]+\.\w+)`:\n\n```\w+\n(.*?)```", text, re.M | re.S)
    assert len(files) == 3
    for name, content in files:
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(content)
    run_shell(project, "kedro run --pipelines lengths")  # with the src of this project
    lengths = pd.read_csv(project / "data/08_reporting/lengths.csv")
    assert lengths["code"].tolist() == [0, 1, 2]
    assert lengths["words"].between(8, 10).all()  # three words, five fillers, a number
