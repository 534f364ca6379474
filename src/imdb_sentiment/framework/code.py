"""The digest of the code that a node uses.

A change of a function should make only those nodes run again that use it. So the code of a node is
its function, and all functions, classes and constants of this package that the function uses,
directly or through others. They are found in the source by their names: code that contains a name
that its module defines or imports is taken to use it.
"""

import ast
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import resolve_name
from pathlib import Path

ALL = "*"  # stands for all names of a module

# Full name of a module, and a name in it.
Name = tuple[str, str]


@dataclass(frozen=True)
class _Statement:
    """A statement at the top level of a module.

    Attributes:
        imports: Names that it imports, also inside a function.
        words: All words in its source, without docstrings. An import at the top level has none.
        digest: SHA-256 of this source, and of the templates that it names.

    """

    imports: tuple[Name, ...]
    words: frozenset[str] = frozenset()
    digest: bytes = b""


@dataclass(frozen=True)
class _Module:
    """The statements of a module.

    Attributes:
        definitions: Statements that define or import a name, by this name.
        rest: All other statements. They count whatever is used of the module.

    """

    definitions: dict[str, list[_Statement]] = field(default_factory=dict)
    rest: list[_Statement] = field(default_factory=list)

    def add(self, names: list[str], statement: _Statement) -> None:
        """Add a statement that defines some names, or none."""
        for name in names:
            self.definitions.setdefault(name, []).append(statement)
        if not names:
            self.rest.append(statement)

    def select(self, name: str) -> Iterator[_Statement]:
        """Yield the statements that count for a name; without a definition, all."""
        yield from self.rest
        known = [name] if name in self.definitions else self.definitions
        for key in known:
            yield from self.definitions[key]


class PackageCode:
    """The source of a package, read when it is first asked for.

    Args:
        root: Folder of the package.

    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._modules: dict[str, _Module] = {}
        self._digests: dict[Name, str] = {}

    def digest(self, module: str, name: str) -> str:
        """Return the digest of a function or class and of all that it uses from the package.

        Docstrings do not count. The files of a pipeline that are not Python, such as templates,
        count if the code of the pipeline that is used contains the name of their folder.

        Args:
            module: Full name of its module. A module of another package has the digest of nothing.
            name: Its name. If the module does not define it, the whole module counts.

        """
        if (module, name) not in self._digests:
            digest = hashlib.sha256(b"".join(sorted(self._collect(module, name))))
            self._digests[module, name] = digest.hexdigest()
        return self._digests[module, name]

    def _collect(self, module: str, name: str) -> set[bytes]:
        """Return the digests of all statements that count."""
        found: set[bytes] = set()
        seen = {(module, name)}
        waiting = [(module, name)]
        while waiting:
            module, name = waiting.pop()
            parsed = self._read(module)
            for statement in parsed.select(name):
                found.add(statement.digest)
                words = statement.words & parsed.definitions.keys()
                used = {*statement.imports, *((module, word) for word in words)} - seen
                seen |= used
                waiting += used
        return found

    def _read(self, module: str) -> _Module:
        """Return the statements of a module; none if it is of another package."""
        if module not in self._modules:
            path = self._find_file(module)
            self._modules[module] = self._parse(path, module) if path else _Module()
        return self._modules[module]

    def _find_file(self, module: str) -> Path | None:
        """Return the file of a module; None if it is of another package, or another name."""
        package, *parts = module.split(".")
        if package != self._root.name:
            return None
        path = self._root.joinpath(*parts)
        return next(filter(Path.is_file, (path.with_suffix(".py"), path / "__init__.py")), None)

    def _parse(self, path: Path, module: str) -> _Module:
        """Return the statements of a module; of an import at the top level, one for each name."""
        parsed = _Module()
        source = path.read_text(encoding="utf-8")
        lines = source.split("\n")
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        templates = self._read_templates(path)
        for node in ast.parse(source).body:
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue  # a docstring
            text = _cut_docstrings(node, lines)
            words = frozenset(re.findall(r"[^\W\d]\w*", text))
            names = _list_imports(node, package) if "import" in words else []
            imports = tuple(map(self._find_module, names))
            if isinstance(node, ast.ImportFrom):
                for alias, name in zip(node.names, imports, strict=True):
                    parsed.add([alias.asname or alias.name], _Statement((name,)))
            elif isinstance(node, ast.Import):
                parsed.add([], _Statement(imports))
            else:
                named = (content for folder, content in templates if folder in words)
                digest = hashlib.sha256(b"".join([text.encode(), *named])).digest()
                parsed.add(_list_defined(node), _Statement(imports, words, digest))
        return parsed

    def _find_module(self, name: Name) -> Name:
        """Return all of a module if that is what `from … import name` imports."""
        module = ".".join(name)
        return (module, ALL) if self._find_file(module) else name

    def _read_templates(self, path: Path) -> list[tuple[str, bytes]]:
        """Return folder and content of the files in a module's pipeline that are not Python."""
        pipelines = self._root / "pipelines"
        if not path.is_relative_to(pipelines) or path.parent == pipelines:
            return []
        pipeline = pipelines / path.relative_to(pipelines).parts[0]
        files = (file for file in sorted(pipeline.rglob("*")) if file.is_file())
        others = (file for file in files if file.suffix not in (".py", ".pyc"))
        return [(file.parent.name, file.read_bytes()) for file in others]


def _list_imports(node: ast.stmt, package: str) -> list[Name]:
    """Return the names that a statement imports, also inside a function."""
    found: list[Name] = []
    for part in ast.walk(node):
        if isinstance(part, ast.Import):
            found += ((alias.name, ALL) for alias in part.names)
        elif isinstance(part, ast.ImportFrom):
            module = resolve_name("." * part.level + (part.module or ""), package)
            found += ((module, alias.name) for alias in part.names)
    return found


def _list_defined(node: ast.stmt) -> list[str]:
    """Return the names that a definition or an assignment defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if not isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        return []
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    parts = (part for target in targets for part in ast.walk(target))
    return [part.id for part in parts if isinstance(part, ast.Name) and type(part.ctx) is ast.Store]


def _cut_docstrings(node: ast.stmt, lines: list[str]) -> str:
    """Return the source of a statement without its docstring and those of its methods."""
    first = min(part.lineno for part in (node, *getattr(node, "decorator_list", ())))
    kept = set(range(first, (node.end_lineno or first) + 1))
    for part in (node, *getattr(node, "body", ())):
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            docstring = part.body[0]
            if ast.get_docstring(part, clean=False) is not None:
                kept -= set(range(docstring.lineno, (docstring.end_lineno or 0) + 1))
    return "\n".join(lines[number - 1] for number in sorted(kept))
