"""Threads that score, behind a queue that can be full."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class QueueFullError(Exception):
    """There is no room for another job now."""


class JobQueue:
    """A thread pool for an event loop, with a limit to the jobs that wait.

    onnxruntime and tokenizers let go of Python's lock, so threads use all cores.

    Args:
        threads: Jobs at a time.
        queue_size: Jobs that may wait for a thread.
        timeout: Seconds that a job may wait and work.

    """

    def __init__(self, threads: int, queue_size: int, timeout: float) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="score")
        self._limit = threads + queue_size
        self._timeout = timeout
        self.pending = 0

    async def run(
        self, job: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """Do a job in a thread.

        Raises:
            QueueFullError: As many jobs as may be are waiting.
            TimeoutError: It took too long. A job that waits is dropped; one that works goes on, and
                counts until it ends.

        """
        self.require_room()
        loop = asyncio.get_running_loop()

        def release(_: "Future[Result]") -> None:
            loop.call_soon_threadsafe(self._release)

        self.pending += 1
        future = self._pool.submit(job, *args, **kwargs)
        future.add_done_callback(release)
        return await asyncio.wait_for(asyncio.wrap_future(future), self._timeout)

    def require_room(self) -> None:
        """Raise QueueFullError if a job would not be taken now."""
        if self.pending >= self._limit:
            raise QueueFullError

    @contextmanager
    def reserve(self) -> Iterator[None]:
        """Count as a job what comes before one, such as receiving what it is to work on.

        Raises:
            QueueFullError: A job would not be taken now.

        """
        self.require_room()
        self.pending += 1
        try:
            yield
        finally:
            self.pending -= 1

    def _release(self) -> None:
        self.pending -= 1

    def close(self) -> None:
        """Finish what is begun, and take nothing more."""
        self._pool.shutdown(cancel_futures=True)
