"""Best hyperparameters, training and validation sets → Keras model, history, linear baseline.

Alone: `kedro run --pipelines training`.
"""

from imdb_sentiment.pipelines.training.pipeline import create_pipeline

__all__ = ["create_pipeline"]
