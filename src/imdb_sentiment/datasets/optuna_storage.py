"""The file in which Optuna studies live and survive a crash."""

import warnings
from pathlib import Path
from typing import Any

import optuna
from kedro.io import AbstractDataset

# A trial whose process has died counts as failed after twice this time, in seconds.
HEARTBEAT_INTERVAL = 60


class OptunaStorageDataset(AbstractDataset[None, optuna.storages.RDBStorage]):
    """A SQLite file that keeps studies: a resource that a node opens, not a value that it makes.

    Every trial is written to it as it ends, which is what lets a killed search go on.

    Args:
        filepath: The file; made when it does not exist.
        metadata: For plugins; Kedro ignores it.

    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> optuna.storages.RDBStorage:
        """Open the storage."""
        self._filepath.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.storages.RDBStorage(
                f"sqlite:///{self._filepath}", heartbeat_interval=HEARTBEAT_INTERVAL
            )

    def save(self, data: None) -> None:
        """Refuse: studies write to the storage themselves."""
        raise NotImplementedError("a storage is written through its studies")

    def _exists(self) -> bool:
        return True  # made when it is needed

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
