"""The service at the highest rate of requests that it sustains, and at twice that rate.

    .venv/bin/python benchmarks/load.py data/01_raw/imdb_reviews.csv

Requires a finished run, because it uses data/06_models/model.onnx; the reviews come from the CSV.
Requests with one text each are sent at a constant rate, whether or not earlier ones have been
answered, and the latency of a request is counted from the moment when it was due. The rate first
rises until the service no longer sustains it: until a response has a status other than 200, or more
than one in a hundred takes longer than a quarter of a second. Half of the highest sustained rate is
then held for minutes, because a shared machine may become slower, and twice that rate for one
minute. The client runs on the same cores as the service.
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

STEP = 100  # requests per second between two rates
MAX_LATENCY = 0.25  # seconds, for 99 of 100 responses
SHARE = 0.5  # of the highest rate, held for minutes
MAX_CONNECTIONS = 900  # the service allows 1,000
GOOD = "200"


@dataclass
class Answers:
    """Responses at one rate of requests.

    Attributes:
        counts: Number of responses per status, and of errors per type of error.
        seconds: Latency of each response with status 200.
        rate: Requests per second that were actually sent.

    """

    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    seconds: list[float] = field(default_factory=list)
    rate: float = 0

    def percentile(self, percent: int) -> float:
        """Return a percentile of the latency in milliseconds."""
        if len(self.seconds) < 2:  # noqa: PLR2004
            return math.nan
        return 1000 * statistics.quantiles(self.seconds, n=100)[percent - 1]

    def are_good(self) -> bool:
        """Return whether all requests were answered, and 99% of them fast enough."""
        return set(self.counts) == {GOOD} and self.percentile(99) <= 1000 * MAX_LATENCY

    def describe(self) -> str:
        """Return a summary in one line."""
        counts = ", ".join(f"{n:,} {status}" for status, n in sorted(self.counts.items()))
        p50, p99 = self.percentile(50), self.percentile(99)
        return f"sent {self.rate:.0f}/s; {counts}; p50 {p50:.0f} ms, p99 {p99:.0f} ms of {GOOD}"


class Client:
    """Sends requests over connections that it keeps open.

    Args:
        port: Port of the service.
        bodies: Bodies of the requests, sent in turn.

    """

    def __init__(self, port: int, bodies: list[bytes]) -> None:
        self._port = port
        self._bodies = itertools.cycle(bodies)
        self._idle: list[Connection] = []
        self._room = asyncio.Semaphore(MAX_CONNECTIONS)

    async def send(self, rate: int, duration: float) -> Answers:
        """Send requests at a rate per second and wait for their responses."""
        answers, tasks = await self.begin(rate, duration)
        await asyncio.gather(*tasks)
        return answers

    async def begin(self, rate: int, duration: float) -> tuple[Answers, set[asyncio.Task[None]]]:
        """Send requests at a rate per second; some tasks may still wait for a response."""
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
        """Send one request; return the status of its response, or the type of the error."""
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
    """Return the highest rate that the service sustains; each rate gets two attempts."""
    await client.send(STEP, 2)
    for rate in itertools.count(STEP, STEP):
        answers = await client.send(rate, seconds)
        if not answers.are_good():
            answers = await client.send(rate, seconds)
        print(f"{rate} requests per second: {answers.describe()}", flush=True)
        if not answers.are_good():
            return rate - STEP
    raise AssertionError("unreachable")


async def hold(service: Service, client: Client, rate: int, minutes: int) -> None:
    """Send requests at a constant rate and print a row per minute."""
    print("\n| minute | requests per second | p50 ms | p99 ms | not 200 | resident MiB |")
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
    """Send too many requests; print how soon after the last one the service recovers."""
    answers, tasks = await client.begin(rate, seconds)
    end = time.perf_counter()
    while time.perf_counter() - end < 60:  # noqa: PLR2004
        asked = time.perf_counter()
        if await client.ask(timeout=MAX_LATENCY) == GOOD:
            print(f"\nRecovered {1000 * (asked - end):.0f} ms after the last request", flush=True)
            break
    else:
        sys.exit("did not recover within a minute")
    await asyncio.gather(*tasks)
    print(f"{rate} requests per second for {seconds:.0f} s: {answers.describe()}")
    print(f"Resident memory: {service.resident_mib():.0f} MiB", flush=True)


async def measure(service: Service, bodies: list[bytes], minutes: int, seconds: float) -> None:
    """Find the highest rate, hold its half, and double it."""
    client = Client(service.port, bodies)
    rate = await find_rate(client, seconds)
    if not rate:
        sys.exit(f"the service does not sustain {STEP} requests per second")
    await hold(service, client, int(SHARE * rate), minutes)
    await overload(service, client, 2 * rate, 60)
    after = await client.send(rate // 2, 10)
    print(f"Half the highest rate after that: {after.describe()}")


def main() -> None:
    """Run the measurements and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=Path, help="a CSV with the column review")
    parser.add_argument("--reviews", type=int, default=2000)
    parser.add_argument("--minutes", type=int, default=10, help="duration of the rate that is held")
    parser.add_argument("--seconds", type=float, default=10, help="duration of each rate tried")
    arguments = parser.parse_args()
    reviews = pd.read_csv(arguments.csv)["review"]
    texts = reviews.sample(min(arguments.reviews, len(reviews)), random_state=0)
    bodies = [json.dumps({"texts": [text]}).encode() for text in texts]
    print(describe_machine())
    gc.disable()  # requests due during a collection would be sent in one burst
    with run_service(ROOT / "data/06_models/model.onnx") as service:
        asyncio.run(measure(service, bodies, arguments.minutes, arguments.seconds))


if __name__ == "__main__":
    main()
