"""Runs tracked with MLflow; skipped if it is not installed."""

import importlib.util
import json
import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline

from helpers import (
    SMALL,
    kedro,
    make_project,
    make_reviews,
    read_log,
    run_server,
    run_shell,
    start_kedro,
    wait_for_end,
    wait_for_log,
    write_csv,
)

INSTALLED = importlib.util.find_spec("mlflow") is not None
needs_mlflow = pytest.mark.skipif(not INSTALLED, reason="MLflow is not installed")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = make_project(tmp_path, SMALL)
    write_csv(project / "data/01_raw/sample_reviews.csv", make_reviews(200))
    return project


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the URI that runs are tracked in."""
    address = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    return address


def find_runs(client: Any) -> list[Any]:
    experiment = client.get_experiment_by_name("imdb_sentiment")
    return list(client.search_runs([experiment.experiment_id]))


@pytest.mark.slow
@pytest.mark.skipif(INSTALLED, reason="MLflow is installed")
def test_a_run_that_cannot_be_tracked_says_so(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs.db")
    done = kedro(project, "run", "--pipelines", "data_processing")
    assert done.returncode == 0, done.stdout
    assert "MLflow is not installed, so runs are not tracked: run" in done.stdout
    assert not (project / "runs.db").exists()


@needs_mlflow
def test_a_run_is_kept_with_parameters_metrics_and_files(project: Path, store: str) -> None:
    from mlflow import MlflowClient

    run_shell(
        project,
        """
export MLFLOW_TRACKING_URI=sqlite:///mlflow.db MLFLOW_DISABLE_TELEMETRY=true
kedro run
""",
    )
    client = MlflowClient(store)
    [run] = find_runs(client)
    assert run.info.status == "FINISHED"
    metrics = json.loads((project / "data/08_reporting/metrics.json").read_text())
    for name in ("test_accuracy", "baseline_test_accuracy", "mcnemar_p_value", "test_rows"):
        assert run.data.metrics[name] == pytest.approx(metrics[name])
    best = json.loads((project / "data/06_models/best_hyperparameters.json").read_text())
    assert run.data.params["best_hyperparameters.units"] == str(best["units"])
    assert run.data.params["hyperparameters.batch_size"] == "16"
    assert run.data.params["tuning.search_space.units.high"] == "4"
    kept = {
        Path(run.info.artifact_uri, file.path) for file in client.list_artifacts(run.info.run_id)
    }
    for path in (project / "data/08_reporting/report.html", project / "data/06_models/model.onnx"):
        [copy] = [file for file in kept if file.name == path.name]
        assert (project / copy).read_bytes() == path.read_bytes()


@needs_mlflow
def test_a_run_that_fails_is_kept_as_such(project: Path, store: str) -> None:
    from mlflow import MlflowClient

    write_csv(project / "data/01_raw/sample_reviews.csv", [("a", "unheard of")] * 20)
    assert kedro(project, "run").returncode != 0
    assert [run.info.status for run in find_runs(MlflowClient(store))] == ["FAILED"]


@needs_mlflow
def test_a_run_that_may_not_begin_or_is_killed_does_not_count_as_finished(
    project: Path, store: str
) -> None:
    from mlflow import MlflowClient

    assert kedro(project, "run", "--pipelines", "reporting").returncode == 1
    search = start_kedro(project, "run", "--params", "tuning.n_trials=500")
    wait_for_log(search, project, "Trial 1")
    os.killpg(search.pid, signal.SIGINT)
    wait_for_end(search)
    assert [run.info.status for run in find_runs(MlflowClient(store))] == ["KILLED"]


@needs_mlflow
def test_a_place_that_can_not_be_used_is_told_in_one_line(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    done = kedro(project, "run", "--pipelines", "data_processing")
    assert done.returncode == 1
    assert "Traceback" not in done.stdout
    assert "MLFLOW_TRACKING_URI names http://127.0.0.1:9, which can't be used" in done.stdout


@needs_mlflow
@pytest.mark.parametrize(
    "uri", ["http://ml:S3CRET@127.0.0.1:9", "sqlite:////proc/none/mlflow.db?password=S3CRET"]
)
def test_a_place_that_can_not_be_used_keeps_its_password(
    uri: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    done = kedro(project, "run", "--pipelines", "data_processing")
    assert done.returncode == 1
    assert "which can't be used: correct it" in done.stdout
    assert "Traceback" not in done.stdout
    for text in (done.stdout, read_log(project)):
        assert "S3CRET" not in text


@needs_mlflow
def test_a_run_is_not_lost_with_its_record(
    project: Path, store: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import mlflow

    from imdb_sentiment.framework.tracking import TrackRun

    def fail(*_: object) -> None:
        raise OSError("the server http://ml:S3CRET@host is away")

    pipeline = Pipeline([Node(lambda: {"a": 1.0}, None, "metrics", name="measure")])
    catalog = DataCatalog({"metrics": MemoryDataset({"a": 1.0})})
    hook = TrackRun()
    hook.before_pipeline_run(pipeline, catalog)
    monkeypatch.setattr(mlflow, "log_metrics", fail)
    hook.after_pipeline_run(pipeline, catalog)
    assert "complete in data/: the server http://host is away" in caplog.text
    assert mlflow.active_run() is None
    assert [run.info.status for run in find_runs(mlflow.MlflowClient(store))] == ["FAILED"]


@needs_mlflow
def test_nothing_is_tracked_unless_asked_for(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    done = kedro(project, "run", "--pipelines", "data_processing")
    assert done.returncode == 0, done.stdout
    assert not list(project.glob("*.db")) + list(project.glob("ml*"))


@needs_mlflow
def test_the_page_lists_the_run(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    client = mlflow.MlflowClient(store)
    experiment = client.create_experiment("imdb_sentiment")
    run = client.create_run(experiment)
    page = """
export MLFLOW_TRACKING_URI=sqlite:///mlflow.db MLFLOW_DISABLE_TELEMETRY=true
mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI"
"""
    with run_server(tmp_path, page, {"mlflow ui": "mlflow ui --port PORT"}) as server:
        answer = httpx.post(
            f"{server.url}/api/2.0/mlflow/runs/search",
            json={"experiment_ids": [experiment]},
            timeout=60,
        )
    [found] = answer.json()["runs"]
    assert found["info"]["run_id"] == run.info.run_id
