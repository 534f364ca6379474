"""Whole runs that are killed and resumed, and runs that begin together, give equal results."""

import contextlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from helpers import (
    PATIENCE,
    SMALL,
    THREE_LABELS,
    kedro,
    make_project,
    make_reviews,
    start_kedro,
    wait_for_log,
    wait_until,
    write_csv,
)
from imdb_sentiment.framework.lineage import Lineage

# More with KILLS=20; each takes half a minute.
KILLS = int(os.environ.get("KILLS", "2"))

# During one of these, or up to a second later, a run is killed.
NODES = (
    "check_reviews",
    "split_reviews",
    "fit_tokenizer",
    "encode_reviews",
    "tune_hyperparameters",
    "fit_baseline",
    "fit_ngrams",
    "teach_ngrams",
    "fit_best_model",
)

# All whose content does not depend on the time of the run.
SAME = (
    "checked_reviews",
    "audit",
    "clean_reviews",
    "tokenizer",
    "word_vectors",
    "train",
    "validation",
    "test",
    "best_hyperparameters",
    "network_held_out",
    "ngram_model",
    "ngrams_held_out",
    "calibration",
    "metrics",
    "test_predictions",
    "part_predictions",
    "baseline_predictions",
    "custom_predictions",
    "confusion_matrix_figure",
)


def start_project(folder: Path) -> Path:
    folder.mkdir()
    labels = {"reviews": {"labels": list(THREE_LABELS)}}
    project = make_project(folder, SMALL | labels)
    write_csv(project / "data/01_raw/sample_reviews.csv", make_reviews(300, THREE_LABELS))
    return project


def read_results(project: Path) -> dict[str, str]:
    records = Lineage(project).read()
    return {name: records[name].digest for name in SAME}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the results of an uninterrupted run."""
    project = start_project(tmp_path_factory.mktemp("whole") / "project")
    done = kedro(project, "run")
    assert done.returncode == 0, done.stdout
    return read_results(project)


def kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(KILLS))
def test_a_killed_run_goes_on_to_the_same_results(
    number: int, whole: dict[str, str], tmp_path: Path
) -> None:
    rng = random.Random(number)
    project = start_project(tmp_path / "project")
    process = start_kedro(project, "run")
    wait_for_log(process, project, f"Running node: {rng.choice(NODES)}")
    time.sleep(rng.random())
    kill(process)
    assert process.returncode == -signal.SIGKILL
    resumed = kedro(project, "run", "--only-missing-outputs")
    assert resumed.returncode == 0, resumed.stdout
    assert read_results(project) == whole
    leftovers = [path.name for path in (project / "data/.runs").iterdir()]
    assert not [name for name in leftovers if name.endswith(".json")]


@pytest.mark.slow
def test_of_two_runs_in_one_folder_one_goes_on(whole: dict[str, str], tmp_path: Path) -> None:
    project = start_project(tmp_path / "project")
    runs = []
    for _ in range(2):
        runs.append(start_kedro(project, "run"))
        time.sleep(1)
    outputs = [run.communicate(timeout=2 * PATIENCE)[0] for run in runs]
    codes = [run.returncode for run in runs]
    assert sorted(codes) == [0, 1], outputs
    refused = " ".join(outputs[codes.index(1)].split())
    assert "another run is using data/" in refused
    assert "Traceback" not in refused
    assert read_results(project) == whole


@pytest.mark.slow
def test_two_searches_in_one_folder_share_their_study(tmp_path: Path) -> None:
    project = start_project(tmp_path / "project")
    assert kedro(project, "run", "--pipelines", "data_processing").returncode == 0
    arguments = ("run", "--pipelines", "tuning", "--params", "tuning.n_trials=6")
    runs = [start_kedro(project, *arguments) for _ in range(2)]
    outputs = [run.communicate(timeout=2 * PATIENCE)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outputs
    records = Lineage(project).read()
    made: set[Any] = {records[name].run for name in ("best_hyperparameters", "network_held_out")}
    assert len(made) == 1
    trials = (project / "data/08_reporting/trials.csv").read_text().splitlines()
    assert len(trials) == 1 + 6
    rest = kedro(project, "run", "--pipelines", "training,reporting")
    assert rest.returncode == 0, rest.stdout


@pytest.mark.slow
def test_two_different_searches_in_one_folder_do_not_overwrite_their_results(
    tmp_path: Path,
) -> None:
    project = start_project(tmp_path / "project")
    assert kedro(project, "run", "--pipelines", "data_processing").returncode == 0
    arguments = ("run", "--pipelines", "tuning", "--params", "tuning.n_trials=20")
    with start_kedro(project, *arguments) as first:
        wait_until(lambda: any((project / "data/.runs").glob("*.json")))
        changed = "tuning.n_trials=20,tuning.metric=f1_macro"
        second = kedro(project, "run", "--pipelines", "tuning", "--params", changed)
        first.kill()
    assert second.returncode == 1
    assert "another run is using data/" in " ".join(second.stdout.split())
