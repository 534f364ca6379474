"""CSVs that clients have sent, and their scored copies."""

import io
import tempfile
import threading
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from imdb_sentiment.serving.job_queue import JobQueue, Shares
from imdb_sentiment.serving.predictor import Predictor
from imdb_sentiment.serving.scored_csv import CsvError, score_csv
from imdb_sentiment.serving.settings import ServiceSettings

SPOOLED = 1 << 20  # size in bytes up to which a file stays in memory instead of on the disk
PART = 1 << 16  # bytes of the scored copy that are read at a time
# Uploads that are scored in turns, of all clients, and of each.
ACTIVE, ACTIVE_PER_CLIENT = 16, 4
# Disk space for what has arrived, as a multiple of the largest upload: of all clients, and of each.
DISK, DISK_PER_CLIENT = 40, 8


class Upload:
    """A CSV and its scored copy, in temporary files; scored chunk by chunk, in any thread."""

    def __init__(self) -> None:
        self._source = tempfile.SpooledTemporaryFile(SPOOLED)  # noqa: SIM115  # see `close`
        self._target = tempfile.SpooledTemporaryFile(SPOOLED)  # noqa: SIM115
        # If these were dropped, they would close the files.
        self._lines = io.TextIOWrapper(self._source, "utf-8-sig", newline="")
        self._scored = io.TextIOWrapper(self._target, "utf-8", newline="", write_through=True)
        self._chunks: Iterator[int] = iter(())
        self._lock = threading.Lock()

    def write(self, part: bytes) -> None:
        """Append a part of the CSV."""
        self._source.write(part)

    def begin(
        self, predictor: Predictor, text_column: str, *, max_characters: int, deadline: float
    ) -> None:
        """Prepare the scoring of the CSV, which is complete; see `score_csv`."""
        self._source.seek(0)
        self._chunks = score_csv(
            predictor,
            self._lines,
            self._scored,
            text_column,
            max_characters=max_characters,
            deadline=deadline,
        )

    def score_chunk(self) -> int | None:
        """Score the next chunk and return its number of rows; None after the last one.

        Raises:
            CsvError: The CSV can't be scored.
            TimeoutError: The deadline has passed.

        """
        with self._lock:
            try:
                return next(self._chunks, None)
            except UnicodeDecodeError as error:
                raise CsvError(f"the file is not UTF-8 text: {error}") from error

    def read(self) -> Iterator[bytes]:
        """Yield the scored copy, and close the files at its end."""
        try:
            self._target.seek(0)
            while part := self._target.read(PART):
                yield part
        finally:
            self.close()

    def close(self) -> None:
        """Close the files, after the chunk that may be scored just now."""
        with self._lock:
            self._source.close()
            self._target.close()


class Uploads:
    """Receives and scores uploads: all that have arrived in turns, a chunk of each at a time.

    So a large upload does not keep others waiting until its end. It ends when its client has gone.

    Args:
        predictor: Exported model.
        settings: Limits of size and time.

    """

    def __init__(self, predictor: Predictor, settings: ServiceSettings) -> None:
        self._predictor = predictor
        self._settings = settings
        self._turns = JobQueue(1, ACTIVE, settings.upload_timeout)
        self._scored = Shares(ACTIVE, ACTIVE_PER_CLIENT)
        self._disk = Shares(DISK * settings.max_upload, DISK_PER_CLIENT * settings.max_upload)

    @property
    def active(self) -> int:
        """Number of uploads that are being scored."""
        return self._scored.taken

    async def score(
        self,
        client: str,
        parts: AsyncIterable[bytes],
        is_disconnected: Callable[[], Awaitable[bool]],
        text_column: str,
    ) -> tuple[Upload, int]:
        """Receive a CSV and score it.

        Args:
            client: Whose upload it is.
            parts: The CSV as it arrives.
            is_disconnected: Returns whether the client has gone.
            text_column: Name of the column with the text.

        Returns:
            The upload, to be read, and its number of rows.

        Raises:
            QueueFullError: There are too many uploads, or too many of this client.
            CsvError: The CSV can't be scored.
            TimeoutError: It took too long.
            ClientDisconnect: The client has gone.

        """
        upload = Upload()
        size = rows = 0
        try:
            async for part in parts:
                self._disk.take(client, len(part))
                size += len(part)
                await run_in_threadpool(upload.write, part)
            with self._scored.hold(client):
                upload.begin(
                    self._predictor,
                    text_column,
                    max_characters=self._settings.max_characters,
                    deadline=time.monotonic() + self._settings.upload_timeout,
                )
                while (n := await self._turns.run(client, upload.score_chunk)) is not None:
                    rows += n
                    if await is_disconnected():
                        raise ClientDisconnect
        except BaseException:
            await run_in_threadpool(upload.close)
            raise
        finally:
            self._disk.give_back(client, size)
        return upload, rows

    def close(self) -> None:
        """Finish the chunk that is being scored, and start no more."""
        self._turns.close()
