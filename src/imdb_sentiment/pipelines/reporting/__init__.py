"""Models, test set, custom reviews → predictions, metrics, figures, summary.

Alone: `kedro run --pipelines reporting`.
"""

from imdb_sentiment.pipelines.reporting.pipeline import create_pipeline

__all__ = ["create_pipeline"]
