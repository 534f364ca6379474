"""Facts about a run that are in no file and no parameter: its time, machine and packages."""

import platform
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from imdb_sentiment.datasets.base import LoadOnlyDataset

PACKAGES = (
    "imdb-sentiment",
    "kedro",
    "keras",
    "numpy",
    "optuna",
    "pandas",
    "scikit-learn",
    "tensorflow",
)


class RunFactsDataset(LoadOnlyDataset[dict[str, Any]]):
    """Loads the time, the machine and the versions of packages. It has no file.

    Args:
        metadata: Metadata for plugins; ignored by Kedro.

    """

    def __init__(self, *, metadata: dict[str, Any] | None = None) -> None:
        self.metadata = metadata

    def load(self) -> dict[str, Any]:
        """Return the facts as plain JSON values."""
        return {
            "time": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "python": platform.python_version(),
            "platform": f"{platform.system()} {platform.machine()}",
            "versions": {name: version(name) for name in PACKAGES},
        }

    def _describe(self) -> dict[str, Any]:
        return {}
