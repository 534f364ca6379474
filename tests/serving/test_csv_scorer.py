"""The process that scores CSVs, without the service."""

import io
import math
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from imdb_sentiment.serving.csv_scorer import CsvScorer, ScorerError


def score(scorer: CsvScorer, csv: int = 0) -> int:
    """Return the number of rows of a small CSV that was scored."""
    source = io.BytesIO(b"review\nw1\nw2\n")
    scorer.begin(csv, source, "review", "auto", max_characters=100, deadline=math.inf)
    rows = 0
    while chunk := scorer.score_chunk(csv):
        rows += chunk[0]
    scorer.end(csv)
    return rows


def test_nothing_is_imported_from_the_current_folder(
    exported: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("uuid", "tempfile", "pickle", "numpy"):
        (tmp_path / f"{name}.py").write_text("open('was_run', 'w')\nraise SystemExit\n")
    monkeypatch.chdir(tmp_path)
    scorer = CsvScorer(exported, timeout=60)
    try:
        assert score(scorer) == 2
    finally:
        scorer.close()
    assert not (tmp_path / "was_run").exists()


def test_the_process_is_polite_and_ends_with_the_service_alone(exported: bytes) -> None:
    before = set(psutil.Process().children())
    scorer = CsvScorer(exported, timeout=60)
    try:
        (child,) = set(psutil.Process().children()) - before
        assert score(scorer) == 2
        assert child.nice() > psutil.Process().nice()
        child.send_signal(signal.SIGINT)  # Ctrl-C reaches all processes of a terminal
        assert score(scorer, 2) == 2
    finally:
        scorer.close()


def test_a_process_has_time_to_start(exported: bytes) -> None:
    scorer = CsvScorer(exported, timeout=0.01)
    try:
        source = io.BytesIO(b"review\nw1\n")
        scorer.begin(1, source, "review", "auto", max_characters=100, deadline=math.inf)
    finally:
        scorer.close()


def test_a_process_that_does_not_answer_is_killed(exported: bytes) -> None:
    before = set(psutil.Process().children())
    scorer = CsvScorer(exported, timeout=2)
    try:
        (child,) = set(psutil.Process().children()) - before
        assert score(scorer) == 2
        child.suspend()
        start = time.monotonic()
        with ThreadPoolExecutor(2) as pool:
            calls = [pool.submit(score, scorer, csv) for csv in (1, 2)]
            for call in calls:
                with pytest.raises(ScorerError):
                    call.result()
        assert time.monotonic() - start < 10
        assert scorer.has_ended
    finally:
        scorer.close()
