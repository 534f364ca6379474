"""The engine of the search: trials of an Optuna study, here or on a Dask cluster, crash-proof.

`study.py` says what is in a study and what it still lacks, `workers.py` where a trial runs,
`loop.py` brings them together. It knows nothing of networks: an objective is any function of a
trial and the data.
"""

from imdb_sentiment.search.loop import Limits, format_values, run_trials
from imdb_sentiment.search.study import SharedStudy, explain_failure
from imdb_sentiment.search.workers import open_workers

__all__ = [
    "Limits",
    "SharedStudy",
    "explain_failure",
    "format_values",
    "open_workers",
    "run_trials",
]
