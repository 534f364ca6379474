"""Kedro datasets of this project, where kedro-datasets has no type that fits.

None of them imports TensorFlow before it is used.
"""

from imdb_sentiment.datasets.downloaded_tar import DownloadedTarDataset
from imdb_sentiment.datasets.encoded_reviews import EncodedReviewsDataset
from imdb_sentiment.datasets.files import (
    AtomicDataset,
    DocumentDataset,
    KerasModelDataset,
    LinesDataset,
    OnnxModelDataset,
    OptionalJSONDataset,
    PickleStreamDataset,
    TokenizerDataset,
    TypedJSONDataset,
)
from imdb_sentiment.datasets.lineage import LineageDataset
from imdb_sentiment.datasets.optuna_storage import OptunaStorageDataset
from imdb_sentiment.datasets.run_facts import RunFactsDataset
from imdb_sentiment.datasets.table import TableDataset

__all__ = [
    "AtomicDataset",
    "DocumentDataset",
    "DownloadedTarDataset",
    "EncodedReviewsDataset",
    "KerasModelDataset",
    "LineageDataset",
    "LinesDataset",
    "OnnxModelDataset",
    "OptionalJSONDataset",
    "OptunaStorageDataset",
    "PickleStreamDataset",
    "RunFactsDataset",
    "TableDataset",
    "TokenizerDataset",
    "TypedJSONDataset",
]
