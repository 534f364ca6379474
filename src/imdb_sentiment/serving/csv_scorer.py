"""A process that scores CSVs, so that they do not take Python's lock from requests.

Its standard input has the model, then one call after another; its standard output has the result of
each. It ends with its standard input, that is, with the service, however that ends. A process that
does not answer is killed.
"""

import contextlib
import io
import logging
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import IO, Any

from imdb_sentiment.serving.predictor import Predictor
from imdb_sentiment.serving.scored_csv import CsvError, score_csv

logger = logging.getLogger(__name__)

MIN_START_TIMEOUT = 60.0  # seconds for the first call, before which Python and the model load
PRIORITY = 10  # niceness: requests come first
SPOOLED = 1 << 20  # size in bytes up to which a file stays in memory instead of on the disk
PART = 1 << 16  # bytes that are copied at a time
ENDED = (OSError, EOFError, pickle.UnpicklingError)  # what one end sees when the other has ended


class ScorerError(Exception):
    """The process has ended unexpectedly, and its CSVs are lost."""


class CsvScorer:
    """The process as the service sees it. Any thread may call it; calls wait for each other.

    Args:
        model: Content of `model.onnx`.
        timeout: Maximum seconds for a call; for the first one, at least a minute, since the process
            starts. Then it is killed, and the call fails.

    """

    def __init__(self, model: bytes, timeout: float) -> None:
        self._timeout = timeout
        self._has_answered = False
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            # -P: it imports nothing from the current folder, where anybody's files may lie.
            [sys.executable, "-P", "-m", "imdb_sentiment.serving.csv_scorer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._calls: IO[bytes] = self._process.stdin
        self._results: IO[bytes] = self._process.stdout
        with self._limit_time(), contextlib.suppress(OSError):  # the first call will tell
            pickle.dump(model, self._calls)
            self._calls.flush()  # so that it is loaded before the first call

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def begin(
        self,
        csv: int,
        source: IO[bytes],
        text_column: str,
        delimiter: str,
        *,
        max_characters: int,
        deadline: float,
    ) -> None:
        """Hand over a CSV.

        Args:
            csv: Number of the CSV.
            source: Its content.
            text_column: Name of the column with the text.
            delimiter: Name of the delimiter, or `auto` to recognise it.
            max_characters: Maximum length of a text; longer texts get no prediction.
            deadline: Time at which to stop, on the clock of `time.monotonic`, which all processes
                of a machine share.

        Raises:
            ScorerError: The process has ended.

        """
        with self._limit_time():  # once for all calls, so that `end` comes after them
            source.seek(0)
            while part := source.read(PART):
                self._call("receive", csv, part)
            self._call("begin", csv, text_column, delimiter, max_characters, deadline)

    def score_chunk(self, csv: int) -> tuple[int, bytes] | None:
        """Score the next rows of a CSV.

        Args:
            csv: Number of the CSV.

        Returns:
            Number of rows, and the scored rows; None after the last one.

        Raises:
            ScorerError: The process has ended.
            CsvError: The CSV can't be scored.
            TimeoutError: The deadline has passed.

        """
        with self._limit_time():
            chunk: tuple[int, bytes] | None = self._call("score_chunk", csv)
        return chunk

    def end(self, csv: int) -> None:
        """Drop a CSV, if it is there."""
        with self._limit_time(), contextlib.suppress(ScorerError):
            self._call("end", csv)

    def close(self) -> None:
        """End the process, after the call that it may be answering."""
        with self._lock:  # nobody waits for a result, so it need not end by itself
            self._process.kill()
            self._process.wait()
            with contextlib.suppress(OSError):
                self._calls.close()
            self._results.close()

    @contextlib.contextmanager
    def _limit_time(self) -> Iterator[None]:
        """Wait for other calls, and kill the process if this one takes too long."""
        with self._lock:
            is_new = not self._has_answered
            timeout = max(self._timeout, MIN_START_TIMEOUT) if is_new else self._timeout
            timer = threading.Timer(timeout, self._kill)
            timer.start()
            try:
                yield
            finally:
                timer.cancel()

    def _kill(self) -> None:
        logger.error("the process that scores CSVs does not answer: killing it")
        self._process.kill()

    def _call(self, name: str, *args: Any) -> Any:
        try:
            pickle.dump((name, args), self._calls)
            self._calls.flush()
            result, error = pickle.load(self._results)
        except (*ENDED, ValueError) as ended:  # ValueError: the pipes have been closed
            self._process.kill()  # what it may still answer would belong to another call
            self._process.wait()
            raise ScorerError from ended
        self._has_answered = True
        if error is not None:
            raise error
        return result


class _Csvs:
    """The CSVs in the process, by their numbers."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._sources: dict[int, IO[bytes]] = {}
        self._chunks: dict[int, Iterator[tuple[int, bytes]]] = {}

    def receive(self, csv: int, part: bytes) -> None:
        if csv not in self._sources:
            self._sources[csv] = tempfile.SpooledTemporaryFile(SPOOLED)  # noqa: SIM115
        self._sources[csv].write(part)

    def begin(self, csv: int, text_column: str, delimiter: str, *limits: Any) -> None:
        source = self._sources.setdefault(csv, io.BytesIO())
        source.seek(0)
        text = io.TextIOWrapper(source, "utf-8-sig", newline="")
        self._chunks[csv] = self._score(text, text_column, delimiter, *limits)

    def _score(
        self,
        source: IO[str],
        text_column: str,
        delimiter: str,
        max_characters: int,
        deadline: float,
    ) -> Iterator[tuple[int, bytes]]:
        target = io.StringIO(newline="")
        chunks = score_csv(
            self._predictor,
            source,
            target,
            text_column,
            delimiter=delimiter,
            max_characters=max_characters,
            deadline=deadline,
        )
        done = 0
        try:
            for rows in chunks:
                done += rows
                yield rows, target.getvalue().encode()
                target.seek(0)
                target.truncate()
        except UnicodeDecodeError as error:
            # The error tells only the place in the part that was decoded last.
            place = f", after row {done:,}" if done else ""
            raise CsvError(
                f"the file is not UTF-8 text (byte 0x{error.object[error.start]:02x}{place}): save "
                "it as UTF-8"
            ) from error
        if remainder := target.getvalue():  # a header without rows
            yield 0, remainder.encode()

    def score_chunk(self, csv: int) -> tuple[int, bytes] | None:
        return next(self._chunks[csv], None)

    def end(self, csv: int) -> None:
        self._chunks.pop(csv, None)
        if source := self._sources.pop(csv, None):
            source.close()


def _answer_calls(calls: IO[bytes], results: IO[bytes]) -> None:
    """Answer calls until their end."""
    with contextlib.suppress(*ENDED):
        csvs = _Csvs(Predictor(pickle.load(calls), threads=1))
        while True:
            name, args = pickle.load(calls)
            result = error = None
            try:
                result = getattr(csvs, name)(*args)
            except Exception as raised:
                error = raised
            pickle.dump((result, error), results)
            results.flush()


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the service still completes what it has accepted
    if hasattr(os, "nice"):
        os.nice(PRIORITY)
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # what a library prints is no result
        _answer_calls(sys.stdin.buffer, answers)
