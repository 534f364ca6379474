"""The dataset of Keras models, apart from the others because it imports TensorFlow."""

from kedro_datasets.tensorflow import TensorFlowModelDataset

from imdb_sentiment.datasets.atomic import AtomicSave


class AtomicTensorFlowModelDataset(AtomicSave, TensorFlowModelDataset):
    """`tensorflow.TensorFlowModelDataset`, written atomically."""
