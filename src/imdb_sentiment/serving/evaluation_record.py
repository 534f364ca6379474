"""Test scores of the model, from the record of the run that evaluated it."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imdb_sentiment.serving.schemas import TestScores


def find_test_scores(folder: Path, model: bytes) -> TestScores | None:
    """Return the scores of a model, if its evaluation was recorded.

    Args:
        folder: Folder of the records, such as `data/08_reporting/runs`. A record names the SHA-256
            of the model, so that the scores are never those of another one.
        model: Content of `model.onnx`.

    Returns:
        The scores of the last evaluation; None if there is none.

    """
    digest = hashlib.sha256(model).hexdigest()
    for record in _read_records(folder):
        if record.get("model_sha256") == digest:
            # An earlier version recorded less, or the file was changed by hand.
            with contextlib.suppress(KeyError, TypeError, AttributeError, ValueError):
                return _select_scores(record["metrics"])
    return None


def _select_scores(metrics: dict[str, Any]) -> TestScores:
    return TestScores(
        reviews=metrics["test_rows"],
        accuracy=metrics["test_accuracy"],
        accuracy_low=metrics["test_accuracy_low"],
        accuracy_high=metrics["test_accuracy_high"],
        majority_accuracy=metrics["majority_test_accuracy"],
        recall={name: row["recall"] for name, row in metrics["test_by_label"].items()},
        coverage=metrics.get("test_coverage"),
        accuracy_answered=metrics.get("test_accuracy_answered"),
        is_unseen=metrics["test_set_unseen_in_tuning"],
    )


def _read_records(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the records, the latest first; what can't be read is skipped."""
    for path in sorted(folder.glob("record.json/*/record.json"), reverse=True):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(record, dict):
            yield record
