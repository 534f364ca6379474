"""The wiring of training."""

from kedro.pipeline import Node, Pipeline

from imdb_sentiment.pipelines.training.nodes import (
    calibrate_model,
    export_model,
    fit_baseline,
    fit_best_model,
    fit_ngrams,
)


def create_pipeline(**kwargs: object) -> Pipeline:
    """Return the pipeline from the best hyperparameters to the trained models."""
    return Pipeline(
        [
            Node(
                func=fit_baseline,
                inputs=["clean_reviews", "params:baseline", "params:training"],
                outputs="baseline",
                name="fit_baseline",
            ),
            Node(
                func=fit_ngrams,
                inputs=["train", "validation", "params:training"],
                outputs="ngram_model",
                name="fit_ngrams",
            ),
            Node(
                func=fit_best_model,
                inputs={
                    "train": "train",
                    "validation": "validation",
                    "best_hyperparameters": "best_hyperparameters",
                    "word_vectors": "word_vectors",
                    "ngram_model": "ngram_model",
                    "training": "params:training",
                },
                outputs=["fitted_model", "history"],
                name="fit_best_model",
            ),
            Node(
                func=calibrate_model,
                inputs={
                    "fitted_model": "fitted_model",
                    "validation": "validation",
                    "study": "study",
                    "training": "params:training",
                },
                outputs=["model", "calibration"],
                name="calibrate_model",
            ),
            Node(
                func=export_model,
                inputs={
                    "model": "model",
                    "tokenizer": "tokenizer",
                    "train": "train",
                    "validation": "validation",
                    "custom_reviews": "custom_reviews",
                    "run_facts": "run_facts",
                    "training": "params:training",
                    "custom": "params:custom_reviews",
                },
                outputs=["onnx_model", "export_check"],
                name="export_model",
            ),
        ],
        namespace="training",
        prefix_datasets_with_namespace=False,
    )
