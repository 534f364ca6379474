"""Comparison of the last model with the one that was tested before it."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

logger = logging.getLogger(__name__)

MAX_LABELS = 10  # maximum number of labels whose recall is compared

SCORES = {  # that are compared, and their names
    "accuracy": "accuracy",
    "f1_macro": "macro F1",
    "log_loss": "log loss",
    "calibration_error": "calibration error",
}
LOSSES = {"log_loss", "calibration_error"}  # lower is better
LEARNT = ("model", "ngram_model", "calibration")  # parts of a model that are fitted to reviews

Record = dict[str, Any]  # what `record_run` returns


def compare_runs(run_record: dict[str, Callable[[], Record]]) -> list[dict[str, Any]]:
    """List what changed between the last model and the one tested before on the same reviews.

    Args:
        run_record: Functions that load the record of a run, by names that begin with its time.

    Returns:
        The scores that both models have, and the settings that differ: `name`, the values `before`
        and `now`, and for a score the `gain`, which is positive if it is better now; None for a
        setting. Empty if there is no earlier model with the same test reviews.

    """
    records = load_records(run_record)
    same = [r for r in records if r["test_reviews_sha256"] == records[-1]["test_reviews_sha256"]]
    if len(same) < 2:  # noqa: PLR2004
        return []
    before, now = same[-2:]
    changes = [*_compare_scores(before["metrics"], now["metrics"]), *_compare_settings(before, now)]
    return [dict(zip(("name", "before", "now", "gain"), change, strict=True)) for change in changes]


_Change = tuple[str, Any, Any, float | None]


def _compare_scores(before: dict[str, Any], now: dict[str, Any]) -> Iterator[_Change]:
    """Yield the scores that both records have."""
    for key, name in SCORES.items():
        old, new = (metrics.get(f"test_{key}") for metrics in (before, now))
        if old is not None and new is not None:
            yield name, old, new, old - new if key in LOSSES else new - old
    old_labels, new_labels = (metrics.get("test_by_label", {}) for metrics in (before, now))
    for label in new_labels if len(new_labels) <= MAX_LABELS else ():
        old, new = (rows.get(label, {}).get("recall") for rows in (old_labels, new_labels))
        if old is not None and new is not None:
            yield f"recall of {label}", old, new, new - old


def _compare_settings(before: Record, now: Record) -> Iterator[_Change]:
    """Yield the settings that differ, of a group of values each one."""
    old, new = _list_settings(before), _list_settings(now)
    for name in old:
        if name in new:  # otherwise, the versions that made the models have different settings
            values, new_values = _flatten(name, old[name]), _flatten(name, new[name])
            for key in values | new_values:
                if values.get(key) != new_values.get(key):
                    yield key, values.get(key), new_values.get(key), None


def _list_settings(record: Record) -> dict[str, Any]:
    """Return hyperparameters, parameters of the training and fitted weights by their names."""
    training = record["model"].get("training", {})
    ngrams = training.get("ngrams", {})
    return {
        **record["best_hyperparameters"],
        **{name: value for name, value in training.items() if name != "ngrams"},
        **{f"ngrams.{name}": value for name, value in ngrams.items()},
        "temperature": record["metrics"].get("temperature"),
        "share of the n-grams": record["metrics"].get("ngram_share"),
        "training reviews": record["model"].get("training_data_sha256", "")[:6],
    }


def _flatten(name: str, value: Any) -> dict[str, Any]:
    """Return a setting by its name, or the values of a group by theirs."""
    if isinstance(value, dict):
        return {f"{name}: {key}": part for key, part in value.items()}
    return {name: value}


def load_records(run_record: dict[str, Callable[[], Record]]) -> list[Record]:
    """Return the last record of each model and test set, the oldest first."""
    records: dict[tuple[str, str], Record] = {}
    for name in sorted(run_record):
        try:
            record = run_record[name]()
            key = (_identify_model(record), record["test_reviews_sha256"])
        except Exception:  # a damaged old record must not prevent a new report
            logger.warning("The record %s can't be read, and is left out.", name, exc_info=True)
            continue
        records.pop(key, None)
        records[key] = record
    return list(records.values())


def _identify_model(record: Record) -> str:
    """Return an identifier that differs between models, but not if one is only exported again."""
    model = record["model"]
    parts = {step["name"]: step["sha256"] for step in model.get("lineage", ())}
    learnt = [parts.get(name) for name in LEARNT]
    if not any(learnt):  # they lie in a bucket, whose files are not read
        return str(record["model_sha256"])
    return json.dumps([learnt, model["training"]], sort_keys=True)  # with the rule of the decision
