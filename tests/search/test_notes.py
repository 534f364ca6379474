import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState
from optuna_dashboard import get_note, save_note

from imdb_sentiment.search.notes import MAX_LENGTH, add_note, describe_trial


def test_the_dashboard_reads_the_notes_and_its_own_are_kept() -> None:

    storage = InMemoryStorage()
    study = optuna.create_study(storage=storage)
    study_id = storage.get_study_id_from_name(study.study_name)
    trial = study.ask()
    trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
    lines = "\n".join(["a line of 21 letters."] * 200)
    add_note(storage, study_id, "of the study")
    add_note(storage, study_id, lines, trial_id)
    assert get_note(study) == "of the study"
    assert get_note(trial) == lines[: (MAX_LENGTH + 1) // 22 * 22 - 1]
    other = study.ask()
    for subject in (trial, other):
        save_note(subject, "by a user" * 300)
    add_note(storage, study_id, "again")
    add_note(storage, study_id, "again", trial_id, corrects=True)
    add_note(storage, study_id, "late", trial_id + 1)
    assert get_note(study) == "of the study"
    add_note(storage, study_id, "corrected", corrects=True)
    assert get_note(study) == "corrected"
    assert get_note(trial) == get_note(other) == "by a user" * 300


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
