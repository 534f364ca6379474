"""Threads for the jobs of several clients, who get fair shares when there is too much to do."""

import asyncio
import functools
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class QueueFullError(Exception):
    """There is no room at present, or none for this client."""


class _Job(NamedTuple):
    call: Callable[[], Any]
    result: "asyncio.Future[Any]"

    def expire(self) -> None:
        """End the job, if it has not ended, with a `TimeoutError`."""
        if not self.result.done():
            self.result.set_exception(TimeoutError())


class JobQueue:
    """A thread pool for an event loop, with a limited number of waiting jobs.

    Clients get a thread in turn, whatever the number of jobs that each has waiting. If too many
    jobs wait, a new one takes the place of the last one of the client with the most, unless that is
    its own client.

    onnxruntime and tokenizers release Python's global interpreter lock, so threads use all cores.

    Args:
        threads: Number of jobs that run in parallel.
        queue_size: Maximum number of jobs that wait for a thread.
        timeout: Maximum time for which a job may wait and run, in seconds.

    """

    def __init__(self, threads: int, queue_size: int, timeout: float) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="score")
        self._threads = threads
        self._limit = threads + queue_size
        self._timeout = timeout
        self._running = 0
        self._waiting: OrderedDict[str, deque[_Job]] = OrderedDict()  # the next client comes first

    @property
    def pending(self) -> int:
        """Number of jobs that are waiting or running."""
        return self._running + sum(map(len, self._waiting.values()))

    async def run(
        self,
        client: str,
        job: Callable[Arguments, Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """Run a job in a thread.

        Args:
            client: Client that the job belongs to.
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
        self._make_room(client)
        loop = asyncio.get_running_loop()
        waiting = _Job(functools.partial(job, *args, **kwargs), loop.create_future())
        self._waiting.setdefault(client, deque()).append(waiting)
        self._start_jobs()
        due = loop.call_later(self._timeout, waiting.expire)
        try:
            result: Result = await waiting.result
        finally:
            due.cancel()
            if waiting in self._waiting.get(client, ()):  # it timed out, or its client has gone
                self._remove(client, waiting)
        return result

    def require_room(self) -> None:
        """Check whether the queue would accept a job now.

        Raises:
            QueueFullError: The queue is full.

        """
        if self.pending >= self._limit:
            raise QueueFullError

    def _make_room(self, client: str) -> None:
        if self.pending < self._limit:
            return
        own = len(self._waiting.get(client, ()))
        largest = max(self._waiting, key=lambda name: len(self._waiting[name]), default=client)
        if len(self._waiting.get(largest, ())) <= own + 1:
            raise QueueFullError
        last = self._waiting[largest][-1]
        self._remove(largest, last)
        if not last.result.done():
            last.result.set_exception(QueueFullError())

    def _remove(self, client: str, job: _Job) -> None:
        jobs = self._waiting[client]
        jobs.remove(job)
        if not jobs:
            del self._waiting[client]

    def _start_jobs(self) -> None:
        """Give free threads to the clients in turn."""
        while self._running < self._threads and self._waiting:
            client, jobs = next(iter(self._waiting.items()))
            job = jobs[0]
            self._remove(client, job)
            if jobs:
                self._waiting.move_to_end(client)
            if job.result.done():
                continue
            self._running += 1
            self._pool.submit(job.call).add_done_callback(functools.partial(self._hand_over, job))

    def _hand_over(self, job: _Job, future: "Future[Any]") -> None:
        """Let the event loop end a job that a thread has finished."""
        job.result.get_loop().call_soon_threadsafe(self._end, job, future)

    def _end(self, job: _Job, future: "Future[Any]") -> None:
        self._running -= 1
        if not job.result.done():
            if error := future.exception():
                job.result.set_exception(error)
            else:
                job.result.set_result(future.result())
        self._start_jobs()

    def close(self) -> None:
        """Finish the running jobs, and start no more."""
        for jobs in self._waiting.values():
            for job in jobs:
                job.result.cancel()
        self._waiting.clear()
        self._pool.shutdown(cancel_futures=True)


class Quota:
    """A limited resource of which each client may take a part.

    Args:
        total: Maximum amount for all clients together.
        per_client: Maximum amount for each client.

    Attributes:
        taken: Amount that is taken at present.

    """

    def __init__(self, total: int, per_client: int) -> None:
        self._total = total
        self._per_client = per_client
        self._by_client: dict[str, int] = {}
        self.taken = 0

    def take(self, client: str, amount: int) -> None:
        """Take an amount, to be given back.

        Raises:
            QueueFullError: There is not enough left, or not enough for this client.

        """
        own = self._by_client.get(client, 0) + amount
        if self.taken + amount > self._total or own > self._per_client:
            raise QueueFullError
        self._by_client[client] = own
        self.taken += amount

    def give_back(self, client: str, amount: int) -> None:
        """Give an amount back."""
        self.taken -= amount
        left = self._by_client.pop(client, 0) - amount
        if left:
            self._by_client[client] = left

    @contextmanager
    def hold(self, client: str) -> Iterator[None]:
        """Take 1 while a block runs.

        Raises:
            QueueFullError: There is not enough left, or not enough for this client.

        """
        self.take(client, 1)
        try:
            yield
        finally:
            self.give_back(client, 1)
