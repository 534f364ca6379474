import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers import base_parameters, make_encoded, small_hyperparameters, three_label_run
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
from services import EXAMPLES, Service, make_tokenizer, run_service

os.environ.pop("MLFLOW_TRACKING_URI", None)  # what tests run is not to be kept there
os.environ.pop("IMDB_SENTIMENT_API_KEY", None)  # nor does the service ask them for a reader's key


@pytest.fixture(scope="session")
def conf() -> dict[str, Any]:
    return base_parameters()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a project in which the main job has run, and what it printed."""
    return three_label_run(tmp_path_factory.mktemp("finished"))


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


@pytest.fixture(scope="session")
def exported() -> bytes:
    """Return a small exported model of two labels; its words are w0 to w27."""
    small = small_hyperparameters(
        units=5, dropout_rate=0.2, learning_rate=0.05, batch_size=8, epochs=3
    )
    model, _ = train_model(make_encoded(100), small, seed=1)
    return convert_to_onnx(
        model,
        make_tokenizer(),
        ("negative", "positive"),
        examples=EXAMPLES,
        facts={
            "fact": "true",
            "training_data_sha256": "5ea1",
            "made": "today",
            "training": json.dumps(
                {"seed": 1, "networks": 1, "ngrams": {"share": 0}, "use_validation_rows": True}
            ),
        },
    )


@pytest.fixture(scope="session")
def model_file(exported: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    path.write_bytes(exported)
    return path


@pytest.fixture(scope="session")
def service(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with run_service(model_file, tmp_path_factory.mktemp("service")) as running:
        yield running
