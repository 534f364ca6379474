"""The wiring of inference."""

from kedro.pipeline import Node, Pipeline

from imdb_sentiment.pipelines.inference.nodes import score_reviews


def create_pipeline(**kwargs: object) -> Pipeline:
    """Return the pipeline from a table of reviews to the same with predictions."""
    return Pipeline(
        [
            Node(
                func=score_reviews,
                inputs=["onnx_model", "input_reviews", "params:inference", "params:processing"],
                outputs="scored_reviews",
                name="score_reviews",
            ),
        ]
    )
