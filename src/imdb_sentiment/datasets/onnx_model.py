"""An exported model as it goes to its users: one file of bytes."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from imdb_sentiment.datasets.atomic import atomic_write


class OnnxModelDataset(AbstractDataset[bytes, bytes]):
    """A serialised ONNX model; `imdb_sentiment.serving.Predictor` makes use of it.

    Args:
        filepath: The file.
        metadata: For plugins; Kedro ignores it.

    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def save(self, data: bytes) -> None:
        """Write the model."""
        with atomic_write(self._filepath) as partial:
            partial.write_bytes(data)

    def load(self) -> bytes:
        """Read the model."""
        return self._filepath.read_bytes()

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
