"""Best hyperparameters, training and validation sets → model, ONNX export, linear baseline.

To run it alone: `kedro run --pipelines training`.
"""

from imdb_sentiment.pipelines.training.pipeline import create_pipeline

__all__ = ["create_pipeline"]
