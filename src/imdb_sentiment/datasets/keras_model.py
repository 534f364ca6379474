"""The dataset of Keras models, apart from the others because it imports TensorFlow."""

from imdb_sentiment.datasets.atomic import AtomicSave
from imdb_sentiment.network.tensorflow_setup import tensorflow_setup

with tensorflow_setup():
    from kedro_datasets.tensorflow import TensorFlowModelDataset

    import imdb_sentiment.network.layers  # noqa: F401  (Keras finds a model's own layers by name)


class AtomicTensorFlowModelDataset(AtomicSave, TensorFlowModelDataset):
    """`tensorflow.TensorFlowModelDataset`, written atomically."""
