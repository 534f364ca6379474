import os
from pathlib import Path

import pytest

from imdb_sentiment import cores


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("max 100000", 8),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("6400000 100000", 8),
        (None, 8),
    ],
)
def test_the_cpu_time_of_a_container_limits_the_cores(
    limit: str | None, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8), raising=False)
    file = tmp_path / "cpu.max"
    monkeypatch.setattr(cores, "CPU_MAX", file)
    if limit:
        file.write_text(f"{limit}\n")
    assert cores.count_cores() == expected
