"""Table of reviews → audit, rejected rows, clean reviews with splits, tokenizer, encoded sets.

To run it alone: `kedro run --pipelines data_processing`.
"""

from imdb_sentiment.pipelines.data_processing.pipeline import create_pipeline

__all__ = ["create_pipeline"]
