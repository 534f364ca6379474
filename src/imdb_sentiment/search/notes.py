"""Notes on a study and its trials, which Optuna's dashboard shows beside them.

They are attributes of the study, in the form in which the dashboard itself keeps them, so that it
need not be installed where a search runs: a test compares the two.
"""

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

MAX_LENGTH = 2045  # maximum number of characters of an attribute


def add_note(
    storage: BaseStorage,
    study_id: int,
    text: str,
    trial_id: int | None = None,
    *,
    corrects: bool = False,
) -> None:
    """Save a note, unless there is one already, which a user may have written.

    Args:
        storage: Storage of the study.
        study_id: Id of the study in it.
        text: Markdown; lines beyond 2,045 characters are cut off.
        trial_id: Id of the trial that the note is about; None for a note about the study.
        corrects: Whether an earlier note is replaced, unless a user has changed it.

    """
    version = _key(trial_id, "note_ver")
    times_saved = storage.get_study_system_attrs(study_id).get(version, 0)
    if times_saved > (1 if corrects else 0):
        return
    if len(text) > MAX_LENGTH:
        text = text[: MAX_LENGTH + 1].rpartition("\n")[0]
    storage.set_study_system_attr(study_id, _key(trial_id, "note_str:0"), text)
    storage.set_study_system_attr(study_id, version, 1)


def describe_trial(trial: FrozenTrial, metric: str, step: str) -> str:
    """Return a note with the hyperparameters of a trial and its intermediate values.

    Args:
        trial: The trial, which has ended.
        metric: Name of its value.
        step: Unit after which it has reported a value, such as `epoch`.

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
