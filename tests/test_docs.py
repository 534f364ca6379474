"""What the documents show as Python is run as it stands."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import PROJECT

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
