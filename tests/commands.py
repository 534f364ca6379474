"""The commands in the documents, and which of them the tests have run.

`run_shell`, `run_kedro` and `run_server` record the commands that they receive, as documented. At
the end of `pytest --check-commands`, conftest.py compares these with the documents; the session
fails if a documented command has not been run.
"""

import ast
import os
import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

PROJECT = Path(__file__).parents[1]
DOCUMENTS = (PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md")))

RUN: set[str] = set()


def split_commands(text: str) -> set[str]:
    """Return the commands in lines of bash, without comments and repeated spaces."""
    lines = [re.split(r"(?:^|\s+)#\s|\s+&$", line)[0] for line in text.splitlines()]
    return {re.sub(r"\s+", " ", line).strip() for line in lines} - {""}


def find_commands(text: str) -> set[str]:
    """Return the lines of a document's bash blocks, and the runs of Kedro in its sentences."""
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.S | re.M)
    sentences = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    runs = re.findall(r"`((?:kedro run|pip install -e)\b[^`…]*)`", sentences)
    runs = [re.sub(r"\s+", " ", run) for run in runs]  # a sentence may break the line
    return split_commands("\n".join([*blocks, *runs]))


def find_documented_commands() -> set[str]:
    """Return the commands of all documents."""
    return set().union(*(find_commands(path.read_text("utf-8")) for path in DOCUMENTS))


def find_strings_of_tests() -> list[str]:
    """Return the strings in the code of the tests, without repeated spaces."""
    return [
        re.sub(r"\s+", " ", node.value)
        for path in sorted((PROJECT / "tests").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def find_commands_of_ci() -> set[str]:
    """Return the calls of make in .ci/run, and the commands that make then runs."""
    lines = re.findall(r"^make .*", (PROJECT / ".ci/run").read_text("utf-8"), re.M)
    targets = {word for line in lines for word in line.split()[1:] if "=" not in word}
    done = subprocess.run(
        ["make", "--dry-run", *sorted(targets)],
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"]},  # without the variables of a make that runs the tests
        capture_output=True,
        text=True,
        check=True,
    )
    run = {line.strip() for line in done.stdout.splitlines()}
    with_environment_active = {line.removeprefix(".venv/bin/") for line in run}
    return {f"make {target}" for target in targets} | run | with_environment_active


def find_missing(word: str) -> list[str]:
    """Return the documented commands with `word` that have not been run.

    Commands with MLflow are only expected where it is installed; the libraries of a GPU, which take
    gigabytes, are not installed anywhere.
    """
    expected = find_documented_commands() - find_commands_of_ci() - RUN
    left_out = {"[gpu]"} if find_spec("mlflow") else {"[gpu]", "mlflow"}
    expected = {
        command for command in expected if not any(name in command.lower() for name in left_out)
    }
    return sorted(command for command in expected if word in command.lower())
