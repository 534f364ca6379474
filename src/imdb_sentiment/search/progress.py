"""What a search shows while it runs."""

import time
from typing import Self

import rich
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn


class SearchProgress:
    """A progress bar with the finished trials, the best value and the time left.

    It is shown on a terminal only.

    Args:
        done: Number of trials that had finished before.
        total: Total number of trials.

    """

    def __init__(self, done: int, total: int) -> None:
        self._done_before = done
        self._total = total
        self._start = time.monotonic()
        console = rich.get_console()  # shared with the log, so that its lines appear above the bar
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

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def update(self, done: int, best: float | None, running: int) -> str:
        """Show the progress of the search.

        Args:
            done: Number of finished trials.
            best: Best value so far; None if no trial has completed.
            running: Number of running trials; for the time left, each counts as half finished.

        Returns:
            The best value and the time left, in words.

        """
        words = "nothing completed yet" if best is None else f"best {best:.4f}"
        done_now = done - self._done_before
        left = self._total - done
        if done_now > 0 and left > 0:
            pace = (time.monotonic() - self._start) / (done_now + running / 2)
            words += f", about {_format_time(pace * max(0.0, left - running / 2))} left"
        self._bar.update(self._task, completed=done, description=words)
        return words


def _format_time(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"
