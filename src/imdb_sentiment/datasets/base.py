"""What the datasets have in common."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from kedro.io import AbstractDataset, DatasetError
from kedro.io.core import get_protocol_and_path

from imdb_sentiment.datasets.atomic import atomic_write
from imdb_sentiment.errors import InputError

T = TypeVar("T")


class Stream(Iterable[T]):
    """An iterable that can be iterated more than once, with one item in memory at a time.

    Args:
        open_stream: Function that returns a new iterator; called at the start of each iteration.

    """

    def __init__(self, open_stream: Callable[[], Iterator[T]]) -> None:
        self._open_stream = open_stream

    def __iter__(self) -> Iterator[T]:
        return self._open_stream()


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


class LocalFileDataset(AbstractDataset[Any, Any]):
    """Base class of datasets that are one file on this machine.

    Args:
        filepath: Local path of the file.
        metadata: Metadata for plugins; ignored by Kedro.

    Raises:
        InputError: If `filepath` is not a local path.

    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = require_local(filepath)
        self.metadata = metadata

    def save(self, data: Any) -> None:
        """Write `data` to the file, which appears under its name only when it is complete."""
        with atomic_write(self._filepath) as partial:
            self._write(partial, data)

    @abstractmethod
    def _write(self, path: Path, data: Any) -> None:
        """Write `data` to `path`."""

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class LoadOnlyDataset(AbstractDataset[None, T]):
    """Base class of datasets that can always be loaded, and never saved."""

    def save(self, data: None) -> None:
        """Refuse to save.

        Raises:
            DatasetError: Always.

        """
        raise DatasetError(f"{self} can only be loaded")

    def _exists(self) -> bool:
        return True
