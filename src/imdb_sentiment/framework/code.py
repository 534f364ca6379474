"""The digest of the code that a node uses."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = "imdb_sentiment"
ROOT = Path(__file__).parents[1]
PIPELINES = ROOT / "pipelines"


@cache
def digest_code(module: str) -> str:
    """Return the digest of a module and of all that it imports from this package.

    Imports within functions count. For the module of a pipeline, so do the files of the pipeline
    that are not Python, such as templates. A module outside this package has the digest of nothing.

    Args:
        module: Full name of the module of a node's function.

    """
    files: set[Path] = set()
    waiting = [_find_file(module)]
    while waiting:
        path = waiting.pop()
        if path is not None and path not in files:
            files.add(path)
            waiting += map(_find_file, _find_imports(path))
    for path in tuple(files):
        files.update(_find_other_files(path))
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _find_file(module: str) -> Path | None:
    """Return the file of a module of this package; None if it is another name."""
    package, *parts = module.split(".")
    path = ROOT.joinpath(*parts)
    if package != PACKAGE:
        return None
    return next(filter(Path.is_file, (path.with_suffix(".py"), path / "__init__.py")), None)


def _find_imports(path: Path) -> Iterator[str]:
    """Yield the names that a module imports: of modules, and of what may be one."""
    for statement in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            yield statement.module
            yield from (f"{statement.module}.{alias.name}" for alias in statement.names)


def _find_other_files(path: Path) -> Iterator[Path]:
    if path.is_relative_to(PIPELINES) and path.parent != PIPELINES:
        pipeline = PIPELINES / path.relative_to(PIPELINES).parts[0]
        for other in pipeline.rglob("*"):
            if other.is_file() and other.suffix not in (".py", ".pyc"):
                yield other
