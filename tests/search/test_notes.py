import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState
from optuna_dashboard import get_note

from imdb_sentiment.search.notes import MAX_LENGTH, describe_trial, has_note, save_note


def test_the_dashboard_reads_the_notes_and_can_change_them() -> None:
    from optuna_dashboard import save_note as save_in_the_dashboard

    storage = InMemoryStorage()
    study = optuna.create_study(storage=storage)
    study_id = storage.get_study_id_from_name(study.study_name)
    trial = study.ask()
    trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
    assert not has_note(storage, study_id)
    for text in ("short", "x" * 3000, "again"):
        save_note(storage, study_id, f"study {text}")
        save_note(storage, study_id, f"trial {text}", trial_id)
        assert get_note(study) == f"study {text}"[:MAX_LENGTH]
        assert get_note(trial) == f"trial {text}"[:MAX_LENGTH]
    assert has_note(storage, study_id)
    save_in_the_dashboard(trial, "by a user")
    assert get_note(trial) == "by a user"


@pytest.mark.parametrize(
    ("value", "state", "beginning"),
    [
        (0.9, TrialState.COMPLETE, "complete: accuracy **0.9000**, with"),
        (None, TrialState.FAIL, "fail: no value, with"),
    ],
)
def test_a_trial_is_described_by_its_hyperparameters_and_its_values(
    value: float | None, state: TrialState, beginning: str
) -> None:
    trial = optuna.create_trial(
        state=state,
        value=value,
        params={"units": 7},
        distributions={"units": optuna.distributions.IntDistribution(1, 9)},
        intermediate_values={1: 0.9, 0: 0.55},
    )
    assert describe_trial(trial, "accuracy", "epoch") == (
        f"{beginning}\n\n- units: `7`\n\n"
        "| epoch | accuracy |\n| ---: | ---: |\n| 1 | 0.5500 |\n| 2 | 0.9000 |"
    )
