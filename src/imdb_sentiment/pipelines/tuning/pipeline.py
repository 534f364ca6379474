"""The wiring of tuning."""

from kedro.pipeline import Node, Pipeline

from imdb_sentiment.pipelines.tuning.nodes import (
    assign_folds,
    choose_metric,
    hold_out_reviews,
    tabulate_trials,
    tune_hyperparameters,
)
from imdb_sentiment.pipelines.tuning.pseudo_labels import label_unlabelled_reviews


def create_pipeline(**kwargs: object) -> Pipeline:
    """Return the pipeline from the encoded sets to the best hyperparameters."""
    return Pipeline(
        [
            Node(
                func=choose_metric,
                inputs=["params:tuning.metric", "params:tuning.metric_label", "review_settings"],
                outputs="metric",
                name="choose_metric",
            ),
            Node(
                func=assign_folds,
                inputs={
                    "train": "train",
                    "validation": "validation",
                    "split": "params:split",
                    "audit": "audit",
                    "folds": "params:tuning.folds",
                    "evaluate_on": "params:tuning.evaluate_on",
                    "seed": "params:tuning.seed",
                },
                outputs="folds",
                name="assign_folds",
            ),
            Node(
                func=hold_out_reviews,
                inputs=["train", "validation", "test", "folds"],
                outputs="held_out_sets",
                name="hold_out_reviews",
            ),
            Node(
                func=label_unlabelled_reviews,
                inputs={
                    "clean_reviews": "clean_reviews",
                    "clean_unlabelled_reviews": "clean_unlabelled_reviews",
                    "held_out_sets": "held_out_sets",
                    "train": "train",
                    "validation": "validation",
                    "tokenizer": "tokenizer",
                    "words": "words",
                    "tokenization": "params:tokenizer",
                    "pseudo_labels": "params:pseudo_labels",
                    "seed": "params:tuning.seed",
                    "class_weight": "params:training.class_weight",
                    "use_validation_rows": "params:training.use_validation_rows",
                },
                outputs="pseudo_labels",
                name="label_unlabelled_reviews",
            ),
            Node(
                func=tune_hyperparameters,
                inputs={
                    "study_storage": "study_storage",
                    "held_out_sets": "held_out_sets",
                    "word_vectors": "word_vectors",
                    "pretrained_weights": "pretrained_weights",
                    "pseudo_labels": "pseudo_labels",
                    "hyperparameters": "params:hyperparameters",
                    "tuning": "params:tuning",
                    "metric": "metric",
                    "class_weight": "params:training.class_weight",
                    "use_validation_rows": "params:training.use_validation_rows",
                },
                outputs=["study", "best_hyperparameters", "network_held_out"],
                name="tune_hyperparameters",
            ),
            Node(
                func=tabulate_trials,
                inputs="study",
                outputs="trials",
                name="tabulate_trials",
            ),
        ],
        namespace="tuning",
        prefix_datasets_with_namespace=False,
    )
