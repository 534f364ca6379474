"""CSVs that clients have sent, and their scored copies."""

import itertools
import logging
import tempfile
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Self

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from imdb_sentiment.serving.csv_scorer import PART, CsvScorer
from imdb_sentiment.serving.job_queue import JobQueue, QueueFullError, Quota
from imdb_sentiment.serving.scored_csv import CsvError
from imdb_sentiment.serving.settings import ServiceSettings

logger = logging.getLogger(__name__)

# Maximum number of uploads that are scored in turns: for all clients together, and for each.
ACTIVE, ACTIVE_PER_CLIENT = 16, 4
# Disk space for uploads and their scored copies, as a multiple of the largest upload: for all
# clients together, and for each.
DISK, DISK_PER_CLIENT = 40, 8


class SharedFile:
    """A temporary file whose size counts for its client's quota of disk space.

    Args:
        disk: Quota of disk space.
        client: Client that the file belongs to.

    Attributes:
        size: Number of bytes that have been written.

    """

    def __init__(self, disk: Quota, client: str) -> None:
        self._disk = disk
        self._client = client
        self.size = 0
        # Soon on the disk, since a client may leave hundreds of uploads unfinished.
        self.file = tempfile.SpooledTemporaryFile(PART)  # noqa: SIM115  # see `close`

    async def write(self, part: bytes) -> None:
        """Append bytes.

        Raises:
            QueueFullError: The disk space is used up.

        """
        self._disk.take(self._client, len(part))
        self.size += len(part)
        await run_in_threadpool(self.file.write, part)

    async def read(self) -> AsyncIterator[bytes]:
        """Yield the content in parts."""
        self.file.seek(0)
        while part := await run_in_threadpool(self.file.read, PART):
            yield part

    def close(self) -> None:
        """Drop the file, and give its space back."""
        self.file.close()
        self._disk.give_back(self._client, self.size)
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Uploads:
    """Receives and scores uploads: all that have arrived in turns, a chunk of each at a time.

    So a large upload does not keep others waiting until its end. It ends when its client has gone.

    Args:
        model: Content of `model.onnx`.
        settings: Limits of size and time.

    """

    def __init__(self, model: bytes, settings: ServiceSettings) -> None:
        self._model = model
        self._settings = settings
        self._numbers = itertools.count()
        self._scorer = CsvScorer(model, settings.upload_timeout)
        self._turns = JobQueue(1, ACTIVE, settings.upload_timeout)
        self._active = Quota(ACTIVE, ACTIVE_PER_CLIENT)
        self._disk = Quota(DISK * settings.max_upload, DISK_PER_CLIENT * settings.max_upload)

    @property
    def active(self) -> int:
        """Number of uploads that are being scored."""
        return self._active.taken

    async def score(
        self,
        client: str,
        parts: AsyncIterable[bytes],
        is_disconnected: Callable[[], Awaitable[bool]],
        text_column: str,
        delimiter: str,
    ) -> tuple[SharedFile, int]:
        """Receive a CSV and score it.

        Args:
            client: Client that sends the upload.
            parts: The CSV as it arrives.
            is_disconnected: Function that returns whether the client has gone.
            text_column: Name of the column with the text.
            delimiter: Name of the delimiter, or `auto`.

        Returns:
            The scored copy, to be read and closed, and its number of rows.

        Raises:
            QueueFullError: There are too many uploads, or too many of this client.
            CsvError: The CSV can't be scored.
            TimeoutError: It took too long.
            ClientDisconnect: The client has gone.
            ScorerError: The process that scores CSVs has ended.

        """
        scored = SharedFile(self._disk, client)
        rows = 0
        try:
            with SharedFile(self._disk, client) as source:
                async for part in parts:
                    await source.write(part)
                with self._active.hold(client):
                    begun = self._begin(client, source, text_column, delimiter)
                    async with begun as score_chunk:
                        while (chunk := await score_chunk()) is not None:
                            await self._keep(scored, chunk[1])
                            rows += chunk[0]
                            if await is_disconnected():
                                raise ClientDisconnect
        except BaseException:
            scored.close()
            raise
        return scored, rows

    @asynccontextmanager
    async def _begin(
        self, client: str, source: SharedFile, text_column: str, delimiter: str
    ) -> AsyncIterator[Callable[[], Awaitable[tuple[int, bytes] | None]]]:
        """Hand a CSV over to the process that scores it, and return how to score a chunk."""
        deadline = time.monotonic() + self._settings.upload_timeout
        scorer = await self._turns.run(client, self._find_scorer)
        number = next(self._numbers)
        try:
            await self._turns.run(
                client,
                scorer.begin,
                number,
                source.file,
                text_column,
                delimiter,
                max_characters=self._settings.max_characters,
                deadline=deadline,
            )
            source.file.close()  # the process has it, and it still counts
            yield lambda: self._turns.run(client, scorer.score_chunk, number)
        finally:
            await run_in_threadpool(scorer.end, number)

    def _find_scorer(self) -> CsvScorer:
        """Return the process that scores CSVs: a new one if it has ended."""
        if self._scorer.has_ended:
            logger.error("the process that scores CSVs has ended: starting another one")
            self._scorer.close()
            self._scorer = CsvScorer(self._model, self._settings.upload_timeout)
        return self._scorer

    async def _keep(self, scored: SharedFile, part: bytes) -> None:
        try:
            await scored.write(part)
        except QueueFullError:
            raise CsvError(
                "the scored CSV would take more disk space than this client may use at present: "
                "split the CSV, or try again later"
            ) from None

    def close(self) -> None:
        """Finish the chunk that is being scored, and start no more."""
        self._turns.close()
        self._scorer.close()
