from collections.abc import Callable
from typing import Any

import fsspec
import pytest
from kedro.io import AbstractDataset, DatasetError

from imdb_sentiment.datasets import (
    DownloadedTarDataset,
    KerasModelDataset,
    LineageDataset,
    OnnxModelDataset,
    OptunaStorageDataset,
    PickleStreamDataset,
    RunFactsDataset,
    TableDataset,
    TokenizerDataset,
    TypedJSONDataset,
)
from imdb_sentiment.errors import InputError, find_input_error

URL = "s3://bucket/file"


@pytest.mark.parametrize(
    "make",
    [
        lambda: DownloadedTarDataset(filepath=URL, url="", sha256=""),
        lambda: KerasModelDataset(filepath=URL),
        lambda: OnnxModelDataset(filepath=URL),
        lambda: OptunaStorageDataset(filepath=URL),
        lambda: PickleStreamDataset(filepath=URL),
        lambda: TokenizerDataset(filepath=URL),
        lambda: TypedJSONDataset(filepath=URL, model="pydantic.BaseModel", made_by="tuning"),
    ],
)
def test_a_remote_path_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(
        (InputError, DatasetError), match="s3://bucket/file is not a local path"
    ) as caught:
        make()
    assert find_input_error(caught.value)


def test_a_remote_csv_is_loaded() -> None:
    with fsspec.open("memory://reviews.csv", "w") as file:
        file.write("review,sentiment\nfine,positive\n")
    dataset = TableDataset(filepath="memory://reviews.csv")
    assert dataset.exists()
    [chunk] = dataset.load()
    assert chunk.drop(columns="_malformed").to_dict("index") == {
        1: {"review": "fine", "sentiment": "positive"}
    }
    assert not TableDataset(filepath="memory://other.csv").exists()


@pytest.mark.parametrize(
    "dataset",
    [
        DownloadedTarDataset(filepath="a.tar.gz", url="", sha256=""),
        OptunaStorageDataset(filepath="study.db"),
        RunFactsDataset(),
        LineageDataset(filepath="lineage.json"),
    ],
)
def test_what_can_only_be_loaded_refuses_to_be_saved(dataset: AbstractDataset[Any, Any]) -> None:
    assert dataset.exists()
    with pytest.raises(DatasetError, match="can only be loaded"):
        dataset.save("anything")
