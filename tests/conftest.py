from pathlib import Path
from typing import Any

import pytest

from helpers import base_parameters, three_label_run
from imdb_sentiment.parameters import (
    BaselineParameters,
    CustomReviewsParameters,
    Hyperparameters,
    ReviewsParameters,
    SplitParameters,
    TokenizerParameters,
    TrainingParameters,
    TuningParameters,
)


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
def hyperparameters(conf: dict[str, Any]) -> Hyperparameters:
    small = {"embedding_size": 4, "units": 3, "learning_rate": 0.02, "batch_size": 16, "epochs": 2}
    return Hyperparameters(**{**conf["hyperparameters"], **small})


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
