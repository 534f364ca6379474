"""Honest requests are answered while others attack, and nothing of the attack remains."""

from pathlib import Path

import pytest

from helpers import run_benchmark


@pytest.mark.slow
def test_an_attack_fails_no_honest_request(model_file: Path) -> None:
    output = run_benchmark(
        "hostile.py", "--seconds", "20", "--every", "10", "--model", str(model_file)
    )
    _, _, _, *lines = output.splitlines()
    rows = [[float(cell) for cell in line.strip("| ").split("|")] for line in lines]
    assert len(rows) == 4
    (_, _, _, _, _, mib_before, files_before), *during, after = rows
    assert sum(row[4] for row in during) > 50
    _, median_ms, _, failed, _, mib_after, files_after = after
    assert failed == 0
    assert median_ms < 50
    assert mib_after < 1.4 * mib_before
    assert files_after == files_before
