import asyncio
import threading
import time

import pytest

from imdb_sentiment.serving.job_queue import JobQueue, QueueFullError, Quota


def test_a_full_queue_refuses_and_recovers() -> None:
    go = threading.Event()

    async def scenario() -> None:
        queue = JobQueue(threads=2, queue_size=3, timeout=60)
        jobs = [asyncio.create_task(queue.run("a", go.wait, 60)) for _ in range(5)]
        await asyncio.sleep(0)
        assert queue.pending == 5
        with pytest.raises(QueueFullError):
            await queue.run("a", int)
        with pytest.raises(QueueFullError):
            queue.require_room()
        go.set()
        assert await asyncio.gather(*jobs) == [True] * 5
        await asyncio.sleep(0)
        assert queue.pending == 0
        assert await queue.run("a", divmod, 7, 2) == (3, 1)
        queue.close()

    asyncio.run(scenario())


def test_what_takes_too_long_is_given_up_but_counts_until_it_ends() -> None:
    go = threading.Event()
    begun: list[str] = []

    async def scenario() -> None:
        queue = JobQueue(threads=1, queue_size=1, timeout=0.2)
        working = asyncio.create_task(queue.run("a", go.wait, 60))
        waiting = asyncio.create_task(queue.run("a", begun.append, "waiting"))
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
            await queue.run("a", divmod, 1, 0)
        queue.close()

    asyncio.run(scenario())


def test_clients_get_a_thread_in_turn() -> None:
    go = threading.Event()
    begun: list[str] = []

    async def scenario() -> None:
        queue = JobQueue(threads=1, queue_size=10, timeout=60)
        first = asyncio.create_task(queue.run("a", go.wait, 60))
        await asyncio.sleep(0)
        names = [("a", f"a{number}") for number in range(4)] + [
            ("b", "b0"),
            ("c", "c0"),
            ("b", "b1"),
        ]
        jobs = [
            asyncio.create_task(queue.run(client, begun.append, name)) for client, name in names
        ]
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(first, *jobs)
        queue.close()

    asyncio.run(scenario())
    assert begun == ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]


def test_a_full_queue_makes_room_at_the_cost_of_the_client_with_the_most_jobs() -> None:
    go = threading.Event()
    begun: list[str] = []

    async def scenario() -> None:
        queue = JobQueue(threads=1, queue_size=4, timeout=60)
        first = asyncio.create_task(queue.run("a", go.wait, 60))
        await asyncio.sleep(0)
        jobs = [asyncio.create_task(queue.run("a", begun.append, f"a{n}")) for n in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError):
            await queue.run("a", begun.append, "a4")
        others = [asyncio.create_task(queue.run("b", begun.append, f"b{n}")) for n in range(2)]
        await asyncio.sleep(0)
        assert queue.pending == 5
        with pytest.raises(QueueFullError):  # each has two by now
            await queue.run("b", begun.append, "b2")
        go.set()
        results = await asyncio.gather(first, *jobs, *others, return_exceptions=True)
        assert [type(result) for result in results[3:5]] == [QueueFullError] * 2
        queue.close()

    asyncio.run(scenario())
    assert begun == ["a0", "b0", "a1", "b1"]


def test_nobody_takes_more_than_a_share() -> None:
    shares = Quota(total=10, per_client=4)
    shares.take("a", 3)
    with shares.hold("a"):
        with pytest.raises(QueueFullError):
            shares.take("a", 1)
        shares.take("b", 3)
        shares.take("c", 3)
        assert shares.taken == 10
        with pytest.raises(QueueFullError), shares.hold("d"):
            pass
    for client in "abc":
        shares.give_back(client, 3)
    assert shares.taken == 0
    with pytest.raises(QueueFullError):
        shares.take("a", 5)
    shares.give_back("a", 0)  # of one that never took anything
    shares.take("a", 4)
