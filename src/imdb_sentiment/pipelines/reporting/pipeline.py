"""The wiring of reporting."""

from kedro.pipeline import Node, Pipeline

from imdb_sentiment.pipelines.reporting.nodes import (
    compute_metrics,
    plot_confusion_matrix,
    plot_learning_curves,
    plot_optimization_history,
    plot_parameter_importances,
    plot_roc_curves,
    score_baseline,
    score_custom_reviews,
    score_test_reviews,
    summarise_run,
)


def create_pipeline(**kwargs: object) -> Pipeline:
    """Return the pipeline from the trained models to what the user reads."""
    return Pipeline(
        [
            Node(
                func=score_test_reviews,
                inputs=["model", "test", "clean_reviews"],
                outputs="test_predictions",
                name="score_test_reviews",
            ),
            Node(
                func=score_baseline,
                inputs=["baseline", "clean_reviews", "params:reviews"],
                outputs="baseline_predictions",
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
                    "test_predictions": "test_predictions",
                    "baseline_predictions": "baseline_predictions",
                    "study": "study",
                    "export_check": "export_check",
                    "guessed_reviews": "guessed_reviews",
                    "reviews": "params:reviews",
                },
                outputs="metrics",
                name="compute_metrics",
            ),
            Node(
                func=plot_learning_curves,
                inputs=["history", "study"],
                outputs="learning_curves",
                name="plot_learning_curves",
            ),
            Node(
                func=plot_confusion_matrix,
                inputs=["test_predictions", "params:reviews"],
                outputs="confusion_matrix",
                name="plot_confusion_matrix",
            ),
            Node(
                func=plot_roc_curves,
                inputs=["test_predictions", "params:reviews"],
                outputs="roc_curves",
                name="plot_roc_curves",
            ),
            Node(
                func=plot_optimization_history,
                inputs="study",
                outputs="optimization_history",
                name="plot_optimization_history",
            ),
            Node(
                func=plot_parameter_importances,
                inputs="study",
                outputs="parameter_importances",
                name="plot_parameter_importances",
            ),
            Node(
                func=summarise_run,
                inputs=[
                    "best_hyperparameters",
                    "metrics",
                    "custom_predictions",
                    "study",
                    "params:custom_reviews",
                ],
                outputs="summary",
                name="summarise_run",
            ),
        ]
    )
