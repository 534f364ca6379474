"""The wiring of imdb_download."""

from kedro.pipeline import Node, Pipeline

from imdb_sentiment.pipelines.imdb_download.nodes import (
    collect_reviews,
    collect_unlabelled_reviews,
)


def create_pipeline(**kwargs: object) -> Pipeline:
    """Return the pipeline from the archive to two CSVs."""
    return Pipeline(
        [
            Node(
                func=collect_reviews,
                inputs="imdb_archive",
                outputs="imdb_reviews",
                name="collect_reviews",
            ),
            Node(
                func=collect_unlabelled_reviews,
                inputs="imdb_archive",
                outputs="imdb_unlabelled_reviews",
                name="collect_unlabelled_reviews",
            ),
        ]
    )
