"""Kedro's settings of this project."""

from pathlib import Path

from imdb_sentiment.hooks import PrintSummary
from imdb_sentiment.session import PlainErrorsSession

HOOKS = (PrintSummary(),)
SESSION_CLASS = PlainErrorsSession

CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # An environment overrides single parameters, not whole groups of them.
    "merge_strategy": {"parameters": "soft"},
    # A path inside a folder of data/, or any absolute path as it is.
    "custom_resolvers": {"join_path": lambda folder, name: (Path(folder) / name).as_posix()},
}
