"""The steps of the Dockerfile, in a fresh environment instead of an image."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from commands import RUN
from helpers import PROJECT
from services import Service, run_service, write_record

TOO_HEAVY = ("tensorflow", "keras", "kedro", "pandas", "sklearn", "optuna")


def test_the_health_check_asks_no_proxy(service: Service) -> None:
    (line,) = (
        line.removeprefix("HEALTHCHECK CMD ")
        for line in (PROJECT / "Dockerfile").read_text().splitlines()
        if line.startswith("HEALTHCHECK")
    )
    _, *options = json.loads(line.replace("http://127.0.0.1:8000", service.url))
    proxy = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    subprocess.run([sys.executable, *options], env=os.environ | proxy, check=True)


@pytest.fixture(scope="module")
def python(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create the content of the image's /app and an environment; return its Python."""
    app = tmp_path_factory.mktemp("app")
    made = {
        "data/06_models/model.onnx": model_file,
        "data/08_reporting/runs": write_record(app.with_name("runs"), model_file.read_bytes()),
    }
    python = app / "env/bin/python"
    subprocess.run([sys.executable, "-m", "venv", app / "env"], check=True)
    for line in (PROJECT / "Dockerfile").read_text().splitlines():
        instruction, _, words = line.partition(" ")
        if instruction == "COPY":
            *sources, target = words.split()
            for source in (made.get(name, PROJECT / name) for name in sources):
                if source.is_dir():
                    ignored = shutil.ignore_patterns("__pycache__")
                    shutil.copytree(source, app / target, ignore=ignored)
                else:
                    shutil.copy(source, app / target)
        elif instruction == "RUN" and words.startswith("python "):
            options = ["--quiet", "--disable-pip-version-check", "--no-compile"]
            subprocess.run([python, *shlex.split(words)[1:], *options], cwd=app, check=True)
            RUN.add(words.removeprefix("python -m ").replace(" --no-cache-dir", ""))
    return python


@pytest.mark.slow  # it installs packages
def test_it_serves_without_what_trained_the_model(python: Path, tmp_path: Path) -> None:
    app = python.parents[2]
    records = ("--records", str(app / "data/08_reporting/runs"))  # the default, if run from /app
    with run_service(app / "model.onnx", tmp_path, *records, python=python) as service:
        answer = httpx.post(f"{service.url}/predict", json={"texts": ["w1 w2"]})
        assert answer.json()["predictions"][0]["label"] in ("negative", "positive")
        assert "<title>" in httpx.get(service.url).text
        assert httpx.get(f"{service.url}/swagger/swagger-ui.css").status_code == 200
        assert httpx.get(f"{service.url}/model").json()["test"]["reviews"] == 1000
    found = "import importlib.util as u, sys; print([n for n in sys.argv[1:] if u.find_spec(n)])"
    done = subprocess.run(
        [python, "-c", found, *TOO_HEAVY], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_a_run_of_pipelines_says_what_is_missing(python: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [python, "-m", "imdb_sentiment"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Error: No module named 'kedro': only `imdb-sentiment serve` works" in done.stderr
    assert "Traceback" not in done.stderr
