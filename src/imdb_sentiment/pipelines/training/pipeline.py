"""The wiring of training."""

from kedro.pipeline import Node, Pipeline

from imdb_sentiment.pipelines.training.nodes import fit_baseline, fit_best_model


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
                func=fit_baseline,
                inputs=["clean_reviews", "params:baseline", "params:training"],
                outputs="baseline",
                name="fit_baseline",
            ),
        ]
    )
