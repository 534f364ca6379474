"""When and with what a report is made: what no file and no parameter says."""

import platform
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from kedro.io import AbstractDataset, DatasetError

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


class RunFactsDataset(AbstractDataset[None, dict[str, Any]]):
    """Loads the time, the machine and the versions of the packages; there is no file behind it."""

    def __init__(self, *, metadata: dict[str, Any] | None = None) -> None:
        self.metadata = metadata

    def load(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "time": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "python": platform.python_version(),
            "platform": f"{platform.system()} {platform.machine()}",
            "versions": {name: version(name) for name in PACKAGES},
        }

    def save(self, data: None) -> None:
        """Refuse: the facts are found, not made.

        Raises:
            DatasetError: Always.

        """
        raise DatasetError("these facts can only be loaded")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {}
