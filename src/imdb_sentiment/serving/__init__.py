"""The trained model in use, without TensorFlow, Kedro or pandas."""

from imdb_sentiment.serving.predictor import (
    ModelError,
    Prediction,
    Predictor,
    explain_silence,
)

__all__ = ["ModelError", "Prediction", "Predictor", "explain_silence"]
