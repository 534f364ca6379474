"""What datasets that are one local file have in common."""

from pathlib import Path
from typing import Any, TypeVar

from kedro.io import AbstractDataset

Saved = TypeVar("Saved")
Loaded = TypeVar("Loaded")


class LocalFileDataset(AbstractDataset[Saved, Loaded]):
    """Base of datasets that read and write one file on this machine.

    Args:
        filepath: The file.
        metadata: For plugins; Kedro ignores it.

    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
