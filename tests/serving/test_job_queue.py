import asyncio
import threading
import time

import pytest

from imdb_sentiment.serving.job_queue import JobQueue, QueueFullError


def test_a_full_queue_refuses_and_recovers() -> None:
    go = threading.Event()

    async def scenario() -> None:
        queue = JobQueue(threads=2, queue_size=3, timeout=60)
        jobs = [asyncio.create_task(queue.run(go.wait, 60)) for _ in range(5)]
        await asyncio.sleep(0)
        assert queue.pending == 5
        with pytest.raises(QueueFullError):
            await queue.run(int)
        with pytest.raises(QueueFullError):
            queue.require_room()
        go.set()
        assert await asyncio.gather(*jobs) == [True] * 5
        await asyncio.sleep(0)
        assert queue.pending == 0
        assert await queue.run(divmod, 7, 2) == (3, 1)
        queue.close()

    asyncio.run(scenario())


def test_what_takes_too_long_is_given_up_but_counts_until_it_ends() -> None:
    go = threading.Event()
    begun: list[str] = []

    async def scenario() -> None:
        queue = JobQueue(threads=1, queue_size=1, timeout=0.2)
        working = asyncio.create_task(queue.run(go.wait, 60))
        waiting = asyncio.create_task(queue.run(begun.append, "waiting"))
        for job in (working, waiting):
            with pytest.raises(TimeoutError):
                await job
        await asyncio.sleep(0)
        assert queue.pending == 1  # the waiting job is dropped
        go.set()
        deadline = time.monotonic() + 60
        while queue.pending and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        assert queue.pending == 0
        assert not begun
        queue.close()

    asyncio.run(scenario())


def test_errors_of_a_job_come_back() -> None:
    async def scenario() -> None:
        queue = JobQueue(threads=1, queue_size=0, timeout=10)
        with pytest.raises(ZeroDivisionError):
            await queue.run(divmod, 1, 0)
        queue.close()

    asyncio.run(scenario())
