"""The hyperparameter search: trials, here or on a Dask cluster, that survive crashes.

`study.py` records trials and finds those that are missing or must be retried, `liveness.py`
detects dead runs, `workers.py` runs trials in processes, and `loop.py` combines the three.
`progress.py` reports progress, and `samplers_and_pruners.py` creates Optuna's samplers and pruners.
Nothing here knows about networks: an objective is any function of a trial and the data.

Optuna keeps the trials, records heartbeats in a database and queues retries. The rest is done here
because Optuna's own loop does not fit: `Study.optimize` and `Study.ask` take any queued trial or
create another, so runs that share a study would exceed `n_trials`, and no trial would get the
sampler of its slot; heartbeats are sent by `Study.optimize` only and stop at the first error of the
database; a dead run of this machine is noticed only after the grace period; and trials run in
threads, where Keras can't train two networks. `GrpcStorageProxy` would be a second server without
encryption or login, and has no heartbeats either.
"""

from imdb_sentiment.search.loop import describe_values, run_trials
from imdb_sentiment.search.progress import follow_trial
from imdb_sentiment.search.samplers_and_pruners import make_pruner, make_sampler
from imdb_sentiment.search.study import (
    RETRIED_TRIAL,
    OtherStudyError,
    SharedStudy,
    choose_best_trials,
    explain_failure,
    find_best_trial,
    has_died,
    lacks_trials,
    list_begun_trials,
    measure_seconds,
    was_given_back,
)
from imdb_sentiment.search.workers import open_workers

__all__ = [
    "RETRIED_TRIAL",
    "OtherStudyError",
    "SharedStudy",
    "choose_best_trials",
    "describe_values",
    "explain_failure",
    "find_best_trial",
    "follow_trial",
    "has_died",
    "lacks_trials",
    "list_begun_trials",
    "make_pruner",
    "make_sampler",
    "measure_seconds",
    "open_workers",
    "run_trials",
    "was_given_back",
]
