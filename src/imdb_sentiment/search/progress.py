"""What a search shows while it runs."""

import time
from types import TracebackType
from typing import Self

import rich
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn


class SearchProgress:
    """A bar with the trials done, the best value and the time left; only on a terminal.

    Args:
        done: Trials done before.
        total: Trials to be done in all.

    """

    def __init__(self, done: int, total: int) -> None:
        self._at_start = done
        self._total = total
        self._start = time.monotonic()
        console = rich.get_console()  # the log's too, so that its lines go above the bar
        self._bar = Progress(
            TextColumn("Trials"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=total, completed=done)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def update(self, done: int, best: float | None, running: int) -> str:
        """Show how far the search is, and return that in words.

        Args:
            done: Trials done.
            best: The best value so far.
            running: Trials begun and not done; the time left takes them for half done.

        """
        words = "nothing completed yet" if best is None else f"best {best:.4f}"
        here = done - self._at_start
        left = self._total - done
        if here > 0 and left > 0:
            pace = (time.monotonic() - self._start) / (here + running / 2)
            words += f", about {_format_time(pace * max(0.0, left - running / 2))} left"
        self._bar.update(self._task, completed=done, description=words)
        return words


def _format_time(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"
