"""The official IMDB archive → imdb_reviews.csv and imdb_unlabelled_reviews.csv in data/01_raw.

To run it alone: `kedro run --pipelines imdb_download`.
"""

from imdb_sentiment.pipelines.imdb_download.pipeline import create_pipeline

__all__ = ["create_pipeline"]
