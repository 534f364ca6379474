"""The wiring of tuning."""

from kedro.pipeline import Node, Pipeline

from imdb_sentiment.pipelines.tuning.nodes import (
    select_evaluation_set,
    tabulate_trials,
    tune_hyperparameters,
)


def create_pipeline(**kwargs: object) -> Pipeline:
    """Return the pipeline from the encoded sets to the best hyperparameters."""
    return Pipeline(
        [
            Node(
                func=select_evaluation_set,
                inputs=["validation", "test", "params:tuning"],
                outputs="evaluation",
                name="select_evaluation_set",
            ),
            Node(
                func=tune_hyperparameters,
                inputs={
                    "study_storage": "study_storage",
                    "train": "train",
                    "evaluation": "evaluation",
                    "word_vectors": "word_vectors",
                    "hyperparameters": "params:hyperparameters",
                    "tuning": "params:tuning",
                    "training": "params:training",
                },
                outputs=["study", "best_hyperparameters"],
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
