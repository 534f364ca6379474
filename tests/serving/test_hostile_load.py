"""Honest requests are answered while others attack, and nothing of the attack remains."""

import subprocess
import sys
from pathlib import Path

import pytest

from helpers import PROJECT


@pytest.mark.slow
def test_an_attack_fails_no_honest_request(model_file: Path) -> None:
    command = [sys.executable, "benchmarks/hostile.py", "--seconds", "20", "--every", "10"]
    done = subprocess.run(
        [*command, "--model", str(model_file)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    _, _, _, *lines = done.stdout.splitlines()
    rows = [[float(cell) for cell in line.strip("| ").split("|")] for line in lines]
    assert len(rows) == 4
    (_, _, _, _, _, mib_before, files_before), *during, after = rows
    assert sum(row[4] for row in during) > 50
    _, median_ms, _, failed, _, mib_after, files_after = after
    assert failed == 0
    assert median_ms < 50
    assert mib_after < 1.4 * mib_before
    assert files_after == files_before
