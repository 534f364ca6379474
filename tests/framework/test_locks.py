from pathlib import Path

import pytest
from filelock import FileLock

from imdb_sentiment.errors import InputError
from imdb_sentiment.framework import locks
from imdb_sentiment.framework.locks import hold_lock


def test_a_lock_that_another_holds_too_long_is_an_error_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "LOCK_TIMEOUT", 0.1)
    path = tmp_path / "all.lock"
    with FileLock(path), pytest.raises(InputError, match=r"all\.lock for 0\.1 seconds"):
        hold_lock(path).__enter__()
    with hold_lock(path), pytest.raises(InputError):  # a second lock in this process waits as well
        hold_lock(path).__enter__()
    with hold_lock(path):
        pass
