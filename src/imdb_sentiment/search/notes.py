"""Notes on a study and its trials, which Optuna's dashboard shows beside them.

They are attributes of the study, in the form in which the dashboard itself keeps them, so that it
need not be installed where a search runs: a test compares the two.
"""

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

MAX_LENGTH = 2045  # characters of an attribute


def has_note(storage: BaseStorage, study_id: int) -> bool:
    """Return whether a study has a note, by this project or by somebody else."""
    return _key(None, "note_ver") in storage.get_study_system_attrs(study_id)


def save_note(storage: BaseStorage, study_id: int, text: str, trial_id: int | None = None) -> None:
    """Save a note, which replaces an earlier one.

    Args:
        storage: Storage of the study.
        study_id: Id of the study in it.
        text: Markdown; what exceeds 2,045 characters is cut off.
        trial_id: Id of the trial that the note is on; None for one on the study.

    """
    version = storage.get_study_system_attrs(study_id).get(_key(trial_id, "note_ver"), 0)
    storage.set_study_system_attr(study_id, _key(trial_id, "note_str:0"), text[:MAX_LENGTH])
    storage.set_study_system_attr(study_id, _key(trial_id, "note_ver"), version + 1)


def describe_trial(trial: FrozenTrial, metric: str, step: str) -> str:
    """Return a note with the hyperparameters of a trial and its intermediate values.

    Args:
        trial: The trial, which has ended.
        metric: Name of its value.
        step: What it has reported a value after, such as an epoch.

    Returns:
        Markdown.

    """
    ending = f"{metric} **{trial.value:.4f}**" if trial.value is not None else "no value"
    chosen = [f"- {name}: `{value}`" for name, value in trial.params.items()]
    lines = [f"{trial.state.name.lower()}: {ending}, with", "", *chosen]
    if trial.intermediate_values:
        rows = sorted(trial.intermediate_values.items())
        lines += ["", f"| {step} | {metric} |", "| ---: | ---: |"]
        lines += [f"| {number + 1} | {value:.4f} |" for number, value in rows]
    return "\n".join(lines)


def _key(trial_id: int | None, name: str) -> str:
    return f"dashboard:{name}" if trial_id is None else f"dashboard:{trial_id}:{name}"
