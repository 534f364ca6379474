"""The private names of other packages that the project uses: an upgrade may remove them."""

import ast
import io
import tarfile
from typing import Any

import kedro_datasets
import kedro_datasets._typing
import pytest
import uvicorn
import uvicorn._types
from fsspec import AbstractFileSystem
from kedro.config import OmegaConfigLoader
from kedro.framework.session import KedroSession
from kedro.io import AbstractDataset
from kedro.io.core import AbstractVersionedDataset
from kedro.runner import SequentialRunner
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from helpers import PROJECT
from imdb_sentiment.datasets import AtomicDataset

_VERSIONED: Any = AtomicDataset(filepath="a.json", dataset="json.JSONDataset")
with tarfile.open(fileobj=io.BytesIO(), mode="w") as _TAR:
    pass

OWN = ("self", "cls", "super()")  # whose private names may be the project's

# An object, its private name, and what the project uses it for.
PRIVATE = [
    (AbstractDataset, "_describe", "the datasets tell Kedro with it how they are printed"),
    (AbstractDataset, "_exists", "the datasets tell Kedro with it whether their file exists"),
    (AbstractVersionedDataset, "_get_load_path", "FileDataset loads from it"),
    (AbstractVersionedDataset, "_get_save_path", "FileDataset saves to it"),
    (SequentialRunner, "_release_datasets", "IncrementalSequentialRunner frees memory with it"),
    (SequentialRunner, "_run", "IncrementalSequentialRunner decides in it which nodes run"),
    (SequentialRunner(), "_is_async", "IncrementalSequentialRunner loads and saves likewise"),
    (
        KedroSession,
        "_get_config_loader",
        "the session asks it which file sets a parameter",
    ),
    (
        KedroSession("", "imdb_sentiment"),
        "_hook_manager",
        "the session ends an interrupted run with it",
    ),
    (OmegaConfigLoader, "_read_raw_config", "the loader of presets reads each folder with it"),
    (_VERSIONED, "_filepath", "FileDataset prints it and finds the file with it"),
    (AbstractFileSystem, "_strip_protocol", "a folder's own path is told from those of its files"),
    (_TAR, "members", "DownloadedTarDataset empties it"),
    (kedro_datasets, "_typing", "Kedro-Viz draws a preview by the types in it"),
    (uvicorn, "_types", "the service's connections name the type of an application by it"),
    (HttpToolsProtocol, "_start_asgi_task", "the service's connections answer requests with it"),
]


@pytest.mark.parametrize(("owner", "name", "use"), PRIVATE, ids=[name for _, name, _ in PRIVATE])
def test_a_private_name_is_still_there(owner: object, name: str, use: str) -> None:
    assert hasattr(owner, name), (
        f"{owner!r} has no {name} any more, and {use}: find what replaces it in the new version, "
        "or keep the old version in pyproject.toml"
    )


def test_no_other_private_name_is_used() -> None:
    known = {name for _, name, _ in PRIVATE}
    used = {}
    for path in (PROJECT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) not in (
                "self",
                "cls",
                "super()",
            ):
                names = [node.attr]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [*node.module.split("."), *(alias.name for alias in node.names)]
            else:
                continue
            for name in names:
                if name.startswith("_") and not name.endswith("__") and name not in known:
                    used[f"{path.name}:{node.lineno}"] = name
    assert not used, "list these in this file, or do without them"
