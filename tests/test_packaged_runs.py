"""The pipelines without the source tree, as docs/deployment.md has them."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
import yaml

from helpers import PROJECT, SMALL, make_reviews, run_kedro, run_shell, write_csv

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Package a copy of the project; return the folder with the wheel and the configuration."""
    project = tmp_path_factory.mktemp("project")
    for name in ("pyproject.toml", ".telemetry", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, project)
    for name in ("src", "conf"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "local")
        shutil.copytree(PROJECT / name, project / name, ignore=ignored)
    (project / "conf/local").mkdir()
    (project / "conf/local/credentials.yml").write_text("bucket: {key: secret}\n")
    run_shell(project, "kedro package")
    return project / "dist"


@pytest.fixture
def elsewhere(package: Path, tmp_path: Path) -> dict[str, str]:
    """Create an environment with the project's dependencies, but not its source tree.

    Returns:
        The environment variables with which it is active.
    """
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    own = sysconfig.get_path("purelib", vars={"base": str(tmp_path / "env")})
    # Python adds this folder to its path, but ignores the `.pth` files in it.
    (Path(own) / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return {
        "PATH": os.pathsep.join([str(tmp_path / "env/bin"), os.environ["PATH"]]),
        "PYTHONPATH": "",
        "PIP_NO_INDEX": "1",  # nothing is missing
    }


def test_the_wheel_has_every_file_of_the_package(package: Path) -> None:
    (wheel,) = package.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    files = (path for path in (PROJECT / "src/imdb_sentiment").rglob("*") if path.is_file())
    assert packed == {
        path.relative_to(PROJECT / "src").as_posix() for path in files if path.suffix != ".pyc"
    }


def test_the_wheel_runs_with_a_folder_of_conf(
    package: Path, elsewhere: dict[str, str], tmp_path: Path
) -> None:
    folder = shutil.copytree(package, tmp_path / "folder")
    write_csv(folder / "data/01_raw/mine.csv", make_reviews(200))
    shutil.copy(PROJECT / "data/01_raw/custom_reviews.csv", folder / "data/01_raw")
    run_shell(folder, "pip install imdb_sentiment-*.whl", environment=elsewhere)
    run_shell(folder, "tar -xzf conf-imdb_sentiment.tar.gz")
    assert not (folder / "conf/local/credentials.yml").exists()
    (folder / "conf/local/parameters.yml").write_text(yaml.safe_dump(SMALL))
    (folder / "conf/local/globals.yml").write_text("reviews_file: mine.csv\n")

    output = run_shell(folder, "imdb-sentiment --conf-source=conf", environment=elsewhere)
    assert "mine.csv" in output
    assert "usage data" not in output  # no telemetry here either
    metrics = json.loads((folder / "data/08_reporting/metrics.json").read_text("utf-8"))
    assert metrics["test_rows"] == 40
    assert (folder / "data/08_reporting/report.html").exists()
    where = 'python -c "import imdb_sentiment as i; print(i.__file__)"'
    assert str(tmp_path / "env") in run_shell(folder, where, environment=elsewhere)


# What a DAG of Kedro-Airflow takes from Airflow, and a function that runs its tasks in their order.
AIRFLOW = """
import graphlib

class Task:
    def __init__(self, name, function):
        self.name, self.function, self.after = name, function, []

    def __rshift__(self, later):
        later.after.append(self)

TASKS = []

def task(task_id):
    def decorate(function):
        def create():
            TASKS.append(Task(task_id, function))
            return TASKS[-1]
        return create
    return decorate

def dag(**options):
    return lambda function: function

def run():
    for found in graphlib.TopologicalSorter({t: t.after for t in TASKS}).static_order():
        print("task:", found.name, flush=True)
        found.function()
"""


def test_an_airflow_dag_has_a_task_per_pipeline(copy_of_finished: Path, tmp_path: Path) -> None:
    whole_run = (copy_of_finished / "data/08_reporting/metrics.json").read_text("utf-8")
    for path in (copy_of_finished / "data").iterdir():
        if path.name != "01_raw":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (copy_of_finished / "conf/local/globals.yml").write_text("reviews_file: IMDB Dataset.csv\n")
    run_kedro(copy_of_finished, "kedro airflow create --group-by namespace")

    (tmp_path / "airflow").mkdir()
    (tmp_path / "airflow/sdk.py").write_text(AIRFLOW)
    code = "import runpy; runpy.run_path('airflow_dags/imdb_sentiment_dag.py')"
    code += "; import airflow.sdk; airflow.sdk.run()"
    output = run_shell(
        copy_of_finished, f'python -c "{code}"', environment={"PYTHONPATH": str(tmp_path)}
    )
    tasks = [line for line in output.splitlines() if line.startswith("task:")]
    pipelines = ("data-processing", "tuning", "training", "reporting")
    assert tasks == [f"task: {name}" for name in pipelines]
    assert (copy_of_finished / "data/08_reporting/metrics.json").read_text("utf-8") == whole_run
