"""Kedro's settings for this project."""

import glob
import importlib.util
import logging
import os
import warnings
from pathlib import Path
from typing import Any

from kedro.utils import find_kedro_project

from imdb_sentiment.framework.console import ShowRun
from imdb_sentiment.framework.hooks import (
    CheckLabels,
    CheckSearch,
    ReleaseMemory,
    RequireInputs,
    ValidateParameters,
)
from imdb_sentiment.framework.presets import PresetsConfigLoader
from imdb_sentiment.framework.session import PlainErrorsSession
from imdb_sentiment.framework.track_lineage import TrackLineage

# Kedro 1.7 calls a function that OmegaConf 2.4 has renamed; users can do nothing about it.
warnings.filterwarnings("ignore", message=r"register_new_resolver\(\) is deprecated")

# Kedro calls them from the last to the first.
HOOKS: list[Any] = [
    CheckLabels(),
    CheckSearch(),
    TrackLineage(),
    ValidateParameters(),
    RequireInputs(),
    ShowRun(),
    ReleaseMemory(),
]
SESSION_CLASS = PlainErrorsSession

# For Kedro, .telemetry says the same, but only in the project's own folder.
os.environ.setdefault("KEDRO_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
if os.environ.get("MLFLOW_TRACKING_URI"):
    if importlib.util.find_spec("mlflow"):
        from imdb_sentiment.framework.tracking import TrackRun

        HOOKS.insert(0, TrackRun())  # called last, so only runs that may begin are tracked
    else:
        logging.getLogger(__name__).warning(
            "MLFLOW_TRACKING_URI is set, but MLflow is not installed, so runs are not tracked: "
            "run `make mlflow`"
        )


def _expand(name: Any) -> Path:
    """Return a path with a home folder instead of ~ or ~USER, if there is such a user."""
    path = Path(str(name))
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def _is_there(path: Path) -> bool:
    """Return whether there is a file or a folder of that name, or one that the pattern fits."""
    # `Path.exists` raises errors about a folder without permission or too long a name; `Path.glob`
    # takes no absolute pattern.
    return os.path.exists(path) or any(glob.iglob(str(path), recursive=True))  # noqa: PTH110, PTH207


def _find_project() -> Path:
    """Return the project's folder, where the paths in the catalog begin."""
    return find_kedro_project(Path.cwd()) or Path.cwd()


def _is_from_here(name: Any) -> bool:
    """Return whether a path says itself that it begins in the current folder."""
    starts = ("./", "../", ".\\", "..\\") if os.name == "nt" else ("./", "../")
    return str(name).startswith(starts)


def _join_path(folder: str, name: Any) -> str | None:
    """Return `name` inside `folder`; an absolute `name`, a URL or None (no name) unchanged.

    If there is no such file in `folder`, but one at `name` itself, that one is meant. So it is with
    the files of a pattern such as `parts/*.csv`, and always with `./reviews.csv`.
    """
    if name is None or "://" in str(name):
        return name if name is None else str(name)
    path, project = _expand(name), _find_project()
    if path.is_relative_to(folder) and (project == Path.cwd() or not _is_from_here(name)):
        return path.as_posix()
    joined = project / folder / path
    is_elsewhere = _is_from_here(name) or (_is_there(path) and not _is_there(joined))
    return (path.absolute() if is_elsewhere else Path(folder) / path).as_posix()


def _begin_here(name: Any, default: str) -> str:
    """Return `name` as a path that begins in the current folder; a URL unchanged.

    Without a name, it is `default`, which begins in the project's folder.
    """
    if name is None or "://" in str(name):
        return default if name is None else str(name)
    path = _expand(name)
    return (path if _find_project() == Path.cwd() else path.absolute()).as_posix()


CONFIG_LOADER_CLASS = PresetsConfigLoader
CONFIG_LOADER_ARGS: dict[str, Any] = {
    "base_env": "base",
    "default_run_env": "local",
    "config_patterns": {"globals": ["globals.yml", "globals.yaml"]},  # Kedro reads the first alone
    # An environment overrides single parameters, not whole groups.
    "merge_strategy": {"parameters": "soft"},
    "custom_resolvers": {"join_path": _join_path, "begin_here": _begin_here},
}
