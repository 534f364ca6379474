import logging
import threading
from types import SimpleNamespace

import pytest

from imdb_sentiment.progress import get_progress
from imdb_sentiment.search.progress import SearchProgress, follow_trial


class Clock:
    """A clock that a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        clock = SimpleNamespace(monotonic=lambda: self.now)
        for module in ("progress", "search.progress"):
            monkeypatch.setattr(f"imdb_sentiment.{module}.time", clock)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_the_time_left_follows_from_the_trials_that_have_ended(clock: Clock) -> None:
    with SearchProgress(done=2, total=6) as progress:
        assert progress.update(2, None) == "2 of 6 trials"
        progress.begin(2)
        clock.now += 600
        assert progress.end(2) == 600
        assert progress.update(3, 0.87654) == "3 of 6 trials, about 30 min left, best 0.8765"
        # Two in parallel, of which one has begun five minutes later: five minutes are left of the
        # one, ten of the other, and another one may take five of each worker.
        progress.begin(3)
        clock.now += 300
        progress.begin(4)
        assert progress.update(3, 0.9) == "3 of 6 trials, about 15 min left, best 0.9000"
        progress.end(3)
        progress.end(4)
        assert progress.update(6, 0.9) == "6 of 6 trials, best 0.9000"


def test_a_worker_that_has_become_free_is_counted(clock: Clock) -> None:
    with SearchProgress(done=0, total=31) as progress:
        progress.begin(0)
        progress.begin(1)
        clock.now += 60
        progress.end(0)
        # Two workers share 30 more trials, one of which is about to end.
        assert progress.update(1, 0.9) == "1 of 31 trials, about 15 min left, best 0.9000"


def test_epochs_tell_the_time_before_a_trial_has_ended(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "imdb_sentiment")
    with SearchProgress(done=0, total=2) as progress:
        progress.begin(0)
        with follow_trial(0, 10, "epochs") as trial:
            clock.now += 100  # until the network is compiled
            trial.update(1)
            clock.now += 10
            trial.update(2)
        # This trial takes 100 s and 9 times 10 s, of which 80 s are left; so does the next.
        told = [get_progress(record) for record in caplog.records]
        searches = [found for found in told if found and found["task"] == "Search"]
        assert searches[-2]["seconds_left"] is None
        assert searches[-1]["done"] == pytest.approx(0.2)
        assert searches[-1]["seconds_left"] == pytest.approx(80 + 190)


def test_a_trial_whose_worker_died_is_no_longer_shown(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "imdb_sentiment")
    with SearchProgress(done=0, total=2) as progress:
        progress.begin(3)
        follow_trial(3, 10, "epochs").update(1)  # its last sign
        clock.now += 60
        progress.end(3)
    told = [found for record in caplog.records if (found := get_progress(record))]
    assert [found["ended"] for found in told if found["task"] == "Trial 3"] == [False, True]


def test_reports_of_other_trials_and_after_the_end_do_no_harm(clock: Clock) -> None:
    with SearchProgress(done=0, total=2) as progress, follow_trial(7, 10, "epochs") as trial:
        trial.update(5)
    clock.now += 1
    trial.update(6)
    assert progress.update(1, None) == "1 of 2 trials"
    assert progress not in logging.getLogger("imdb_sentiment").handlers


def test_trials_in_another_thread_do_not_wait_for_the_search(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each thread reports while the other one does, which two locks would not survive."""
    caplog.set_level("DEBUG", "imdb_sentiment")
    monkeypatch.setattr("imdb_sentiment.progress.PAUSE", 0)

    def report() -> None:
        with follow_trial(0, 2000, "epochs") as trial:
            for epoch in range(2000):
                trial.update(epoch)

    def update() -> None:
        for _ in range(2000):
            progress.update(0, 0.5)

    with SearchProgress(done=0, total=9) as progress:
        progress.begin(0)
        threads = [threading.Thread(target=work, daemon=True) for work in (report, update)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
