"""Progress of a search: its finished trials, the best value and the time left."""

import logging
import re
import time
from typing import Self

from imdb_sentiment.progress import Estimate, Progress, Task, describe, get_progress

PACKAGE = __name__.partition(".")[0]

_TRIAL = re.compile(r"Trial (\d+)")


def follow_trial(number: int, total: float, unit: str) -> Task:
    """Return the task of a trial, whose reports let the search estimate the time left.

    Args:
        number: Number of the trial.
        total: Total amount of work of the trial.
        unit: Unit of the amount, such as epochs.

    """
    return Task(f"Trial {number}", total, unit)


class SearchProgress(logging.Handler):
    """Reports the progress of a search, which is computed from that of its trials.

    Trials report their progress by the log; those in other processes do so in another thread. The
    lock of the log handler guards the rest, too: with two locks, two threads could wait for each
    other.

    Args:
        done: Number of trials that had finished before.
        total: Total number of trials.

    """

    def __init__(self, done: int, total: int) -> None:
        super().__init__(logging.DEBUG)
        assert self.lock  # from the line above
        self._lock = self.lock
        self.addFilter(lambda record: get_progress(record) is not None)
        self._done, self._total = done, total
        self._best = ""
        self._task = Task("Search", total, "trials", done)
        self._running: dict[int, tuple[Estimate, float]] = {}  # and the share that is done
        self._most = 0  # trials that have run at the same time
        self._durations: list[float] = []

    def __enter__(self) -> Self:
        logging.getLogger(PACKAGE).addHandler(self)
        self._task.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._task.__exit__(*error)
        logging.getLogger(PACKAGE).removeHandler(self)

    def begin(self, number: int) -> None:
        """Take note of a trial that begins."""
        with self._lock:
            self._running[number] = Estimate(), 0.0
            self._most = max(self._most, len(self._running))

    def end(self, number: int) -> float:
        """Take note of a trial that has ended; return its seconds."""
        with self._lock:
            estimate, _ = self._running.pop(number)
            seconds = time.monotonic() - estimate.started
            self._durations.append(seconds)
        follow_trial(number, 0, "").end()  # whose worker may have died
        return seconds

    def update(self, done: int, best: float | None) -> str:
        """Report the number of finished trials and the best value so far, None if there is none.

        Returns:
            Both and the time left, in words.

        """
        with self._lock:
            self._done = done
            self._best = "" if best is None else f"best {best:.4f}"
            return self._report()

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of what a trial reports."""
        progress = get_progress(record)
        found = _TRIAL.fullmatch(progress["task"]) if progress else None
        if not progress or not found:
            return
        number = int(found[1])
        with self._lock:
            if number in self._running:
                estimate, _ = self._running[number]
                share = progress["done"] / progress["total"]
                estimate.update(share)
                self._running[number] = estimate, share
                self._report()

    def _report(self) -> str:
        shares = sum(share for _, share in self._running.values())
        left = self._estimate_seconds_left()
        self._task.update(min(self._total, self._done + shares), self._best, left)
        words: Progress = {
            "task": "",
            "done": self._done,
            "total": self._total,
            "unit": "trials",
            "note": self._best,
            "seconds_left": left,
            "ended": False,
        }
        return describe(words)

    def _estimate_seconds_left(self) -> float | None:
        """Return the seconds left, or None if no trial has ended or reported enough."""
        now = time.monotonic()
        lefts = [estimate.seconds_left() for estimate, _ in self._running.values()]
        whole = [
            now - estimate.started + left
            for (estimate, _), left in zip(self._running.values(), lefts, strict=True)
            if left is not None
        ]
        durations = self._durations or whole
        if not durations:
            return None
        usual = sum(durations) / len(durations)
        running = [
            max(0.0, usual - (now - estimate.started)) if left is None else left
            for (estimate, _), left in zip(self._running.values(), lefts, strict=True)
        ]
        # A trial that has just ended frees its worker, which gets the next one at once.
        waiting = self._total - self._done - len(running)
        beginning = min(waiting, self._most - len(running))
        running += [usual] * beginning
        waiting -= beginning
        return max(running, default=0.0) + max(0, waiting) * usual / max(1, self._most)
