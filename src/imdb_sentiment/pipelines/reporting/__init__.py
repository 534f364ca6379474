"""Models, test set, custom reviews → predictions, metrics, figures, report.

To run it alone: `kedro run --pipelines reporting`. To run one part of it on the results of
an earlier run: `kedro run --pipelines reporting --tags page`; the other tags are `scoring`,
`facts`, `figures` and `examples`.
"""

from imdb_sentiment.pipelines.reporting.pipeline import create_pipeline

__all__ = ["create_pipeline"]
