"""All nodes of reporting in one run, on data in memory."""

from pathlib import Path

import numpy as np
import pandas as pd
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from helpers import (
    base_parameters,
    make_encoded,
    make_study,
    small_hyperparameters,
    with_words,
)
from imdb_sentiment.datasets import AtomicDataset, RunFactsDataset
from imdb_sentiment.evaluation.objectives import make_metric
from imdb_sentiment.evaluation.stacking import Weights
from imdb_sentiment.network.export import convert_to_onnx
from imdb_sentiment.network.training import train_model
from imdb_sentiment.parameters import (
    BaselineParameters,
    CustomReviewsParameters,
    ReportParameters,
    ReviewsParameters,
    SplitParameters,
    TokenizerParameters,
    TrainingParameters,
)
from imdb_sentiment.pipelines.reporting import create_pipeline
from imdb_sentiment.pipelines.training.baseline import fit_baseline
from imdb_sentiment.pipelines.tuning.protocol import NEVER_HELD_OUT
from services import CALIBRATION, EVEN, GOOD, make_tokenizer

AUDIT = {
    "rows_read": 33,
    "accepted": 30,
    "rejected": 2,
    "rejected_by_reason": {"no text": 2},
    "duplicates": 1,
    "duplicates_with_another_label": 0,
    "scripts": {"Latin": 0.9, "Han": 0.1},
}


def test_the_pipeline_makes_every_report(
    *,
    reviews: ReviewsParameters,
    custom: CustomReviewsParameters,
    baseline_parameters: BaselineParameters,
    split: SplitParameters,
    training: TrainingParameters,
    report: ReportParameters,
    tokenizer_parameters: TokenizerParameters,
    tmp_path: Path,
) -> None:
    test = make_encoded(10, seed=4)
    model, _ = train_model(make_encoded(20), small_hyperparameters(epochs=1), seed=1)
    exported = convert_to_onnx(
        model,
        make_tokenizer(),
        test.labels,
        ngram_model=GOOD,
        weights=Weights(**CALIBRATION["weights"]),
        facts={
            "made": "today",
            "training": training.model_dump_json(),
            "training_data_sha256": "5ea1",
            "lineage": "[]",
        },
    )
    frame = pd.DataFrame(
        {
            "row": range(1, 31),
            "text": [f"w{i % 7} w{i % 3} {'good' if i % 2 else 'bad'}" for i in range(30)],
            "code": [i % 2 for i in range(30)],
            "split": ["test"] * 10 + ["validation"] * 5 + ["train"] * 15,
        }
    )
    frame, words = with_words(frame)
    metric = make_metric("accuracy", None, reviews.labels, are_ordered=False)
    baseline, baseline_decision = fit_baseline(
        [frame],
        train=make_encoded(15),
        validation=make_encoded(5),
        baseline=baseline_parameters,
        metric=metric,
        folds=np.full(20, NEVER_HELD_OUT, np.int32),
        training=training,
        reviews=reviews,
        script="auto",
    )
    catalog = DataCatalog(
        {
            "model": MemoryDataset(model, copy_mode="assign"),
            "ngram_model": MemoryDataset(GOOD),
            "train": MemoryDataset(make_encoded(20)),
            "validation": MemoryDataset(make_encoded(10)),
            "test": MemoryDataset(test),
            "clean_reviews": MemoryDataset([frame]),
            "words": MemoryDataset(words),
            "baseline": MemoryDataset(baseline),
            "baseline_decision": MemoryDataset(baseline_decision),
            "onnx_model": MemoryDataset(exported),
            "export_check": MemoryDataset({"largest_probability_difference": 1e-7}),
            "custom_reviews": MemoryDataset(pd.DataFrame({"review": ["w1", "w2"]})),
            "study": MemoryDataset(make_study(), copy_mode="assign"),
            "history": MemoryDataset({"accuracy": [0.5], "loss": [1.0]}),
            "best_hyperparameters": MemoryDataset(small_hyperparameters()),
            "calibration": MemoryDataset(CALIBRATION),
            "decision": MemoryDataset(EVEN),
            "audit": MemoryDataset(AUDIT),
            "tokenizer": MemoryDataset(make_tokenizer(), copy_mode="assign"),
            "run_facts": RunFactsDataset(),
            "metrics": AtomicDataset(
                filepath=str(tmp_path / "metrics.json"), dataset="json.JSONDataset"
            ),
            "run_record@all": MemoryDataset({}),
            "last_label_check": MemoryDataset({}),
            "parameters": MemoryDataset({**base_parameters(), "reviews": reviews}),
            "review_settings": MemoryDataset(reviews),
            "params:custom_reviews": MemoryDataset(custom),
            "params:tokenizer": MemoryDataset(tokenizer_parameters),
            "params:report": MemoryDataset(report),
            "metric": MemoryDataset(metric),
            "params:split.group_column": MemoryDataset(None),
        }
    )
    outputs = SequentialRunner().run(create_pipeline(), catalog)
    page = outputs["report"].load()
    # For a first model, the figure that compares it with others is left out.
    assert page.count('<div class="figure"') == 14
    assert 'href="#runs"' not in page
    assert "# Model card" in outputs["model_card"].load()
    for page in ("model_card", "report"):
        assert "Scripts of the accepted reviews: Latin 90.0%, Han 10.0%." in outputs[page].load()
    metrics = catalog.load("metrics")
    summary = outputs["summary"].load()
    for name, prefix in (
        ("LSTM and n-grams", ""),
        ("TF-IDF and logistic regression", "baseline_"),
    ):
        low, high = (metrics[f"{prefix}test_accuracy_{end}"] for end in ("low", "high"))
        accuracy, f1 = (metrics[f"{prefix}test_{score}"] for score in ("accuracy", "f1_macro"))
        assert f"| {name} | {accuracy:.4f} | {low:.4f} to {high:.4f} | {f1:.4f} |" in summary
    lstm, ngrams = (metrics[f"{part}_test_accuracy"] for part in ("lstm", "ngrams"))
    assert f"The LSTM alone reaches {lstm:.4f}, the n-grams alone {ngrams:.4f}." in summary
    assert metrics["ngrams_test_accuracy"] == 1  # the word tells the labels apart


def test_each_part_has_a_tag_and_a_namespace_of_its_name() -> None:
    pipeline = create_pipeline()
    parts = {node.name.split(".")[1] for node in pipeline.nodes}
    assert parts == {"scoring", "metrics", "facts", "figures", "examples", "page"}
    for part in parts:
        tagged = pipeline.only_nodes_with_tags(part)
        assert tagged.nodes == pipeline.only_nodes_with_namespaces([f"reporting.{part}"]).nodes
    page = pipeline.only_nodes_with_tags("page")
    assert page.outputs() == {"report", "model_card", "summary"}
    test_set = pipeline.only_nodes_with_inputs("model") + pipeline.only_nodes_with_inputs(
        "baseline"
    )
    assert {node.namespace for node in test_set.nodes} == {"reporting.scoring"}
