"""A thread pool with a queue of limited size."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class QueueFullError(Exception):
    """The queue is full and does not accept another job at present."""


class JobQueue:
    """A thread pool for an event loop, with a limited number of waiting jobs.

    onnxruntime and tokenizers release Python's global interpreter lock, so threads use all cores.

    Args:
        threads: Number of jobs that run in parallel.
        queue_size: Maximum number of jobs that wait for a thread.
        timeout: Maximum time for which a job may wait and run, in seconds.

    Attributes:
        pending: Number of jobs that are waiting, running or reserved.

    """

    def __init__(self, threads: int, queue_size: int, timeout: float) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="score")
        self._limit = threads + queue_size
        self._timeout = timeout
        self.pending = 0

    async def run(
        self, job: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """Run a job in a thread.

        Args:
            job: Function to call.
            *args: Positional arguments of the function.
            **kwargs: Keyword arguments of the function.

        Returns:
            The result of the function.

        Raises:
            QueueFullError: The queue is full.
            TimeoutError: The job took too long. A waiting job is dropped; a running job continues,
                and counts as pending until it ends.

        """
        self.require_room()
        loop = asyncio.get_running_loop()
        self.pending += 1
        future = self._pool.submit(job, *args, **kwargs)
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._release))
        return await asyncio.wait_for(asyncio.wrap_future(future), self._timeout)

    def require_room(self) -> None:
        """Check whether the queue would accept a job now.

        Raises:
            QueueFullError: The queue is full.

        """
        if self.pending >= self._limit:
            raise QueueFullError

    @contextmanager
    def reserve(self) -> Iterator[None]:
        """Occupy a place in the queue while a job is prepared, such as while its input arrives.

        Raises:
            QueueFullError: The queue is full.

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
        """Finish the running jobs, cancel the waiting ones, and accept no more."""
        self._pool.shutdown(cancel_futures=True)
