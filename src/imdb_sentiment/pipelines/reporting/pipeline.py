"""The wiring of reporting, part by part: scoring, metrics, facts, figures, examples, page."""

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Node, Pipeline

from imdb_sentiment.pipelines.reporting.nodes import (
    custom,
    embedding,
    examples,
    facts,
    metrics,
    page,
    runs,
    scoring,
)
from imdb_sentiment.pipelines.reporting.nodes.figures import (
    curves,
    data,
    learning_curves,
    predictions,
    run_history,
    trials,
)

# Inputs that several functions take together.
_BOTH = ["test_predictions", "baseline_predictions"]

# The functions that draw the figures, with their inputs: `plot_NAME` draws `NAME_figure`.
_FIGURES: dict[Callable[..., Any], list[str] | dict[str, str]] = {
    data.plot_label_balance: ["data_description"],
    data.plot_review_lengths: ["data_description", "calibration"],
    data.plot_distinctive_words: ["data_description"],
    trials.plot_optimization_history: ["study"],
    trials.plot_parameter_importances: ["study"],
    trials.plot_slice: ["study"],
    trials.plot_trial_times: ["study"],
    learning_curves.plot_learning_curves: ["history", "study", "best_hyperparameters"],
    predictions.plot_confusion_matrix: ["test_predictions", "review_settings"],
    curves.plot_roc_curves: [*_BOTH, "review_settings"],
    curves.plot_precision_recall_curves: [*_BOTH, "review_settings"],
    curves.plot_thresholds: ["test_predictions", "decision", "review_settings"],
    predictions.plot_reliability: [
        "test_predictions",
        "calibration",
        "review_settings",
        "params:report",
    ],
    predictions.plot_accuracy_by_length: {
        **{name: name for name in (*_BOTH, "clean_reviews", "tokenizer", "words")},
        "data_description": "data_description",
        "calibration": "calibration",
        "report": "params:report",
    },
    predictions.plot_accuracy_by_confidence: _BOTH,
    # `record_run` saves one record; this view of the same folder loads all of them.
    run_history.plot_run_history: ["run_record@all"],
}


def create_pipeline(**kwargs: object) -> Pipeline:
    """Return the pipeline from the trained models to the documents for users."""
    parts = {
        "scoring": _score(),
        "metrics": _measure(),
        "facts": _collect_facts(),
        "figures": [_node(func, inputs, _name_figure(func)) for func, inputs in _FIGURES.items()],
        "examples": _explain_examples(),
        "page": _write_page(),
    }
    return Pipeline(
        [
            Pipeline(nodes, namespace=name, tags=name, prefix_datasets_with_namespace=False)
            for name, nodes in parts.items()
        ],
        namespace="reporting",
        prefix_datasets_with_namespace=False,
    )


def _node(
    func: Callable[..., Any],
    inputs: str | list[str] | dict[str, str],
    outputs: str | list[str],
) -> Node:
    """Return a node that has the name of its function."""
    return Node(func, inputs, outputs, name=func.__name__)


def _name_figure(func: Callable[..., Any]) -> str:
    return f"{func.__name__.removeprefix('plot_')}_figure"


def _score() -> list[Node]:
    return [
        _node(
            scoring.score_test_reviews,
            {
                "model": "model",
                "ngram_model": "ngram_model",
                "calibration": "calibration",
                "decision": "decision",
                "test": "test",
                "clean_reviews": "clean_reviews",
            },
            ["test_predictions", "part_predictions"],
        ),
        _node(
            scoring.score_baseline,
            ["baseline", "baseline_decision", "clean_reviews", "review_settings"],
            "baseline_predictions",
        ),
        _node(
            custom.find_custom_texts,
            ["custom_reviews", "review_settings", "params:custom_reviews"],
            "custom_settings",
        ),
        _node(
            custom.choose_custom_reviews,
            {
                "custom_reviews": "custom_reviews",
                "test_predictions": "test_predictions",
                "tokenizer": "tokenizer",
                "reviews": "review_settings",
                "custom": "custom_settings",
            },
            "chosen_custom_reviews",
        ),
        _node(
            scoring.score_custom_reviews,
            ["onnx_model", "chosen_custom_reviews"],
            "custom_predictions",
        ),
    ]


def _measure() -> list[Node]:
    predictions = {
        name: name for name in ("test_predictions", "part_predictions", "baseline_predictions")
    }
    return [
        _node(
            metrics.measure_models,
            {
                **predictions,
                "test": "test",
                "reviews": "review_settings",
                "report": "params:report",
            },
            "scores",
        ),
        _node(
            metrics.compare_with_baseline,
            {
                **predictions,
                "decision": "decision",
                "baseline_decision": "baseline_decision",
                "test": "test",
                "reviews": "review_settings",
                "group_column": "params:split.group_column",
                "metric": "metric",
                "report": "params:report",
            },
            "comparison",
        ),
        _node(
            metrics.measure_coverage,
            ["test_predictions", "decision", "onnx_model", "test", "review_settings"],
            "coverage",
        ),
        _node(
            metrics.count_near_duplicates,
            ["test_predictions", "train", "validation", "test", "tokenizer"],
            "near_duplicates",
        ),
        _node(
            metrics.collect_metrics,
            {
                "scores": "scores",
                "comparison": "comparison",
                "coverage": "coverage",
                "near_duplicates": "near_duplicates",
                "study": "study",
                "calibration": "calibration",
                "decision": "decision",
                "export_check": "export_check",
                "reviews": "review_settings",
            },
            "metrics",
        ),
    ]


def _collect_facts() -> list[Node]:
    return [
        _node(
            facts.describe_data,
            {
                "clean_reviews": "clean_reviews",
                "tokenizer": "tokenizer",
                "words": "words",
                "reviews": "review_settings",
                "tokenization": "params:tokenizer",
                "report": "params:report",
            },
            "data_description",
        ),
        _node(
            facts.collect_facts,
            {
                "metrics": "metrics",
                "audit": "audit",
                "data_description": "data_description",
                "calibration": "calibration",
                "decision": "decision",
                "best_hyperparameters": "best_hyperparameters",
                "study": "study",
                "onnx_model": "onnx_model",
                "test": "test",
                "test_predictions": "test_predictions",
                "custom_reviews": "chosen_custom_reviews",
                "custom_predictions": "custom_predictions",
                "run_facts": "run_facts",
                "parameters": "parameters",
                "reviews": "review_settings",
            },
            "facts",
        ),
        _node(facts.record_run, ["facts", "test_predictions", "onnx_model"], "run_record@one"),
    ]


def _explain_examples() -> list[Node]:
    return [
        _node(
            examples.explain_mistakes,
            ["onnx_model", "test_predictions", "params:report"],
            "mistakes",
        ),
        _node(
            examples.explain_disagreements, ["onnx_model", *_BOTH, "params:report"], "disagreements"
        ),
        _node(
            examples.explain_custom_reviews,
            ["onnx_model", "chosen_custom_reviews", "params:report"],
            "custom_examples",
        ),
    ]


def _write_page() -> list[Node]:
    texts = {
        name: name
        for name in (
            *("facts", "embedded_model", "mistakes", "disagreements", "custom_examples"),
            *("doubtful_examples", "run_changes"),
        )
    }
    figures = {figure.removesuffix("_figure"): figure for figure in map(_name_figure, _FIGURES)}
    return [
        _node(
            examples.select_doubtful_labels,
            ["last_label_check", "clean_reviews", "review_settings", "params:report"],
            "doubtful_examples",
        ),
        _node(runs.compare_runs, "run_record@all", "run_changes"),
        _node(embedding.embed_model, ["onnx_model", "params:report"], "embedded_model"),
        _node(page.render_report, {**texts, **figures}, "report"),
        _node(page.write_model_card, "facts", "model_card"),
        _node(
            page.summarise_run,
            ["facts", "chosen_custom_reviews", "custom_predictions", "custom_examples"],
            "summary",
        ),
    ]
