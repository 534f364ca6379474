"""Clean reviews → labels that are probably wrong, and unlabelled reviews to label next.

To run it: `kedro run --pipelines label_check`, after data_processing.
"""

from imdb_sentiment.pipelines.label_check.pipeline import create_pipeline

__all__ = ["create_pipeline"]
