"""An exported model as its users get it: one file of bytes."""

from imdb_sentiment.datasets.atomic import atomic_write
from imdb_sentiment.datasets.local_file import LocalFileDataset


class OnnxModelDataset(LocalFileDataset[bytes, bytes]):
    """A serialised ONNX model, for `imdb_sentiment.serving.Predictor`.

    Args:
        filepath: Local path of the file.
        metadata: Metadata for plugins; ignored by Kedro.

    """

    def save(self, data: bytes) -> None:
        """Write the model."""
        with atomic_write(self._filepath) as partial:
            partial.write_bytes(data)

    def load(self) -> bytes:
        """Read the model."""
        return self._filepath.read_bytes()
