import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from commands import RUN, find_missing
from helpers import (
    base_parameters,
    make_encoded,
    make_once,
    same_python_path,
    small_hyperparameters,
    three_label_run,
)
from imdb_sentiment.evaluation.stacking import Weights
from imdb_sentiment.network.export import convert_to_onnx
from imdb_sentiment.network.training import train_model
from imdb_sentiment.parameters import (
    BaselineParameters,
    CustomReviewsParameters,
    Hyperparameters,
    ReportParameters,
    ReviewsParameters,
    SplitParameters,
    TokenizerParameters,
    TrainingParameters,
    TuningParameters,
)
from services import EXAMPLES, Service, make_ngram_model, make_tokenizer, run_service

os.environ.pop("MLFLOW_TRACKING_URI", None)  # runs of the tests are not tracked
os.environ.pop("IMDB_SENTIMENT_API_KEY", None)  # the developer's key is not that of the tests

# An example may take long on a busy machine.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--check-commands",
        nargs="?",
        const="",
        metavar="WORD",
        help="fail if a command of README.md or docs/ was run neither now nor by the session "
        "before; with =WORD, only commands that contain it count",
    )


# Markers that follow from a fixture.
MARKERS = {"browser": "browser", "postgresql": "postgres", "two": "cluster", "cluster": "cluster"}


@pytest.hookimpl(tryfirst=True)  # before pytest deselects tests by marker
def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    for item in items:
        for fixture in MARKERS.keys() & set(item.fixturenames):
            item.add_marker(MARKERS[fixture])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Collect the commands that a process of pytest-xdist has run."""
    RUN.update(getattr(node, "workeroutput", {}).get("commands", ()))


def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    if hasattr(config, "workeroutput"):
        config.workeroutput["commands"] = sorted(RUN)
        return
    word = config.getoption("--check-commands")
    cache = getattr(config, "cache", None)
    if word is None:
        if cache:  # for the slow tests, which `make test-all` runs next
            cache.set("imdb_sentiment/commands", sorted(RUN))
        return
    if session.exitstatus != pytest.ExitCode.OK:
        return
    if cache:
        RUN.update(cache.get("imdb_sentiment/commands", []))
    if missing := find_missing(word):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        report: Any = config.pluginmanager.get_plugin("terminalreporter")
        report.write_line("\nDocumented commands that no test has run:", red=True)
        for command in missing:
            report.write_line(f"  {command}")


@pytest.fixture(autouse=True, scope="module")
def python_path_of_module() -> Iterator[None]:
    """Keep what fixtures of a module do to the path of imports from other modules."""
    with same_python_path():
        yield


@pytest.fixture(autouse=True)
def python_path_of_test() -> Iterator[None]:
    with same_python_path():
        yield


@pytest.fixture(scope="session")
def conf() -> dict[str, Any]:
    return base_parameters()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a project in which the main job has run, and its output; read it only."""

    def make(folder: Path) -> None:
        (folder / "console.txt").write_text(three_label_run(folder)[1], encoding="utf-8")

    project = make_once(tmp_path_factory, "finished", make)
    return project, (project / "console.txt").read_text(encoding="utf-8")


@pytest.fixture
def copy_of_finished(finished: tuple[Path, str], tmp_path: Path) -> Path:
    """Return a copy of the finished project that the test may change."""
    return shutil.copytree(finished[0], tmp_path / "project")


@pytest.fixture
def reviews(conf: dict[str, Any]) -> ReviewsParameters:
    return ReviewsParameters(**conf["reviews"])


@pytest.fixture
def split(conf: dict[str, Any]) -> SplitParameters:
    return SplitParameters(**conf["split"])


@pytest.fixture
def tokenizer_parameters(conf: dict[str, Any]) -> TokenizerParameters:
    return TokenizerParameters(**conf["tokenizer"])


@pytest.fixture
def hyperparameters() -> Hyperparameters:
    return small_hyperparameters()


@pytest.fixture
def tuning(conf: dict[str, Any]) -> TuningParameters:
    space = conf["tuning"]["search_space"] | {"units": {"type": "int", "low": 2, "high": 4}}
    return TuningParameters(**{**conf["tuning"], "search_space": space})


@pytest.fixture
def training(conf: dict[str, Any]) -> TrainingParameters:
    return TrainingParameters(**conf["training"])


@pytest.fixture
def baseline_parameters(conf: dict[str, Any]) -> BaselineParameters:
    return BaselineParameters(**conf["baseline"])


@pytest.fixture
def custom(conf: dict[str, Any]) -> CustomReviewsParameters:
    return CustomReviewsParameters(**conf["custom_reviews"])


@pytest.fixture
def report(conf: dict[str, Any]) -> ReportParameters:
    return ReportParameters(**conf["report"])


def export_small_model() -> bytes:
    small = small_hyperparameters(
        units=5, dropout_rate=0.2, learning_rate=0.05, batch_size=8, epochs=3
    )
    reviews = make_encoded(100)
    model, _ = train_model(reviews, small, seed=1)
    weights = Weights.from_share(0.4)
    return convert_to_onnx(
        model,
        make_tokenizer(),
        ("negative", "positive"),
        head_length=2,
        ngram_model=make_ngram_model(reviews),
        weights=weights,
        examples=EXAMPLES,
        facts={
            "fact": "true",
            "training_data_sha256": "5ea1",
            "lineage": "[]",
            "made": "today",
            "training": json.dumps(
                {
                    "seed": 1,
                    "ngrams": {"share": "auto"},
                    "use_validation_rows": True,
                }
            ),
            "calibration": json.dumps(
                {
                    "weights": asdict(weights),
                    "ngram_share": weights.share,
                    "temperature": weights.temperature,
                    "uncalibrated_reason": None,
                    "held_out_rows": 100,
                }
            ),
        },
    )


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small exported model of two labels, with n-grams; its words are w0 to w27."""

    def make(folder: Path) -> None:
        (folder / "model.onnx").write_bytes(export_small_model())

    return make_once(tmp_path_factory, "model", make) / "model.onnx"


@pytest.fixture(scope="session")
def exported(model_file: Path) -> bytes:
    return model_file.read_bytes()


@pytest.fixture(scope="session")
def thread_cluster() -> Iterator[str]:
    """Yield the address of a Dask cluster of two threads, which is up in a moment."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(scope="session")
def service(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with run_service(model_file, tmp_path_factory.mktemp("service")) as running:
        yield running
