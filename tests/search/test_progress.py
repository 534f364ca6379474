import io
from types import SimpleNamespace

import pytest
import rich
from rich.console import Console
from rich.text import Text

from imdb_sentiment.search.progress import SearchProgress


def test_a_terminal_shows_trials_best_value_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    screen = Console(file=stream, force_terminal=True, width=100)
    monkeypatch.setattr(rich, "get_console", lambda: screen)
    now = 1000.0
    clock = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr("imdb_sentiment.search.progress.time", clock)
    with SearchProgress(done=2, total=10) as progress:
        assert progress.update(2, None, 1) == "nothing completed yet"
        now += 600
        # Four trials took ten minutes, so the other four will take as long.
        assert progress.update(6, 0.87654, 0) == "best 0.8765, about 10 min left"
        # If two of those are running and half done, five count as done and three are to come.
        assert progress.update(6, 0.87654, 2) == "best 0.8765, about 6 min left"
        now += 3600 * 3
        assert progress.update(9, 0.9, 0) == "best 0.9000, about 27 min left"
        assert progress.update(10, 0.9, 0) == "best 0.9000"
    assert "10/10 best 0.9000" in Text.from_ansi(stream.getvalue()).plain


def test_a_file_gets_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    page = Console(file=stream)
    monkeypatch.setattr(rich, "get_console", lambda: page)
    with SearchProgress(done=0, total=2) as progress:
        progress.update(1, 0.5, 0)
    assert stream.getvalue() == ""
