"""The tables of docs/architecture.md against the code that they describe."""

import ast
import itertools
import re
import tomllib
from collections import defaultdict
from pathlib import Path

from helpers import PROJECT

SOURCE = PROJECT / "src/imdb_sentiment"
TEXT = (PROJECT / "docs/architecture.md").read_text("utf-8")


def find_names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def find_imports(path: Path) -> set[str]:
    """Return the names directly below the package that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            # In `from imdb_sentiment import pipelines`, the subpackage is the imported name.
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    parts = (name.split(".") for name in found)
    return {below[0] for package, *below in parts if package == "imdb_sentiment" and below}


def test_every_form_of_an_import_is_found(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "import numpy\nimport imdb_sentiment.text.words\nfrom imdb_sentiment import pipelines\n"
        "def late():\n    from imdb_sentiment.network.layers import Layer\n"
    )
    assert find_imports(module) == {"text", "pipelines", "network"}


def test_subpackages_import_only_what_the_table_allows() -> None:
    section = TEXT.split("## Subpackages")[1].split("## ")[0]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
    subpackages = {
        name.strip("/").removesuffix(".py") for row in rows for name in find_names(row[0])
    }
    imported: defaultdict[str, set[str]] = defaultdict(set)
    for path in SOURCE.rglob("*.py"):
        subpackage = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        imported[subpackage] |= find_imports(path) - {"__version__"}
    for row in rows:
        allowed = set(find_names(row[2]))
        if row[2].startswith("everything except"):
            allowed = subpackages - allowed
        for name in find_names(row[0]):
            subpackage = name.strip("/").removesuffix(".py")
            assert imported[subpackage] <= allowed | {subpackage}, subpackage


def test_answers_name_what_exists() -> None:
    section = TEXT.split("## Where to find what")[1].split("## ")[0]
    found = re.findall(r"`(\w+)` in `([\w/]+\.py)`", section)
    assert len(found) > 10
    for name, path in found:
        defined = {
            node.name
            for node in ast.parse((SOURCE / path).read_text("utf-8")).body
            if isinstance(node, (ast.FunctionDef, ast.ClassDef))
        }
        assert name in defined, (name, path)


def test_the_dependencies_are_those_of_the_project() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    required, optional = (
        {re.split(r"[^\w-]", line)[0].lower() for line in lines}
        for lines in (project["dependencies"], itertools.chain(*extras.values()))
    )
    section = TEXT.split("## Dependencies")[1].split("## ")[0]
    cells = re.findall(r"^\| (.*?) \|", section, re.M)[2:]
    for extra in re.findall(r"extra `([\w-]+)`", section):
        assert extra in extras
    listed = {name for cell in cells for name in re.sub(r" \(.*?\)", "", cell).split(", ")}
    assert required <= listed
    assert listed <= required | optional
