import json
from pathlib import Path

import pytest
from kedro.io import DataCatalog, DatasetError

from helpers import small_hyperparameters
from imdb_sentiment.datasets import TypedJSONDataset
from imdb_sentiment.errors import InputError, find_input_error
from imdb_sentiment.parameters import Hyperparameters

MODEL = "imdb_sentiment.parameters.Hyperparameters"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new/best_hyperparameters.json"


@pytest.fixture
def dataset(path: Path) -> TypedJSONDataset:
    return TypedJSONDataset(filepath=str(path), model=MODEL, made_by="tuning")


def test_a_model_is_the_same_after_reloading(dataset: TypedJSONDataset, path: Path) -> None:
    chosen = small_hyperparameters(learning_rate=1e-5, dropout_rate=0.4852142919229748)
    assert not dataset.exists()
    dataset.save(chosen)
    loaded = dataset.load()
    assert isinstance(loaded, Hyperparameters)
    assert loaded == chosen
    assert path.read_text("utf-8") == json.dumps(chosen.model_dump(), indent=2)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert json.loads(dataset.preview()) == chosen.model_dump()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"units": 0}, "units: Input should be greater than or equal to 1"),
        ({"pooling": "median"}, "pooling: Input should be 'last'"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    changes: dict[str, object], problem: str, dataset: TypedJSONDataset, path: Path
) -> None:
    path.parent.mkdir()
    path.write_text(json.dumps(small_hyperparameters().model_dump() | changes))
    catalog = DataCatalog({"best_hyperparameters": dataset})
    with pytest.raises(DatasetError) as raised:
        catalog.load("best_hyperparameters")
    error = find_input_error(raised.value)
    assert problem in str(error)
    assert "best_hyperparameters.json does not contain valid Hyperparameters" in str(error)
    assert str(error).endswith("recreate it with kedro run --pipelines tuning")


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"units": 3}'])
def test_a_damaged_file_is_refused_in_one_line(
    content: str, dataset: TypedJSONDataset, path: Path
) -> None:
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(DatasetError) as raised:
        dataset.load()
    assert isinstance(raised.value.__cause__, InputError)
    assert "\n" not in str(raised.value.__cause__)
