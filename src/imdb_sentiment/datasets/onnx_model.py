"""An exported model as it goes to its users: one file of bytes."""

from imdb_sentiment.datasets.atomic import atomic_write
from imdb_sentiment.datasets.local_file import LocalFileDataset


class OnnxModelDataset(LocalFileDataset[bytes, bytes]):
    """A serialised ONNX model; `imdb_sentiment.serving.Predictor` makes use of it.

    Args:
        filepath: The file.
        metadata: For plugins; Kedro ignores it.

    """

    def save(self, data: bytes) -> None:
        """Write the model."""
        with atomic_write(self._filepath) as partial:
            partial.write_bytes(data)

    def load(self) -> bytes:
        """Read the model."""
        return self._filepath.read_bytes()
