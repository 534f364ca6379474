"""Undocumented behaviour of Optuna that the search relies on: an upgrade may change it."""

import inspect
import re
from pathlib import Path

import optuna
import pytest
from optuna.storages import BaseStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import TrialState

import imdb_sentiment
from imdb_sentiment.search.study import QUEUED_PARAMETERS, RETRIED_TRIAL, RETRY_HISTORY


def test_no_private_name_of_optuna_is_used() -> None:
    private = re.compile(r"\b(?:trial|study|optuna)\._[a-z]\w*")
    package = Path(imdb_sentiment.__file__).parent
    for path in sorted(package.rglob("*.py")):
        found = private.findall(path.read_text("utf-8"))
        assert not found, f"{path} uses {found}, which an upgrade of Optuna may remove"


def test_a_trial_can_be_opened_by_its_id() -> None:
    parameters = list(inspect.signature(optuna.Trial).parameters)
    assert parameters == ["study", "trial_id"], (
        "SharedStudy._start (search/study.py) opens the trial that it has claimed with "
        f"optuna.Trial(study, trial_id), but the constructor now takes {parameters}. Find another "
        "way from the id of a running trial to a Trial; Study.ask() can't choose which to take."
    )


@pytest.mark.parametrize(
    "name",
    [
        "get_study_id_from_name",
        "get_trial",
        "get_trial_id_from_study_id_trial_number",
        "set_trial_state_values",
        "set_trial_user_attr",
    ],
)
def test_storages_have_the_methods_that_claim_and_end_trials(name: str) -> None:
    assert hasattr(BaseStorage, name), (
        f"SharedStudy (search/study.py) claims and ends trials with BaseStorage.{name}, which this "
        "version of Optuna does not have: look for its new name in optuna/storages/_base.py."
    )


def test_heartbeats_of_a_database_can_be_set() -> None:
    storage = RDBStorage("sqlite:///:memory:")
    for name in ("heartbeat_interval", "heartbeat_stale_trial_callback", "record_heartbeat"):
        assert hasattr(storage, name), (
            f"Heartbeats (search/liveness.py) and SharedStudy (search/study.py) use RDBStorage."
            f"{name}, which this version of Optuna does not have: without it, dead runs on other "
            "machines are not found, or their trials are not retried."
        )


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_retry_names_the_trials_that_it_retries() -> None:
    study = optuna.create_study()
    study.add_trial(optuna.create_trial(state=TrialState.RUNNING))
    queue_again = RetryHeartbeatStaleTrialCallback(max_retry=2)
    for number in range(2):
        queue_again(study, study.trials[number])
    retry = study.trials[2]
    found = retry.system_attrs.get(RETRIED_TRIAL), retry.system_attrs.get(RETRY_HISTORY)
    assert found == (0, [0, 1]), (
        "SharedStudy (search/study.py) counts retries by the system attributes 'failed_trial' and "
        "'retry_history', which Optuna's RetryHeartbeatStaleTrialCallback no longer writes so: see "
        f"its __call__. This retry has {retry.system_attrs}."
    )


def test_a_queued_trial_names_its_hyperparameters() -> None:
    study = optuna.create_study()
    study.enqueue_trial({"x": 0.5})
    (trial,) = study.trials
    assert trial.system_attrs.get(QUEUED_PARAMETERS) == {"x": 0.5}, (
        "SharedStudy._choose (search/study.py) reads the values of a queued trial from the "
        "system attribute 'fixed_params', which Optuna no longer writes. This trial has "
        f"{trial.system_attrs}."
    )
