"""Calls of the tracking hook, recorded by a stand-in for MLflow."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline

from helpers import small_hyperparameters
from imdb_sentiment.errors import InputError

Call = tuple[str, Any]


class StandIn(ModuleType):
    """A module called mlflow that records what is called, and has one active run at most."""

    class MlflowException(Exception):  # noqa: N818  # MLflow's own name
        """Raised by MLflow."""

    def __init__(self) -> None:
        super().__init__("mlflow")
        self.calls: list[Call] = []
        self.is_active = False
        self.is_reachable = True

    def start_run(self) -> None:
        if not self.is_reachable:
            raise self.MlflowException("no such place")
        self.is_active = True
        self.calls.append(("start", None))

    def end_run(self, status: str = "FINISHED") -> None:
        self.is_active = False
        self.calls.append(("end", status))

    def active_run(self) -> bool:
        return self.is_active

    def get_tracking_uri(self) -> str:
        return "http://nowhere"

    def log_params(self, values: dict[str, Any]) -> None:
        self.calls.append(("params", values))

    def log_metrics(self, values: dict[str, Any]) -> None:
        self.calls.append(("metrics", values))

    def log_artifact(self, path: str) -> None:
        self.calls.append(("file", path))


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    stand_in = StandIn()
    monkeypatch.setitem(sys.modules, "mlflow", stand_in)
    monkeypatch.delitem(sys.modules, "imdb_sentiment.framework.tracking", raising=False)
    yield stand_in
    stand_in.is_active = False  # or it would be ended as killed when Python exits
    sys.modules.pop("imdb_sentiment.framework.tracking", None)


@pytest.fixture
def hook(mlflow: StandIn) -> Any:
    return importlib.import_module("imdb_sentiment.framework.tracking").TrackRun()


@pytest.fixture
def catalog(tmp_path: Path) -> DataCatalog:
    entry = {"type": "json.JSONDataset", "filepath": str(tmp_path / "metrics.json")}
    catalog = DataCatalog.from_config({"metrics": entry})
    weights = {"good": 2, "Q&A": 5, "good/": 3}
    catalog["params:group"] = MemoryDataset({"a": {"b": 1}, "c": None, "weights": weights})
    catalog["best_hyperparameters"] = MemoryDataset(small_hyperparameters())
    catalog.save("metrics", {"test_accuracy": 0.5, "file": "a.csv", "unseen": True, "rows": 3})
    return catalog


PIPELINE = Pipeline(
    [Node(lambda group, best: {}, ["params:group", "best_hyperparameters"], "metrics")]
)


def test_a_run_is_kept_with_parameters_numbers_and_files(
    hook: Any, mlflow: StandIn, catalog: DataCatalog, tmp_path: Path
) -> None:
    hook.before_pipeline_run(pipeline=PIPELINE, catalog=catalog)
    hook.after_pipeline_run(pipeline=PIPELINE, catalog=catalog)
    best = small_hyperparameters().model_dump()
    assert mlflow.calls == [
        ("start", None),
        (
            "params",
            {
                "group.a.b": 1,
                "group.c": None,
                "group.weights.good": 2,
                "group.weights": {"Q&A": 5, "good/": 3},
            },
        ),
        ("params", {f"best_hyperparameters.{name}": value for name, value in best.items()}),
        ("metrics", {"test_accuracy": 0.5, "rows": 3}),
        ("file", str(tmp_path / "metrics.json")),
        ("end", "FINISHED"),
    ]


def test_a_run_that_fails_ends_as_failed(hook: Any, mlflow: StandIn, catalog: DataCatalog) -> None:
    hook.before_pipeline_run(pipeline=PIPELINE, catalog=catalog)
    hook.on_pipeline_error()
    assert mlflow.calls[-1] == ("end", "FAILED")


def test_an_interrupted_run_ends_as_killed(
    hook: Any, mlflow: StandIn, catalog: DataCatalog
) -> None:
    hook.before_pipeline_run(pipeline=PIPELINE, catalog=catalog)
    hook.close()
    assert mlflow.calls[-1] == ("end", "KILLED")


def test_a_run_of_somebody_else_is_left_alone(
    hook: Any, mlflow: StandIn, catalog: DataCatalog
) -> None:
    hook.before_pipeline_run(pipeline=PIPELINE, catalog=catalog)
    hook.on_pipeline_error()
    mlflow.start_run()
    hook.close()
    assert mlflow.is_active


def test_a_run_that_is_open_when_python_ends_was_killed(
    mlflow: StandIn, catalog: DataCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_exit: list[Any] = []
    monkeypatch.setattr("atexit.register", at_exit.append)
    tracking = importlib.import_module("imdb_sentiment.framework.tracking")
    tracking.TrackRun().before_pipeline_run(pipeline=PIPELINE, catalog=catalog)
    [end] = at_exit
    end()
    end()  # there is no run left to end
    assert [status for name, status in mlflow.calls if name == "end"] == ["KILLED"]


def test_a_place_that_cannot_be_used_is_an_input_error(
    hook: Any, mlflow: StandIn, catalog: DataCatalog
) -> None:
    mlflow.is_reachable = False
    with pytest.raises(InputError, match=r"http://nowhere, which can't be used: .*no such place"):
        hook.before_pipeline_run(pipeline=PIPELINE, catalog=catalog)
