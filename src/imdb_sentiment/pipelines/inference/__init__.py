"""Exported model and a CSV of any size → the same CSV with predictions.

To run it alone: `kedro run --pipelines inference --params input_file=CSV,output_file=CSV`.
"""

from imdb_sentiment.pipelines.inference.pipeline import create_pipeline

__all__ = ["create_pipeline"]
