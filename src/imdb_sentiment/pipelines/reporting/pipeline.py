"""The wiring of reporting, part by part: scoring, facts, figures, examples, page."""

from kedro.pipeline import Node, Pipeline

from imdb_sentiment.pipelines.reporting.nodes import examples, facts, page, scoring
from imdb_sentiment.pipelines.reporting.nodes.figures import (
    curves,
    data,
    predictions,
    runs,
    search,
    training,
)

# Each figure: its name, the function that draws it, and the inputs of that function.
_FIGURES = (
    ("label_balance", data.plot_label_balance, ["data_description"]),
    ("review_lengths", data.plot_review_lengths, ["data_description"]),
    ("distinctive_words", data.plot_distinctive_words, ["data_description"]),
    ("optimization_history", search.plot_optimization_history, ["study"]),
    ("parameter_importances", search.plot_parameter_importances, ["study"]),
    ("parallel_coordinates", search.plot_parallel_coordinates, ["study"]),
    ("trial_times", search.plot_trial_times, ["study"]),
    (
        "learning_curves",
        training.plot_learning_curves,
        ["history", "study", "best_hyperparameters"],
    ),
    (
        "confusion_matrix",
        predictions.plot_confusion_matrix,
        ["test_predictions", "params:reviews"],
    ),
    (
        "roc_curves",
        curves.plot_roc_curves,
        ["test_predictions", "baseline_predictions", "params:reviews"],
    ),
    (
        "precision_recall_curves",
        curves.plot_precision_recall_curves,
        ["test_predictions", "baseline_predictions", "params:reviews"],
    ),
    ("thresholds", curves.plot_thresholds, ["test_predictions", "params:reviews"]),
    (
        "reliability",
        predictions.plot_reliability,
        ["test_predictions", "calibration", "params:reviews", "params:report"],
    ),
    (
        "accuracy_by_length",
        predictions.plot_accuracy_by_length,
        [
            "test_predictions",
            "baseline_predictions",
            "tokenizer",
            "data_description",
            "params:report",
        ],
    ),
    (
        "accuracy_by_confidence",
        predictions.plot_accuracy_by_confidence,
        ["test_predictions", "baseline_predictions"],
    ),
    # `record_run` saves one record; this view of the same folder loads all of them.
    ("run_history", runs.plot_run_history, ["run_record@all"]),
)


def create_pipeline(**kwargs: object) -> Pipeline:
    """Return the pipeline from the trained models to what the user reads."""
    parts = {
        "scoring": _score(),
        "facts": _collect_facts(),
        "figures": _draw_figures(),
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


def _score() -> list[Node]:
    return [
        Node(
            func=scoring.score_test_reviews,
            inputs=["model", "test", "clean_reviews"],
            outputs="test_predictions",
            name="score_test_reviews",
        ),
        Node(
            func=scoring.score_baseline,
            inputs=["baseline", "clean_reviews", "params:reviews"],
            outputs="baseline_predictions",
            name="score_baseline",
        ),
        Node(
            func=scoring.score_custom_reviews,
            inputs=["onnx_model", "custom_reviews", "params:custom_reviews"],
            outputs="custom_predictions",
            name="score_custom_reviews",
        ),
        Node(
            func=scoring.compute_metrics,
            inputs={
                "test_predictions": "test_predictions",
                "baseline_predictions": "baseline_predictions",
                "study": "study",
                "calibration": "calibration",
                "export_check": "export_check",
                "pseudo_labelled_reviews": "pseudo_labelled_reviews",
                "reviews": "params:reviews",
                "report": "params:report",
            },
            outputs="metrics",
            name="compute_metrics",
        ),
    ]


def _collect_facts() -> list[Node]:
    return [
        Node(
            func=facts.describe_data,
            inputs=[
                "clean_reviews",
                "tokenizer",
                "params:reviews",
                "params:tokenizer",
                "params:report",
            ],
            outputs="data_description",
            name="describe_data",
        ),
        Node(
            func=facts.collect_facts,
            inputs={
                "metrics": "metrics",
                "audit": "audit",
                "data_description": "data_description",
                "calibration": "calibration",
                "best_hyperparameters": "best_hyperparameters",
                "study": "study",
                "onnx_model": "onnx_model",
                "test": "test",
                "test_predictions": "test_predictions",
                "custom_predictions": "custom_predictions",
                "run_facts": "run_facts",
                "parameters": "parameters",
                "reviews": "params:reviews",
            },
            outputs="facts",
            name="collect_facts",
        ),
        Node(
            func=facts.record_run,
            inputs=["facts", "test_predictions", "onnx_model"],
            outputs="run_record@one",
            name="record_run",
        ),
    ]


def _draw_figures() -> list[Node]:
    return [
        Node(func=func, inputs=inputs, outputs=f"{name}_figure", name=func.__name__)
        for name, func, inputs in _FIGURES
    ]


def _explain_examples() -> list[Node]:
    return [
        Node(
            func=examples.explain_mistakes,
            inputs=["onnx_model", "test_predictions", "params:report"],
            outputs="mistakes",
            name="explain_mistakes",
        ),
        Node(
            func=examples.explain_disagreements,
            inputs=["onnx_model", "test_predictions", "baseline_predictions", "params:report"],
            outputs="disagreements",
            name="explain_disagreements",
        ),
        Node(
            func=examples.explain_custom_reviews,
            inputs=["onnx_model", "custom_reviews", "params:custom_reviews", "params:report"],
            outputs="custom_examples",
            name="explain_custom_reviews",
        ),
    ]


def _write_page() -> list[Node]:
    return [
        Node(
            func=page.render_report,
            inputs={
                "facts": "facts",
                "mistakes": "mistakes",
                "disagreements": "disagreements",
                "custom_examples": "custom_examples",
                **{name: f"{name}_figure" for name, _, _ in _FIGURES},
            },
            outputs="report",
            name="render_report",
        ),
        Node(
            func=page.write_model_card,
            inputs="facts",
            outputs="model_card",
            name="write_model_card",
        ),
        Node(
            func=page.summarise_run,
            inputs=["facts", "custom_predictions", "params:custom_reviews"],
            outputs="summary",
            name="summarise_run",
        ),
    ]
