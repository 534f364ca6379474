"""What tasks report, and the time that is left of them."""

from types import SimpleNamespace

import pytest

from imdb_sentiment import progress
from imdb_sentiment.progress import Estimate, Task, format_seconds, get_progress, track


def find_reports(caplog: pytest.LogCaptureFixture) -> list[tuple[float, bool]]:
    told = [get_progress(record) for record in caplog.records]
    return [(found["done"], found["ended"]) for found in told if found]


def test_items_are_counted_but_not_more_often_than_people_can_read(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("DEBUG", "imdb_sentiment")
    now = 0.0
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now))
    seen = []
    for item in track("abcdef", "Reading", "letters"):
        seen.append(item)
        now += 0.15
    assert "".join(seen) == "abcdef"
    assert find_reports(caplog) == [(0, False), (2, False), (4, False), (6, False), (6, True)]
    assert caplog.messages[-1] == "6 of 6 letters"


def test_a_task_that_fails_has_ended(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "imdb_sentiment")
    with pytest.raises(ZeroDivisionError), Task("Dividing", 2, "numbers", done=1):
        _ = 1 / 0
    assert find_reports(caplog) == [(1, False), (1, True)]
    caplog.clear()
    for _ in track([1, 2], "Looking", "numbers"):
        break
    assert find_reports(caplog)[-1] == (0, True)


def test_nothing_is_reported_below_the_level_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "imdb_sentiment")
    assert list(track([1, 2], "Looking", "numbers")) == [1, 2]
    assert not caplog.records


def test_parts_of_a_task_add_up(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "imdb_sentiment")
    with Task("Training", 10, "epochs") as task:
        task.follow_part(0, 2)(1.0)
        assert task.done == 5
        task.follow_part(1, 2)(0.5)
        assert task.done == 7.5


def test_the_first_step_does_not_count_for_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now))
    estimate = Estimate()
    assert estimate.seconds_left() is None
    now = 100.0
    estimate.update(0.1)
    assert estimate.seconds_left() is None
    now = 101.0
    estimate.update(0.2)
    assert estimate.seconds_left() == pytest.approx(8)
    now = 104.0  # nothing new: the time goes on
    assert estimate.seconds_left() == pytest.approx(5)
    now = 1000.0
    assert estimate.seconds_left() == 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (599, "9 min 59 s"),
        (600, "10 min"),
        (3599, "59 min"),
        (3600, "1 h 0 min"),
        (100_000, "27 h 46 min"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert format_seconds(seconds) == words
