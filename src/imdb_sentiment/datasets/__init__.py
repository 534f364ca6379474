"""Kedro datasets of this project: what kedro-datasets has no fitting type for.

Nothing here imports TensorFlow; the dataset that does is in `keras_model`.
"""

from imdb_sentiment.datasets.atomic import (
    AtomicCSVDataset,
    AtomicFigureDataset,
    AtomicJSONDataset,
    AtomicPickleDataset,
    AtomicTextDataset,
)
from imdb_sentiment.datasets.chunked_csv import ChunkedCSVDataset
from imdb_sentiment.datasets.downloaded_tar import DownloadedTarDataset
from imdb_sentiment.datasets.onnx_model import OnnxModelDataset
from imdb_sentiment.datasets.optional_csv import OptionalCSVDataset
from imdb_sentiment.datasets.optuna_storage import OptunaStorageDataset
from imdb_sentiment.datasets.pickle_stream import PickleStreamDataset
from imdb_sentiment.datasets.run_facts import RunFactsDataset
from imdb_sentiment.datasets.tokenizer import TokenizerDataset
from imdb_sentiment.datasets.typed_json import TypedJSONDataset

__all__ = [
    "AtomicCSVDataset",
    "AtomicFigureDataset",
    "AtomicJSONDataset",
    "AtomicPickleDataset",
    "AtomicTextDataset",
    "ChunkedCSVDataset",
    "DownloadedTarDataset",
    "OnnxModelDataset",
    "OptionalCSVDataset",
    "OptunaStorageDataset",
    "PickleStreamDataset",
    "RunFactsDataset",
    "TokenizerDataset",
    "TypedJSONDataset",
]
