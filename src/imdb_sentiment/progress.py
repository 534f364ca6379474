"""Progress of long work, reported as log records.

Records of the level DEBUG carry it in the attribute `progress`. So progress obeys the levels of
conf/logging.yml, and comes from other processes in the way that other messages do;
`framework/console.py` shows it.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterator
from typing import Self, TypedDict, TypeVar

logger = logging.getLogger(__name__)

PAUSE = 0.2  # seconds between two reports of one task

T = TypeVar("T")


class Progress(TypedDict):
    """The progress of a task, as a record has it.

    Attributes:
        task: Name of the task.
        done, total: Amount that is done, and total amount, in `unit`; the total is 0 if it is not
            known.
        unit: Unit of the amounts, such as epochs.
        note: Further text to show.
        seconds_left: Approximate number of seconds left; None if it is to be estimated.
        ended: Whether this is the last report of the task.

    """

    task: str
    done: float
    total: float
    unit: str
    note: str
    seconds_left: float | None
    ended: bool


class Task:
    """A task that reports its progress during a `with` block.

    Args:
        name: Description for people, which identifies the task.
        total: Total amount; 0 if it is not known.
        unit: Unit of the amounts, such as epochs.
        done: Amount that was done before.

    Attributes:
        total: Total amount; it may be set later.
        done: Amount that is done.

    """

    def __init__(self, name: str, total: float, unit: str, done: float = 0) -> None:
        self._name, self.total, self._unit, self.done = name, total, unit, done
        self._next_report = 0.0

    def __enter__(self) -> Self:
        self._report()
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def end(self) -> None:
        """Report that the task has ended; to do so twice does no harm."""
        self._report(ended=True)

    def update(self, done: float, note: str = "", seconds_left: float | None = None) -> None:
        """Report how much is done; reports that follow each other too closely are left out."""
        self.done = done
        if time.monotonic() >= self._next_report:
            self._report(note, seconds_left)

    def follow_part(self, number: int = 0, parts: int = 1) -> Callable[[float], None]:
        """Return a function that reports the progress of one of several equal parts, by its share.

        Args:
            number: Number of the part, counted from 0.
            parts: Number of parts.

        """
        return lambda share: self.update(self.total * (number + share) / parts)

    def _report(
        self, note: str = "", seconds_left: float | None = None, *, ended: bool = False
    ) -> None:
        self._next_report = time.monotonic() + PAUSE
        if not logger.isEnabledFor(logging.DEBUG):
            return
        progress: Progress = {
            "task": self._name,
            "done": self.done,
            "total": self.total,
            "unit": self._unit,
            "note": note,
            "seconds_left": seconds_left,
            "ended": ended,
        }
        logger.debug("%s", describe(progress), extra={"progress": progress})


def track(items: Collection[T], name: str, unit: str) -> Iterator[T]:
    """Yield items one by one, and report how many have been processed."""
    with Task(name, len(items), unit) as task:
        for number, item in enumerate(items, start=1):
            yield item
            task.update(number)


def get_progress(record: logging.LogRecord) -> Progress | None:
    """Return the progress in a record; None if it is an ordinary record."""
    progress: Progress | None = getattr(record, "progress", None)
    return progress


class Estimate:
    """Estimate of the remaining time, extrapolated from the progress since the first report.

    Work before the first report, such as compiling a network, is done only once and not counted.
    """

    def __init__(self) -> None:
        self.started = time.monotonic()
        self._first = self._latest = (self.started, 0.0)

    def update(self, share: float) -> None:
        """Take note of the share that is done, from 0 to 1."""
        if share > self._latest[1]:
            self._latest = (time.monotonic(), share)
            if not self._first[1]:
                self._first = self._latest

    def seconds_left(self) -> float | None:
        """Return the seconds left; None if there has been no progress to estimate them from."""
        (first, share_then), (latest, share) = self._first, self._latest
        if share <= share_then:
            return None
        left = (latest - first) / (share - share_then) * (1 - share)
        return max(0.0, left - (time.monotonic() - latest))


def describe(progress: Progress, seconds_left: float | None = None) -> str:
    """Return progress in words.

    Args:
        progress: The progress.
        seconds_left: Estimate of the time left, if the progress has none.

    """
    done, total = int(progress["done"]), int(progress["total"])
    of_total = f" of {total:,}" if total else ""
    parts = [f"{done:,}{of_total} {progress['unit']}"]
    left = progress["seconds_left"]
    left = seconds_left if left is None else left
    if left is not None and done < total:
        parts.append(f"about {format_seconds(left)} left")
    if progress["note"]:
        parts.append(progress["note"])
    return ", ".join(parts)


def format_seconds(seconds: float) -> str:
    """Return a duration in words, with seconds up to ten minutes."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    if minutes >= 10:  # noqa: PLR2004
        return f"{minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
