"""A Keras model as a file. TensorFlow is imported only when a model is loaded or saved."""

from typing import Any

from imdb_sentiment.datasets.atomic import atomic_write
from imdb_sentiment.datasets.local_file import LocalFileDataset
from imdb_sentiment.network.tensorflow_setup import tensorflow_setup


class KerasModelDataset(LocalFileDataset[Any, Any]):
    """A `keras.Model` in Keras's own format, which knows this project's layers.

    Args:
        filepath: Local path of the file, which ends with `.keras`.
        metadata: Metadata for plugins; ignored by Kedro.

    """

    def save(self, data: Any) -> None:
        """Write the model."""
        with atomic_write(self._filepath) as partial:
            data.save(partial)

    def load(self) -> Any:
        """Read the model."""
        with tensorflow_setup():
            import keras

            import imdb_sentiment.network.layers  # noqa: F401  (registers the layers by name)
        return keras.models.load_model(self._filepath)
