"""What the documents show as Python is run as it stands."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from helpers import PROJECT, kedro

SNIPPETS = [
    pytest.param(snippet, id=f"{path.name}, {number}")
    for path in (PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md")))
    for number, snippet in enumerate(
        re.findall(r"```python\n(.*?)```", path.read_text("utf-8"), re.S)
    )
]

COMMANDS = {
    line.split("  #")[0].split(" # ")[0].strip()
    for path in (PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md")))
    for block in re.findall(r"^```bash\n(.*?)^```", path.read_text("utf-8"), re.S | re.M)
    for line in block.splitlines()
    if line.strip()
}

# What stands for each command that the documents show: a file that CI goes by, or a test that does
# what it does, with a small project or model in the place of the reader's.
RUN_BY = {
    "make run": ".ci/run",
    "make test": ".ci/run",
    "make mlflow": ".ci/run",
    "python3 -m venv .venv": "Makefile",
    ".venv/bin/python -m pip install --require-hashes -r requirements.txt": "Makefile",
    ".venv/bin/python -m pip install --no-deps --no-build-isolation -e .": "Makefile",
    ".venv/bin/kedro run": "Makefile",
    ".venv/bin/python -m pytest": "Makefile",
    'pip install -e ".[dashboard]"': "tests/test_docs.py::test_an_extra_installs",
    'pip install -e ".[dask]"': "tests/test_docs.py::test_an_extra_installs",
    'pip install -e ".[postgresql]"': "tests/test_docs.py::test_an_extra_installs",
    'pip install -e ".[serve]"': "tests/test_docs.py::test_an_extra_installs",
    'kedro run --params "reviews_file=IMDB Dataset.csv"': (
        "tests/test_run.py::test_three_labels_are_told_apart"
    ),
    "kedro run --pipelines imdb_download": (
        "tests/test_run.py::test_an_archive_of_ones_own_is_a_parameter"
    ),
    "kedro run --env imdb": "tests/test_run.py::test_the_env_imdb_does_the_whole_job",
    'kedro run --env best --params "reviews_file=IMDB Dataset.csv"': (
        "tests/test_run.py::test_the_env_best_does_the_whole_job_on_three_labels"
    ),
    "kedro run --env best --params reviews_file=imdb_reviews.csv,split.method=column,"
    "split.group_column=block": (
        "tests/test_run.py::test_the_env_best_does_the_whole_job_on_three_labels"
    ),
    "kedro run --pipelines tuning --params tuning.n_trials=20": (
        "tests/pipelines/test_tuning.py::test_a_search_that_is_ended_goes_on_as_if_it_had_not_been"
    ),
    "kedro run --pipelines tuning --params tuning.n_trials=100": (
        "tests/pipelines/test_tuning.py::test_a_search_that_is_ended_goes_on_as_if_it_had_not_been"
    ),
    "kedro run --pipelines tuning --params tuning.n_trials=20,tuning.workers=2": (
        "tests/pipelines/test_tuning.py::test_a_worker_that_dies_costs_a_retry_and_not_the_run"
    ),
    "kedro run --pipelines tuning --params tuning.n_trials=100,tuning.workers=4": (
        "tests/pipelines/test_tuning.py::test_a_worker_that_dies_costs_a_retry_and_not_the_run"
    ),
    "dask scheduler": "tests/pipelines/test_tuning.py::test_the_env_dask_uses_a_running_cluster",
    "dask worker tcp://HOST:8786 --nworkers 8 --nthreads 1 --memory-limit 0": (
        "tests/pipelines/test_tuning.py::test_the_env_dask_uses_a_running_cluster"
    ),
    "kedro run --env dask --params tuning.scheduler_address=tcp://HOST:8786": (
        "tests/pipelines/test_tuning.py::test_the_env_dask_uses_a_running_cluster"
    ),
    "kedro run --pipelines inference --params input_file=reviews.csv,output_file=scored.csv": (
        "tests/pipelines/test_inference.py::"
        "test_the_command_scores_a_file_and_leaves_nothing_half_written"
    ),
    "kedro run --pipelines reporting": "tests/test_run.py::test_every_run_leaves_a_record",
    "kedro run --pipelines lengths": (
        "tests/test_docs.py::test_a_pipeline_is_added_as_the_document_has_it"
    ),
    "imdb-sentiment serve": "tests/serving/test_service.py::test_predictions_are_the_predictors",
    'curl -s 127.0.0.1:8000/predict -H "Content-Type: application/json" '
    '-d \'{"texts": ["A gem."]}\'': (
        "tests/serving/test_service.py::test_predictions_are_the_predictors"
    ),
    "docker build -t imdb-sentiment .": (
        "tests/serving/test_deployment.py::test_it_serves_without_what_trained_the_model"
    ),
    "docker run -p 8000:8000 -e IMDB_SENTIMENT_API_KEY=SECRET imdb-sentiment": (
        "tests/serving/test_deployment.py::test_it_serves_without_what_trained_the_model"
    ),
    "kedro viz run": "tests/test_viz.py::test_every_pipeline_and_layer_is_drawn",
    "optuna-dashboard sqlite:///data/06_models/study.db": (
        "tests/test_viz.py::test_optunas_dashboard_opens_the_study"
    ),
    "jupyter lab notebooks/explore.ipynb": (
        "tests/test_notebooks.py::test_notebooks_run_on_a_finished_project"
    ),
    "jupyter lab notebooks/report.ipynb": (
        "tests/test_notebooks.py::test_notebooks_run_on_a_finished_project"
    ),
    "export MLFLOW_TRACKING_URI=sqlite:///mlflow.db MLFLOW_DISABLE_TELEMETRY=true": (
        "tests/test_mlflow.py::test_a_run_is_kept_with_parameters_metrics_and_files"
    ),
    "kedro run": "tests/test_mlflow.py::test_a_run_is_kept_with_parameters_metrics_and_files",
    'mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI"': (
        "tests/test_mlflow.py::test_the_page_lists_the_run"
    ),
}


def test_something_stands_for_every_command() -> None:
    assert sorted(COMMANDS) == sorted(RUN_BY)
    for command, place in RUN_BY.items():
        name, _, test = place.partition("::")
        text = (PROJECT / name).read_text("utf-8")
        if test:
            assert f"def {test}(" in text, place
        elif name == ".ci/run":
            assert f"\n{command}\n" in text
        else:
            assert re.search(command.split()[-1].replace(".venv/bin", r"\$\(BIN\)"), text)


@pytest.mark.parametrize(
    "command", [some for some in sorted(COMMANDS) if some.startswith("pip install")]
)
def test_an_extra_installs(command: str) -> None:
    """The pins have all that it names, so pip needs no index, and has nothing to do."""
    offline = ["--dry-run", "--no-index", "--no-build-isolation"]
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(command), *offline],
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "does not provide the extra" not in done.stderr
    [installed] = re.findall(r"^Would install (.*)", done.stdout, re.M)
    assert re.fullmatch(r"imdb-sentiment-\S+", installed)


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_runs(snippet: str, model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "data/06_models").mkdir(parents=True)
    shutil.copy(model_file, tmp_path / "data/06_models/model.onnx")
    subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path, check=True, timeout=60)


def test_there_are_snippets() -> None:
    assert len(SNIPPETS) >= 2


def test_a_pipeline_is_added_as_the_document_has_it(
    finished: tuple[Path, str], tmp_path: Path
) -> None:
    project = shutil.copytree(finished[0], tmp_path / "project")
    text = (PROJECT / "docs/architecture.md").read_text("utf-8")
    files = re.findall(r"^`([\w/]+\.\w+)`:\n\n```\w+\n(.*?)```", text, re.M | re.S)
    assert len(files) == 3
    for name, content in files:
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(content)
    done = kedro(project, "run", "--pipelines", "lengths")
    assert done.returncode == 0, done.stdout
    lengths = pd.read_csv(project / "data/08_reporting/lengths.csv")
    assert lengths["code"].tolist() == [0, 1, 2]
    assert lengths["words"].between(8, 10).all()  # three words, five fillers, a number
