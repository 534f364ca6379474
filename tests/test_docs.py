"""What the documents show as Python is run as it stands."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from helpers import PROJECT, kedro

SNIPPETS = [
    pytest.param(snippet, id=f"{path.name}, {number}")
    for path in (PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md")))
    for number, snippet in enumerate(
        re.findall(r"```python\n(.*?)```", path.read_text("utf-8"), re.S)
    )
]


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
    done = kedro(project, "run", "--pipelines", "lengths")
    assert done.returncode == 0, done.stdout
    lengths = pd.read_csv(project / "data/08_reporting/lengths.csv")
    assert lengths["code"].tolist() == [0, 1, 2]
    assert lengths["words"].between(8, 10).all()  # three words, five fillers, a number
