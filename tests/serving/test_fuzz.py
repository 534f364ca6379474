"""Malformed requests from a grammar leave nothing behind; see benchmarks/fuzz.py."""

import subprocess
import sys
from pathlib import Path

import pytest

from helpers import PROJECT


@pytest.mark.slow
def test_malformed_requests_leave_nothing_behind(model_file: Path) -> None:
    command = [sys.executable, "benchmarks/fuzz.py", "--connections", "3000"]
    done = subprocess.run(
        [*command, "--model", str(model_file)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (responses,) = (line for line in done.stdout.splitlines() if line.startswith("Responses: "))
    found = dict(pair.split(": ") for pair in responses.removeprefix("Responses: ").split(", "))
    # The grammar reaches the routes, and all that stands before them.
    assert {"200", "400", "404", "405", "415", "421", "422", "431"} <= found.keys()
