"""What datasets that are one local file have in common."""

from pathlib import Path
from typing import Any, TypeVar

from kedro.io import AbstractDataset
from kedro.io.core import get_protocol_and_path

from imdb_sentiment.errors import InputError

Saved = TypeVar("Saved")
Loaded = TypeVar("Loaded")


def require_local(filepath: str) -> Path:
    """Return the path of a file on this machine.

    Args:
        filepath: Path from the catalog.

    Raises:
        InputError: If it is a URL of another file system, such as `s3://bucket/name`.

    """
    protocol, path = get_protocol_and_path(filepath)
    if protocol != "file":
        raise InputError(f"{filepath} is not a local path, and this dataset supports only those")
    return Path(path)


class LocalFileDataset(AbstractDataset[Saved, Loaded]):
    """Base class of datasets that read and write one file on this machine.

    Args:
        filepath: Local path of the file.
        metadata: Metadata for plugins; ignored by Kedro.

    Raises:
        InputError: If `filepath` is not a local path.

    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = require_local(filepath)
        self.metadata = metadata

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
