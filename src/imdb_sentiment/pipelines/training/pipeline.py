"""The wiring of training."""

from kedro.pipeline import Node, Pipeline

from imdb_sentiment.pipelines.training.nodes import export_model, fit_baseline, fit_best_model


def create_pipeline(**kwargs: object) -> Pipeline:
    """Return the pipeline from the best hyperparameters to the trained models."""
    return Pipeline(
        [
            Node(
                func=fit_best_model,
                inputs=["train", "validation", "best_hyperparameters", "params:training"],
                outputs=["model", "history"],
                name="fit_best_model",
            ),
            Node(
                func=export_model,
                inputs={
                    "model": "model",
                    "tokenizer": "tokenizer",
                    "train": "train",
                    "validation": "validation",
                    "custom_reviews": "custom_reviews",
                    "training": "params:training",
                    "custom": "params:custom_reviews",
                },
                outputs=["onnx_model", "export_check"],
                name="export_model",
            ),
            Node(
                func=fit_baseline,
                inputs=["clean_reviews", "params:baseline", "params:training"],
                outputs="baseline",
                name="fit_baseline",
            ),
        ]
    )
