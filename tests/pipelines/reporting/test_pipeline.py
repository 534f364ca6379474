"""All nodes of reporting in one run, on data in memory."""

import pandas as pd
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from helpers import base_parameters, make_encoded, make_study, small_hyperparameters
from imdb_sentiment.datasets import RunFactsDataset
from imdb_sentiment.network.training import train_model
from imdb_sentiment.parameters import (
    BaselineParameters,
    CustomReviewsParameters,
    ReportParameters,
    ReviewsParameters,
    TokenizerParameters,
    TrainingParameters,
)
from imdb_sentiment.pipelines.reporting import create_pipeline
from imdb_sentiment.pipelines.training.nodes import fit_baseline
from services import make_tokenizer

CALIBRATION = {
    "temperature": 2.0,
    "fitted_temperature": 2.0,
    "source": "best_trial",
    "uncalibrated_reason": None,
    "validation_rows": 1000,
}
AUDIT = {
    "rows_read": 33,
    "accepted": 30,
    "rejected": 2,
    "rejected_by_reason": {"no text": 2},
    "duplicates": 1,
    "duplicates_with_another_label": 0,
}


def test_the_pipeline_makes_every_report(
    *,
    exported: bytes,
    reviews: ReviewsParameters,
    custom: CustomReviewsParameters,
    baseline_parameters: BaselineParameters,
    training: TrainingParameters,
    report: ReportParameters,
    tokenizer_parameters: TokenizerParameters,
) -> None:
    test = make_encoded(10, seed=4)
    model, _ = train_model(make_encoded(20), small_hyperparameters(epochs=1), seed=1)
    frame = pd.DataFrame(
        {
            "row": range(1, 31),
            "text": [f"w{i % 7} w{i % 3} {'good' if i % 2 else 'bad'}" for i in range(30)],
            "code": [i % 2 for i in range(30)],
            "split": ["test"] * 10 + ["validation"] * 5 + ["train"] * 15,
        }
    )
    catalog = DataCatalog(
        {
            "model": MemoryDataset(model, copy_mode="assign"),
            "test": MemoryDataset(test),
            "clean_reviews": MemoryDataset([frame]),
            "baseline": MemoryDataset(fit_baseline([frame], baseline_parameters, training)),
            "onnx_model": MemoryDataset(exported),
            "export_check": MemoryDataset({"largest_probability_difference": 1e-7}),
            "custom_reviews": MemoryDataset(pd.DataFrame({"review": ["w1", "w2"]})),
            "study": MemoryDataset(make_study(), copy_mode="assign"),
            "history": MemoryDataset({"accuracy": [0.5], "loss": [1.0]}),
            "best_hyperparameters": MemoryDataset(small_hyperparameters()),
            "calibration": MemoryDataset(CALIBRATION),
            "audit": MemoryDataset(AUDIT),
            "tokenizer": MemoryDataset(make_tokenizer(), copy_mode="assign"),
            "run_facts": RunFactsDataset(),
            "run_record@all": MemoryDataset({}),
            "parameters": MemoryDataset({**base_parameters(), "reviews": reviews}),
            "params:reviews": MemoryDataset(reviews),
            "params:custom_reviews": MemoryDataset(custom),
            "params:tokenizer": MemoryDataset(tokenizer_parameters),
            "params:report": MemoryDataset(report),
        }
    )
    outputs = SequentialRunner().run(create_pipeline(), catalog)
    page = outputs["report"].load()
    assert page.count('<div class="figure"') == 16
    assert "# Model card" in outputs["model_card"].load()
    assert "| LSTM |" in outputs["summary"].load()


def test_each_part_has_a_tag_and_a_namespace_of_its_name() -> None:
    pipeline = create_pipeline()
    parts = {node.name.split(".")[1] for node in pipeline.nodes}
    assert parts == {"scoring", "facts", "figures", "examples", "page"}
    for part in parts:
        tagged = pipeline.only_nodes_with_tags(part)
        assert tagged.nodes == pipeline.only_nodes_with_namespaces([f"reporting.{part}"]).nodes
    page = pipeline.only_nodes_with_tags("page")
    assert page.outputs() == {"report", "model_card", "summary"}
    test_set = pipeline.only_nodes_with_inputs("model") + pipeline.only_nodes_with_inputs(
        "baseline"
    )
    assert {node.namespace for node in test_set.nodes} == {"reporting.scoring"}
