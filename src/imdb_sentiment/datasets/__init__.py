"""Kedro datasets of this project, where kedro-datasets has no type that fits.

None of them imports TensorFlow before it is used.
"""

from imdb_sentiment.datasets.atomic import AtomicDataset
from imdb_sentiment.datasets.chunked_csv import ChunkedCSVDataset
from imdb_sentiment.datasets.downloaded_tar import DownloadedTarDataset
from imdb_sentiment.datasets.keras_model import KerasModelDataset
from imdb_sentiment.datasets.onnx_model import OnnxModelDataset
from imdb_sentiment.datasets.optional_csv import OptionalCSVDataset
from imdb_sentiment.datasets.optuna_storage import OptunaStorageDataset
from imdb_sentiment.datasets.pickle_stream import PickleStreamDataset
from imdb_sentiment.datasets.run_facts import RunFactsDataset
from imdb_sentiment.datasets.tokenizer import TokenizerDataset
from imdb_sentiment.datasets.typed_json import TypedJSONDataset

__all__ = [
    "AtomicDataset",
    "ChunkedCSVDataset",
    "DownloadedTarDataset",
    "KerasModelDataset",
    "OnnxModelDataset",
    "OptionalCSVDataset",
    "OptunaStorageDataset",
    "PickleStreamDataset",
    "RunFactsDataset",
    "TokenizerDataset",
    "TypedJSONDataset",
]
