"""The wiring of reporting."""

from kedro.pipeline import Node, Pipeline

from imdb_sentiment.pipelines.reporting.data import describe_data
from imdb_sentiment.pipelines.reporting.examples import (
    explain_custom_reviews,
    explain_disagreements,
    explain_mistakes,
)
from imdb_sentiment.pipelines.reporting.figures import (
    plot_accuracy_by_confidence,
    plot_accuracy_by_length,
    plot_confusion_matrix,
    plot_distinctive_words,
    plot_label_balance,
    plot_learning_curves,
    plot_optimization_history,
    plot_parallel_coordinates,
    plot_parameter_importances,
    plot_precision_recall_curves,
    plot_reliability,
    plot_review_lengths,
    plot_roc_curves,
    plot_run_history,
    plot_thresholds,
    plot_trial_times,
)
from imdb_sentiment.pipelines.reporting.nodes import (
    compute_metrics,
    score_baseline,
    score_custom_reviews,
    score_test_reviews,
    summarise_run,
)
from imdb_sentiment.pipelines.reporting.page import (
    collect_facts,
    record_run,
    render_report,
    write_model_card,
)

_TEST = "test_predictions"
_BASELINE = "baseline_predictions"
_REVIEWS = "params:reviews"
_REPORT = "params:report"

# Each figure: the function, its name, and what it is drawn from.
_FIGURES = (
    (plot_label_balance, "label_balance", ["data_description"]),
    (plot_review_lengths, "review_lengths", ["data_description"]),
    (plot_distinctive_words, "distinctive_words", ["data_description"]),
    (plot_optimization_history, "optimization_history", ["study"]),
    (plot_parameter_importances, "parameter_importances", ["study"]),
    (plot_parallel_coordinates, "parallel_coordinates", ["study"]),
    (plot_trial_times, "trial_times", ["study"]),
    (plot_learning_curves, "learning_curves", ["history", "study", "best_hyperparameters"]),
    (plot_confusion_matrix, "confusion_matrix", [_TEST, _REVIEWS]),
    (plot_roc_curves, "roc_curves", [_TEST, _BASELINE, _REVIEWS]),
    (plot_precision_recall_curves, "precision_recall_curves", [_TEST, _BASELINE, _REVIEWS]),
    (plot_thresholds, "thresholds", [_TEST, _REVIEWS]),
    (plot_reliability, "reliability", [_TEST, "calibration", _REVIEWS, _REPORT]),
    (
        plot_accuracy_by_length,
        "accuracy_by_length",
        [_TEST, _BASELINE, "tokenizer", "data_description", _REPORT],
    ),
    (plot_accuracy_by_confidence, "accuracy_by_confidence", [_TEST, _BASELINE]),
    # Two views of the same files: a record goes in, and all come out.
    (plot_run_history, "run_history", ["run_record@all"]),
)


def create_pipeline(**kwargs: object) -> Pipeline:
    """Return the pipeline from the trained models to what the user reads."""
    return Pipeline(
        [
            Node(
                func=describe_data,
                inputs=["clean_reviews", "tokenizer", _REVIEWS, "params:tokenizer", _REPORT],
                outputs="data_description",
                name="describe_data",
            ),
            Node(
                func=score_test_reviews,
                inputs=["model", "test", "clean_reviews"],
                outputs=_TEST,
                name="score_test_reviews",
            ),
            Node(
                func=score_baseline,
                inputs=["baseline", "clean_reviews", _REVIEWS],
                outputs=_BASELINE,
                name="score_baseline",
            ),
            Node(
                func=score_custom_reviews,
                inputs=["onnx_model", "custom_reviews", "params:custom_reviews"],
                outputs="custom_predictions",
                name="score_custom_reviews",
            ),
            Node(
                func=compute_metrics,
                inputs={
                    "test_predictions": _TEST,
                    "baseline_predictions": _BASELINE,
                    "study": "study",
                    "calibration": "calibration",
                    "export_check": "export_check",
                    "pseudo_labelled_reviews": "pseudo_labelled_reviews",
                    "reviews": _REVIEWS,
                    "report": _REPORT,
                },
                outputs="metrics",
                name="compute_metrics",
            ),
            *(
                Node(func=func, inputs=inputs, outputs=f"{name}_figure", name=func.__name__)
                for func, name, inputs in _FIGURES
            ),
            Node(
                func=explain_mistakes,
                inputs=["onnx_model", _TEST, _REPORT],
                outputs="mistakes",
                name="explain_mistakes",
            ),
            Node(
                func=explain_disagreements,
                inputs=["onnx_model", _TEST, _BASELINE, _REPORT],
                outputs="disagreements",
                name="explain_disagreements",
            ),
            Node(
                func=explain_custom_reviews,
                inputs=["onnx_model", "custom_reviews", "params:custom_reviews", _REPORT],
                outputs="custom_examples",
                name="explain_custom_reviews",
            ),
            Node(
                func=collect_facts,
                inputs={
                    "metrics": "metrics",
                    "audit": "audit",
                    "data_description": "data_description",
                    "calibration": "calibration",
                    "best_hyperparameters": "best_hyperparameters",
                    "study": "study",
                    "onnx_model": "onnx_model",
                    "test": "test",
                    "test_predictions": _TEST,
                    "custom_predictions": "custom_predictions",
                    "run_facts": "run_facts",
                    "parameters": "parameters",
                    "reviews": _REVIEWS,
                },
                outputs="facts",
                name="collect_facts",
            ),
            Node(
                func=record_run,
                inputs=["facts", _TEST, "onnx_model"],
                outputs="run_record@one",
                name="record_run",
            ),
            Node(
                func=render_report,
                inputs={
                    "facts": "facts",
                    "mistakes": "mistakes",
                    "disagreements": "disagreements",
                    "custom_examples": "custom_examples",
                    **{name: f"{name}_figure" for _, name, _ in _FIGURES},
                },
                outputs="report",
                name="render_report",
            ),
            Node(
                func=write_model_card,
                inputs="facts",
                outputs="model_card",
                name="write_model_card",
            ),
            Node(
                func=summarise_run,
                inputs=["facts", "custom_predictions", "params:custom_reviews"],
                outputs="summary",
                name="summarise_run",
            ),
        ]
    )
