"""Malformed requests from a grammar leave nothing behind; see benchmarks/fuzz.py."""

from pathlib import Path

import pytest

from helpers import run_benchmark


@pytest.mark.slow
def test_malformed_requests_leave_nothing_behind(model_file: Path) -> None:
    output = run_benchmark("fuzz.py", "--connections", "3000", "--model", str(model_file))
    (responses,) = (line for line in output.splitlines() if line.startswith("Responses: "))
    found = dict(pair.split(": ") for pair in responses.removeprefix("Responses: ").split(", "))
    # The grammar reaches the routes, and all that stands before them.
    assert {"200", "400", "404", "405", "415", "421", "422", "431"} <= found.keys()
