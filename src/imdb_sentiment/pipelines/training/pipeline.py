"""The wiring of training."""

from kedro.pipeline import Node, Pipeline

from imdb_sentiment.pipelines.training.baseline import fit_baseline
from imdb_sentiment.pipelines.training.cotraining import teach_ngrams
from imdb_sentiment.pipelines.training.export import export_model
from imdb_sentiment.pipelines.training.nodes import (
    fit_average,
    fit_best_model,
    fit_decision,
    fit_ngrams,
)


def create_pipeline(**kwargs: object) -> Pipeline:
    """Return the pipeline from the best hyperparameters to the trained models."""
    return Pipeline(
        [
            Node(
                func=fit_baseline,
                inputs={
                    "clean_reviews": "clean_reviews",
                    "train": "train",
                    "validation": "validation",
                    "baseline": "params:baseline",
                    "metric": "metric",
                    "folds": "folds",
                    "training": "params:training",
                    "reviews": "review_settings",
                    "script": "params:tokenizer.script",
                },
                outputs=["baseline", "baseline_decision"],
                name="fit_baseline",
            ),
            Node(
                func=fit_ngrams,
                inputs={
                    "clean_reviews": "clean_reviews",
                    "clean_unlabelled_reviews": "clean_unlabelled_reviews",
                    "train": "train",
                    "validation": "validation",
                    "folds": "folds",
                    "training": "params:training",
                    "script": "params:tokenizer.script",
                },
                outputs=["first_ngram_model", "first_ngrams_held_out"],
                name="fit_ngrams",
            ),
            Node(
                func=fit_best_model,
                inputs={
                    "train": "train",
                    "validation": "validation",
                    "best_hyperparameters": "best_hyperparameters",
                    "word_vectors": "word_vectors",
                    "pretrained_weights": "pretrained_weights",
                    "pseudo_labels": "pseudo_labels",
                    "metric": "metric",
                    # Not the whole group: a new threshold needs no new network.
                    "class_weight": "params:training.class_weight",
                    "use_validation_rows": "params:training.use_validation_rows",
                    "seed": "params:training.seed",
                },
                outputs=["model", "history"],
                name="fit_best_model",
            ),
            Node(
                func=teach_ngrams,
                inputs={
                    "first_ngram_model": "first_ngram_model",
                    "first_ngrams_held_out": "first_ngrams_held_out",
                    "model": "model",
                    "network_held_out": "network_held_out",
                    "pseudo_labels": "pseudo_labels",
                    "clean_reviews": "clean_reviews",
                    "clean_unlabelled_reviews": "clean_unlabelled_reviews",
                    "train": "train",
                    "validation": "validation",
                    "folds": "folds",
                    "training": "params:training",
                    "script": "params:tokenizer.script",
                },
                outputs=["ngram_model", "ngrams_held_out"],
                name="teach_ngrams",
            ),
            Node(
                func=fit_average,
                inputs={
                    "network_held_out": "network_held_out",
                    "ngrams_held_out": "ngrams_held_out",
                    "train": "train",
                    "validation": "validation",
                    "folds": "folds",
                    "training": "params:training",
                },
                outputs="calibration",
                name="fit_average",
            ),
            Node(
                func=fit_decision,
                inputs={
                    "network_held_out": "network_held_out",
                    "ngrams_held_out": "ngrams_held_out",
                    "calibration": "calibration",
                    "train": "train",
                    "validation": "validation",
                    "metric": "metric",
                    "are_ordered": "params:reviews.ordered",
                    "training": "params:training",
                },
                outputs="decision",
                name="fit_decision",
            ),
            Node(
                func=export_model,
                inputs={
                    "model": "model",
                    "ngram_model": "ngram_model",
                    "calibration": "calibration",
                    "decision": "decision",
                    "tokenizer": "tokenizer",
                    "tokenization": "params:tokenizer",
                    "train": "train",
                    "validation": "validation",
                    "clean_reviews": "clean_reviews",
                    "custom_reviews": "custom_reviews",
                    "run_facts": "run_facts",
                    "lineage": "lineage",
                    "reviews": "review_settings",
                    "split": "params:split",
                    "training": "params:training",
                    "custom": "params:custom_reviews",
                    "pseudo_labels": "pseudo_labels",
                },
                outputs=["onnx_model", "export_check"],
                name="export_model",
            ),
        ],
        namespace="training",
        prefix_datasets_with_namespace=False,
    )
