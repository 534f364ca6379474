"""Records of what each dataset in data/ was made from, and whether they still hold.

`data/lineage.json` has a record for each dataset that a run has saved: the digest of its content,
the node that made it, the digests of that node's inputs, and its parameters. A dataset is stale if
its file has changed since, if an input now has another content, or if a parameter now has another
value; or if one of its inputs is stale. This is how build systems such as Bazel and DVC decide what
to make again.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsspec.core import has_magic, split_protocol, strip_protocol
from fsspec.implementations.local import LocalFileSystem
from pydantic import BaseModel, ConfigDict, ValidationError

from imdb_sentiment.datasets.atomic import atomic_write
from imdb_sentiment.datasets.base import list_files
from imdb_sentiment.errors import InputError
from imdb_sentiment.framework.locks import hold_lock

FILE = Path("data/lineage.json")
NO_FILE = "none"  # digest of a file that is not set, such as `unlabelled_file: null`
MISSING = object()
_PLAIN = re.compile(r"[^.,=\[\]]+")  # a key that can be a part of a dotted name


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Input(_Model):
    """A file that a node has read.

    Attributes:
        path: Path of the file, relative to the project if it lies inside; None if no file is set.
        digest: SHA-256 of its content.
        options: Digest of the catalog's entry of a file of the user, which says how it is read.

    """

    path: str | None
    digest: str
    options: str = ""


class Record(_Model):
    """The record of what a dataset was made from.

    Attributes:
        path: Path of its file, relative to the project if it lies inside.
        version: Version of the file, if the catalog says `versioned: true`; else empty.
        digest: SHA-256 of its content.
        node: Full name of the node that made it.
        outputs: Names of all datasets that the node made together with it.
        inputs: Files that the node has read, by the name of the dataset. A dataset that is only
            kept in memory is replaced by those that it was made from.
        parameters: Value of each parameter of the node, by its name.
        given: Dotted names of the parameters that were passed with `--params`, to this run or to
            the run that made the inputs.
        settings: Values that the catalog has read with `runtime_params`, from either run, by name.
        env: Name of the environment in conf/.
        code: Digest of the definitions in the project's source that the node uses.
        run: Id of the run.
        time: Time at which it was saved, in ISO format, UTC.

    """

    path: str
    digest: str
    node: str
    outputs: tuple[str, ...]
    inputs: dict[str, Input]
    parameters: dict[str, Any]
    given: tuple[str, ...]
    settings: dict[str, Any] = {}
    version: str = ""
    env: str
    code: str
    run: str
    time: str


class _File(_Model):
    size: int
    modified_ns: int
    digest: str


class _Content(_Model):
    records: dict[str, Record] = {}
    files: dict[str, _File] = {}  # digests that need not be computed again
    versions: dict[str, dict[str, str]] = {}  # of packages, by the id of the run


class Lineage:
    """The records of a project, in `data/lineage.json`.

    Args:
        project: The project's folder.

    """

    def __init__(self, project: Path) -> None:
        self._project = project
        self._path = project / FILE
        self._known: dict[str, _File] = {}
        self._parts: set[str] = set()  # files in folders and of patterns

    def read(self) -> dict[str, Record]:
        """Return the records by the name of the dataset; none if there is no file.

        Raises:
            InputError: The file is damaged, or another version of the project has written it.

        """
        content = self._read()
        self._known = {**content.files, **self._known}
        return content.records

    def add(self, name: str, record: Record, versions: dict[str, str]) -> None:
        """Write the record of a dataset that has just been saved."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with hold_lock(self._path.with_suffix(".json.lock")):
            content = self._read()
            records = {**content.records, name: record}
            runs = {**content.versions, record.run: versions}
            used = {kept.run for kept in records.values()}
            paths = {path for kept in records.values() for path in _list_paths(kept)} | self._parts
            files = {**content.files, **self._known}
            new = _Content(
                records=dict(sorted(records.items())),
                files={path: files[path] for path in sorted(paths & set(files))},
                versions={run: runs[run] for run in sorted(used & set(runs))},
            )
            with atomic_write(self._path) as partial:
                partial.write_text(new.model_dump_json(indent=1), encoding="utf-8")

    def _read(self) -> _Content:
        try:
            return _Content.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return _Content()
        except ValidationError as error:
            raise InputError(
                f"{self._path} is damaged, or another version of this project has written it: "
                "delete it, and run everything again with kedro run"
            ) from error

    def name_path(self, path: str | Path) -> str:
        """Return a path in the form of the records: relative to the project if it lies inside."""
        if split_protocol(str(path))[0] in LocalFileSystem.protocol:
            path = strip_protocol(str(path))
        if "://" in str(path):
            return str(path)
        absolute = Path(os.path.normpath(self._project / path))
        inside = absolute.is_relative_to(self._project)
        return (absolute.relative_to(self._project) if inside else absolute).as_posix()

    def digest_output(self, path: str | None) -> str | None:
        """Return `digest` of an output of a run; None for a folder, which may lose files."""
        is_file = path is None or "://" in path or (self._project / path).is_file()
        return self.digest(path) if is_file else None

    def digest(self, path: str | None) -> str | None:
        """Return the digest of a file, a folder or a pattern, or None if it does not exist.

        A file is read only if its size or the time of its last change are not those of the records.
        In a folder, hidden files and folders do not count, as in a table.

        Args:
            path: Path from `name_path`; None for a file that is not set. The content of a file on
                another machine is not read.

        """
        if path is None or "://" in path:
            return None if path else NO_FILE
        absolute = self._project / path
        if absolute.is_dir():
            return self._digest_parts(absolute, list_files(LocalFileSystem(), absolute.as_posix()))
        if has_magic(path) and not absolute.exists():
            found = list_files(LocalFileSystem(), absolute.as_posix())
            return self._digest_parts(self._project, found) if found else None
        return self._digest_file(path)

    def _digest_parts(self, root: Path, paths: Iterable[str]) -> str:
        """Return the digest of the names, relative to `root`, and contents of several files."""
        digests = {}
        for path in map(Path, paths):
            name = self.name_path(path)
            self._parts.add(name)
            is_near = path.drive == root.drive  # on Windows, no other drive has a relative path
            digests[os.path.relpath(path, root) if is_near else name] = self._digest_file(name)
        return digest_value(digests)

    def _digest_file(self, path: str) -> str | None:
        absolute = self._project / path
        try:
            status = absolute.stat()
        except FileNotFoundError:
            return None
        known = self._known.get(path)
        if known and (known.size, known.modified_ns) == (status.st_size, status.st_mtime_ns):
            return known.digest
        with absolute.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._known[path] = _File(
            size=status.st_size, modified_ns=status.st_mtime_ns, digest=digest
        )
        return digest


def _list_paths(record: Record) -> set[str]:
    paths = {record.path, *(found.path for found in record.inputs.values())}
    return {path for path in paths if path is not None}


def find_upstream(records: Mapping[str, Record], names: Iterable[str]) -> dict[str, Record]:
    """Return the records of datasets and of all that they were made from, by name."""
    found: dict[str, Record] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in records and name not in found:
            found[name] = records[name]
            waiting += found[name].inputs
    return found


def digest_value(value: Any) -> str:
    """Return the SHA-256 of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted name and the value of each single parameter in nested ones.

    The weights of labels are one value if one of them, such as `Node.js`, can't be in such a name.
    """
    is_group = isinstance(value, Mapping) and all(_PLAIN.fullmatch(str(key)) for key in value)
    if not prefix or (is_group and value):
        for key, part in value.items():
            yield from flatten(part, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


@dataclass(frozen=True)
class Reason:
    """Why a dataset is stale.

    Attributes:
        record: The record of the dataset.
        text: The reason, as the beginning of a sentence.

    """

    record: Record
    text: str


class Staleness:
    """Which datasets are stale, and why.

    Args:
        records: Records from `Lineage.read`.
        digest: Function that returns the present digest of a path, or None if there is no such
            file: `Lineage.digest`.
        digest_output: The same for the output of a run: `Lineage.digest_output`.
        parameters: Function that returns the present value of a parameter, such as `split` or
            `hyperparameters.units`; None if there is no such parameter.
        tolerated: Pairs of a dataset and a file of the user that may change without making the
            dataset stale.

    """

    def __init__(
        self,
        records: Mapping[str, Record],
        digest: Callable[[str | None], str | None],
        digest_output: Callable[[str | None], str | None],
        parameters: Callable[[str], Any],
        tolerated: Collection[tuple[str, str]] = (),
    ) -> None:
        self._records = records
        self._tolerated = tolerated
        self._digest = digest
        self._digest_output = digest_output
        self._parameters = parameters
        self._reasons: dict[str, Reason | None] = {}

    def explain(self, name: str) -> Reason | None:
        """Return why a dataset is stale, or None if it is not.

        The first reason is given, from the raw data on.

        Args:
            name: Name of a dataset that has a record.

        """
        if name not in self._reasons:
            self._reasons[name] = None  # ends a cycle, as records of two versions might have
            record = self._records[name]
            self._reasons[name] = self._explain_inputs(name, record) or next(
                self._find_changes(name), None
            )
        return self._reasons[name]

    def _explain_inputs(self, name: str, record: Record) -> Reason | None:
        made = (source for source in record.inputs if source in self._records and source != name)
        return next(filter(None, map(self.explain, made)), None)

    def _find_changes(self, name: str) -> Iterator[Reason]:
        """Yield each reason why a dataset is stale, without those of its inputs."""
        record = self._records[name]
        made = f"{name} ({_format_time(record.time)}) was made"
        for source, found in record.inputs.items():
            if source in self._records:
                other = self._records[source]
                if found.digest != other.digest:
                    when = _format_time(other.time)
                    text = f"{made} from a version of {source} other than the current one ({when})"
                    yield Reason(record, text)
            elif (name, source) in self._tolerated:
                continue
            elif self._digest(found.path) not in (found.digest, None):
                yield Reason(record, f"{found.path} has changed since {made} from it")
        for name_of_group, value in record.parameters.items():
            then = dict(flatten(value, name_of_group))
            now = dict(flatten(self._parameters(name_of_group), name_of_group))
            for key in [*then, *(now.keys() - then.keys())]:
                if then.get(key, MISSING) == now.get(key, MISSING):
                    continue
                past = f"with {key}={json.dumps(then[key])}" if key in then else f"without {key}"
                current = now.get(key, self._parameters(key))  # a value may be a group now
                present = "missing" if key not in now and current is None else json.dumps(current)
                yield Reason(record, f"{made} {past}, which is {present} now")
        for other_name in record.outputs:
            if self._records.get(other_name, record).run != record.run:
                yield Reason(record, f"{made} in a different run from {other_name}")
        if self._digest_output(record.path) not in (record.digest, None):
            text = f"{record.path} has changed since it was made, {_format_time(record.time)}"
            yield Reason(record, text)


def _format_time(time: str) -> str:
    return time[:19].replace("T", " ") + " UTC"
