"""The official IMDB archive → data/01_raw/imdb_reviews.csv.

Alone: `kedro run --pipelines imdb_download`.
"""

from imdb_sentiment.pipelines.imdb_download.pipeline import create_pipeline

__all__ = ["create_pipeline"]
