"""Searches by command, which are ended, lose a worker or run on a cluster."""

import os
import shutil
import signal
from pathlib import Path

import pandas as pd
import psutil
import pytest
import yaml

from helpers import (
    SMALL,
    find_workers,
    lay_over,
    make_once,
    make_project,
    make_reviews,
    read_log,
    run_kedro,
    run_server,
    run_session,
    start_kedro,
    wait_for_end,
    wait_for_log,
    wait_until,
    write_csv,
)


@pytest.fixture
def ready(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    """Return a project with processed data and quick trials."""

    def make(folder: Path) -> None:
        project = make_project(folder)
        write_csv(project / "data/01_raw/sample_reviews.csv", make_reviews(200))
        run_kedro(project, "kedro run --pipelines data_processing")

    return shutil.copytree(make_once(tmp_path_factory, "ready", make), tmp_path / "project")


SLOW = "tuning.n_trials=3,tuning.folds=2,hyperparameters.epochs=3,hyperparameters.batch_size=2"


@pytest.mark.slow
def test_a_search_that_is_ended_goes_on_as_if_it_had_not_been(ready: Path) -> None:
    tune = ("run", "--pipelines", "tuning", "--params")

    killed = start_kedro(ready, *tune, SLOW)
    wait_for_log(killed, ready, "Trial 1, epoch 1 of 3")
    os.killpg(killed.pid, signal.SIGKILL)
    wait_for_end(killed)

    interrupted = start_kedro(ready, *tune, SLOW)
    seen = wait_for_log(interrupted, ready, "Trial 3, epoch 1 of 3")
    assert "Trial 0," not in seen
    os.killpg(interrupted.pid, signal.SIGINT)
    output = wait_for_end(interrupted)
    assert interrupted.returncode != 0
    assert "2 of 3 trials, which are kept" in output
    assert "Traceback" not in output
    assert not (ready / "data/06_models/best_hyperparameters.json").exists()

    run_kedro(ready, f"kedro run --pipelines tuning --params {SLOW}")
    resumed = read_log(ready)
    assert "Trial 4, epoch 3 of 3" in resumed
    assert "Trial 2," not in resumed
    table = read_trials(ready)
    assert table["state"].tolist() == ["complete", "fail", "complete", "fail", "complete"]
    assert table["failure"].dropna().tolist() == ["its process died", "interrupted"]
    assert table["retry_of"].dropna().tolist() == [1]

    run_kedro(ready, f"kedro run --pipelines tuning --params {SLOW},tuning.study_name=whole")
    columns = ["value", "params_units", "params_dropout_rate", "params_optimizer"]
    pd.testing.assert_frame_equal(
        table.loc[table["state"] == "complete", columns].reset_index(drop=True),
        read_trials(ready)[columns],
    )


@pytest.mark.slow
def test_ctrl_c_while_tensorflow_is_imported_costs_no_trial(ready: Path) -> None:
    run = start_kedro(ready, "run", "--pipelines", "tuning")
    wait_for_log(run, ready, "Trial 0:")  # TensorFlow is imported next, which takes seconds
    os.killpg(run.pid, signal.SIGINT)
    output = wait_for_end(run)
    assert run.returncode != 0
    assert "Traceback" not in output
    assert "of 2 trials, which are kept" in output
    run_kedro(ready, "kedro run --pipelines tuning")
    table = read_trials(ready)
    assert table["state"].tolist() == ["fail", "complete", "complete"]
    assert table["failure"].dropna().tolist() == ["interrupted"]


@pytest.mark.cluster
def test_a_worker_that_dies_costs_a_retry_and_not_the_run(ready: Path) -> None:
    parameters = f"{SLOW},tuning.workers=2"
    run = start_kedro(ready, "run", "--pipelines", "tuning", "--params", parameters)
    seen = wait_for_log(run, ready, "Trial 1:")
    assert "Dask's dashboard: http://127.0.0.1" in seen
    workers = find_workers(psutil.Process(run.pid))
    assert len(workers) == 2
    workers[0].kill()
    output = wait_for_end(run)
    assert run.returncode == 0, output
    assert "its worker died" in output
    table = read_trials(ready)
    assert sorted(table["state"]) == ["complete", "complete", "complete", "fail"]
    assert table["failure"].dropna().tolist() == ["its process died"]
    assert (ready / "data/06_models/best_hyperparameters.json").exists()
    assert not any(worker.is_running() for worker in workers)


@pytest.mark.slow
def test_with_more_rows_a_new_study_begins_or_starts_from_the_old_one(ready: Path) -> None:
    run_session(ready, "tuning")
    before = read_trials(ready)
    write_csv(ready / "data/01_raw/sample_reviews.csv", make_reviews(220))
    run_kedro(ready, "kedro run --pipelines data_processing,tuning")
    assert "uses the study 'sample_reviews.csv 2': the data of the study" in read_log(ready)
    assert len(read_trials(ready)) == 2
    named = "tuning.study_name=more,tuning.start_from=sample_reviews.csv"
    run_kedro(ready, f"kedro run --pipelines tuning --params {named}")
    after = read_trials(ready)
    hyperparameters = [name for name in map(str, before.columns) if name.startswith("params_")]
    best = before.sort_values("value", ascending=False)[hyperparameters].iloc[0]
    assert after[hyperparameters].iloc[0].to_dict() == best.to_dict()
    assert len(after) == len(before) == 2
    assert after[hyperparameters].iloc[1].to_dict() not in before[hyperparameters].to_dict(
        "records"
    )


@pytest.mark.cluster
def test_ctrl_c_ends_a_search_with_workers_in_plain_words(ready: Path) -> None:
    parameters = f"{SLOW},tuning.workers=2"
    run = start_kedro(ready, "run", "--pipelines", "tuning", "--params", parameters)
    wait_for_log(run, ready, "Trial 1:")
    os.killpg(run.pid, signal.SIGINT)
    output = wait_for_end(run)
    assert run.returncode != 0
    assert "of 3 trials, which are kept" in output
    assert "Traceback" not in output
    wait_until(lambda: not group_exists(run.pid))  # all workers have ended


def group_exists(number: int) -> bool:
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(
            "kedro run --pipelines tuning --params tuning.n_trials=20", marks=pytest.mark.slow
        ),
        pytest.param(
            "kedro run --pipelines tuning,training,reporting --params tuning.n_trials=100",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "kedro run --pipelines tuning --params tuning.n_trials=20,tuning.workers=2",
            marks=pytest.mark.cluster,
        ),
        pytest.param(
            "kedro run --pipelines tuning,training,reporting --params "
            "tuning.n_trials=100,tuning.workers=4",
            marks=pytest.mark.cluster,
        ),
    ],
)
def test_a_long_search_ends_when_nothing_better_comes(command: str, ready: Path) -> None:
    impatient = {**SMALL, "tuning": {**SMALL["tuning"], "patience": 2}}
    (ready / "conf/local/parameters.yml").write_text(yaml.safe_dump(impatient))
    output = run_kedro(ready, command)
    assert "2 trials without improvement" in output
    assert ("Dask's dashboard" in output) is ("workers" in command)
    values = read_trials(ready)["value"]
    assert values.notna().all()
    assert 3 <= len(values) < 20
    assert len(values) - 1 - values.argmax() >= 2  # running trials were finished


@pytest.mark.cluster
def test_a_cluster_does_the_whole_job_by_the_documented_commands(ready: Path) -> None:
    (ready / "conf/local/parameters.yml").unlink()
    lay_over(ready, "dask", {**SMALL, "tuning": {**SMALL["tuning"], "n_trials": 3}})
    scheduler = "dask scheduler"
    worker = "dask worker tcp://HOST:8786 --nworkers 8 --nthreads 1 --memory-limit 0"
    run = "kedro run --env dask --params tuning.scheduler_address=tcp://HOST:8786"
    free = {
        "dask scheduler": "dask scheduler --port PORT --dashboard-address 127.0.0.1:0",
        "HOST:8786": "127.0.0.1:PORT",
        "--nworkers 8": "--nworkers 2",  # enough for three trials
    }
    with run_server(ready, f"{scheduler} &\n{worker}", free) as cluster:
        address = cluster.url.removeprefix("http://")
        output = run_kedro(ready, run, {"HOST:8786": address})
    assert "Dask's dashboard" in output
    assert read_trials(ready)["state"].tolist() == ["complete"] * 3


def read_trials(project: Path) -> pd.DataFrame:
    return pd.read_csv(project / "data/08_reporting/trials.csv")
