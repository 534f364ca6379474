"""Training and validation sets, search space → study, best hyperparameters, trials.

To run it alone: `kedro run --pipelines tuning`.
"""

from imdb_sentiment.pipelines.tuning.pipeline import create_pipeline

__all__ = ["create_pipeline"]
