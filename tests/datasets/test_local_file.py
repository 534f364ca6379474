from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from kedro.io import DatasetError

from imdb_sentiment.datasets import (
    ChunkedCSVDataset,
    DownloadedTarDataset,
    KerasModelDataset,
    OnnxModelDataset,
    OptunaStorageDataset,
    PickleStreamDataset,
    TokenizerDataset,
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
    ],
)
def test_a_remote_path_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(InputError, match="s3://bucket/file is not a local path"):
        make()


def test_a_stream_is_not_saved_to_a_remote_path() -> None:
    with pytest.raises(DatasetError) as caught:
        ChunkedCSVDataset(filepath=URL).save(iter([pd.DataFrame({"a": [1]})]))
    assert "not a local path" in str(find_input_error(caught.value))
