"""The service at the highest rate that it holds, and at twice that.

    .venv/bin/python benchmarks/load.py data/01_raw/imdb_reviews.csv

Needs a finished run: it takes `model.onnx` from data/06_models, and reviews from the CSV. Requests
of one text come at a steady rate, whether or not those before are answered, and a request's time
counts from the moment at which it is due. First the rate rises until the service no longer holds
it: until an answer is not 200, or one in a hundred takes longer than a quarter of a second. Of the
highest rate that it held for seconds, half is kept up for minutes, in which a machine that others
share may be slower; and twice the highest rate for a minute. The client runs on the same cores as
the service.
"""

import argparse
import asyncio
import collections
import gc
import itertools
import json
import math
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from project import ROOT, describe_machine
from service import Connection, Service, run_service

STEP = 100  # requests a second between two rates
TOO_LONG = 0.25  # seconds that 99 in 100 answers may take at most
SHARE = 0.5  # of the highest rate, to be kept up
MAX_CONNECTIONS = 900  # the service has 1,000
GOOD = "200"


@dataclass
class Answers:
    """What came back at some rate.

    Attributes:
        counts: How many of each status, or of each kind of error in its place.
        seconds: What each with status 200 took.
        rate: Requests a second that were really sent.

    """

    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    seconds: list[float] = field(default_factory=list)
    rate: float = 0

    def percentile(self, percent: int) -> float:
        """Return a percentile of the seconds, in milliseconds."""
        if len(self.seconds) < 2:  # noqa: PLR2004
            return math.nan
        return 1000 * statistics.quantiles(self.seconds, n=100)[percent - 1]

    def are_good(self) -> bool:
        """Return whether all were answered, and nearly all soon."""
        return set(self.counts) == {GOOD} and self.percentile(99) <= 1000 * TOO_LONG

    def describe(self) -> str:
        """Return all that in words."""
        counts = ", ".join(f"{n:,} {status}" for status, n in sorted(self.counts.items()))
        p50, p99 = self.percentile(50), self.percentile(99)
        return (
            f"{self.rate:.0f} a second sent; {counts}; p50 {p50:.0f} ms, p99 {p99:.0f} ms of {GOOD}"
        )


class Client:
    """Sends requests, and keeps its connections.

    Args:
        port: Of the service.
        bodies: What to send, in turn.

    """

    def __init__(self, port: int, bodies: list[bytes]) -> None:
        self._port = port
        self._bodies = itertools.cycle(bodies)
        self._idle: list[Connection] = []
        self._room = asyncio.Semaphore(MAX_CONNECTIONS)

    async def send(self, rate: int, duration: float) -> Answers:
        """Send requests at a rate, a second, and wait for their answers."""
        answers, tasks = await self.begin(rate, duration)
        await asyncio.gather(*tasks)
        return answers

    async def begin(self, rate: int, duration: float) -> tuple[Answers, set[asyncio.Task[None]]]:
        """Send requests at a rate; some of their answers are still to come."""
        answers = Answers()
        tasks: set[asyncio.Task[None]] = set()
        start = time.perf_counter()
        number = 0
        for number in range(int(rate * duration)):
            due = start + number / rate
            await asyncio.sleep(max(0, due - time.perf_counter()))
            await self._room.acquire()
            task = asyncio.create_task(self._ask(answers, due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        answers.rate = number / (time.perf_counter() - start)
        return answers, tasks

    async def ask(self, timeout: float) -> str:
        """Send one request, and return the status of its answer, or the kind of error."""
        connection = None
        try:
            async with asyncio.timeout(timeout):
                connection = self._take_idle() or await Connection.open(self._port)
                status = str(await connection.predict(next(self._bodies)))
        except Exception as error:
            if connection is not None:
                connection.close()
            return type(error).__name__
        if connection.is_open:
            self._idle.append(connection)
        else:
            connection.close()
        return status

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
            connection.close()
        return None

    async def _ask(self, answers: Answers, due: float) -> None:
        status = await self.ask(timeout=30)
        answers.counts[status] += 1
        if status == GOOD:
            answers.seconds.append(time.perf_counter() - due)
        self._room.release()


async def find_rate(client: Client, seconds: float) -> int:
    """Return the highest rate that the service holds, or holds at a second attempt."""
    await client.send(STEP, 2)
    for rate in itertools.count(STEP, STEP):
        answers = await client.send(rate, seconds)
        if not answers.are_good():
            answers = await client.send(rate, seconds)
        print(f"{rate} requests a second: {answers.describe()}", flush=True)
        if not answers.are_good():
            return rate - STEP
    raise AssertionError("unreachable")


async def hold(service: Service, client: Client, rate: int, minutes: int) -> None:
    """Keep a rate up, and print what came of each minute."""
    print("\n| minute | requests a second | p50 ms | p99 ms | not 200 | resident MiB |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for minute in range(1, minutes + 1):
        gc.collect()
        answers = await client.send(rate, 60)
        failed = answers.counts.total() - answers.counts[GOOD]
        print(
            f"| {minute} | {answers.rate:.0f} | {answers.percentile(50):.1f} "
            f"| {answers.percentile(99):.1f} | {failed} | {service.resident_mib():.0f} |",
            flush=True,
        )


async def overload(service: Service, client: Client, rate: int, seconds: float) -> None:
    """Send too much, and see how soon after the last request the service is well again."""
    answers, tasks = await client.begin(rate, seconds)
    end = time.perf_counter()
    while time.perf_counter() - end < 60:  # noqa: PLR2004
        asked = time.perf_counter()
        if await client.ask(timeout=TOO_LONG) == GOOD:
            print(f"\nWell again {1000 * (asked - end):.0f} ms after the last request", flush=True)
            break
    else:
        sys.exit("not well again within a minute")
    await asyncio.gather(*tasks)
    print(f"{rate} requests a second for {seconds:.0f} s: {answers.describe()}")
    print(f"Resident memory: {service.resident_mib():.0f} MiB", flush=True)


async def measure(service: Service, bodies: list[bytes], minutes: int, seconds: float) -> None:
    """Find the rate, hold it, and double it."""
    client = Client(service.port, bodies)
    rate = await find_rate(client, seconds)
    if not rate:
        sys.exit(f"the service does not hold {STEP} requests a second")
    await hold(service, client, int(SHARE * rate), minutes)
    await overload(service, client, 2 * rate, 60)
    after = await client.send(rate // 2, 10)
    print(f"Half the rate after that: {after.describe()}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=Path, help="a CSV with the column review")
    parser.add_argument("--reviews", type=int, default=2000)
    parser.add_argument("--minutes", type=int, default=10, help="of the rate that is kept up")
    parser.add_argument("--seconds", type=float, default=10, help="at each rate tried")
    arguments = parser.parse_args()
    texts = pd.read_csv(arguments.csv)["review"].sample(arguments.reviews, random_state=0)
    bodies = [json.dumps({"texts": [text]}).encode() for text in texts]
    print(describe_machine())
    gc.disable()  # after each pause, what was due in it would be sent at once
    with run_service(ROOT / "data/06_models/model.onnx") as service:
        asyncio.run(measure(service, bodies, arguments.minutes, arguments.seconds))


if __name__ == "__main__":
    main()
