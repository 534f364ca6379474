"""Models, test set, custom reviews → predictions, metrics, figures, report.

Alone: `kedro run --pipelines reporting`. One part of it, with what an earlier run has saved:
`kedro run --pipelines reporting --tags page`, or `scoring`, `facts`, `figures`, `examples`.
"""

from imdb_sentiment.pipelines.reporting.pipeline import create_pipeline

__all__ = ["create_pipeline"]
