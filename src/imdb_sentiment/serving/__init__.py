"""Prediction with the exported model, without TensorFlow, Kedro or pandas."""

from imdb_sentiment.serving.predictor import (
    ModelError,
    Prediction,
    Predictor,
)

__all__ = ["ModelError", "Prediction", "Predictor"]
