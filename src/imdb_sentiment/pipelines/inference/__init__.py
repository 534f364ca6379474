"""Exported model and a table of any size → the same table with predictions.

To run it alone: `kedro run --pipelines inference --params input_file=FILE,output_file=FILE`.
"""

from imdb_sentiment.pipelines.inference.pipeline import create_pipeline

__all__ = ["create_pipeline"]
