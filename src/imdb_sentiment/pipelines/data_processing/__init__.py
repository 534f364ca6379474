"""Raw CSV chunks → audit and refused rows; clean stream with splits; tokenizer; encoded sets.

Alone: `kedro run --pipelines data_processing`.
"""

from imdb_sentiment.pipelines.data_processing.pipeline import create_pipeline

__all__ = ["create_pipeline"]
