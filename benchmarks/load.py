"""The service at the highest rate that it holds, and at twice that.

    .venv/bin/python benchmarks/load.py data/01_raw/imdb_reviews.csv

Needs a finished run: it takes `model.onnx` from data/06_models, and reviews from the CSV. Requests
of one text come at a steady rate, whether or not those before are answered, and a request's time
counts from the moment at which it is due. First the rate rises until the service no longer holds
it: until an answer is not 200, or one in a hundred takes longer than a quarter of a second. The
highest rate that it held is then kept up for minutes, and twice that rate for a minute. The client
runs on the same cores as the service.
"""

import argparse
import asyncio
import collections
import contextlib
import itertools
import json
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from project import ROOT, describe_machine
from service import Connection, Service, run_service

STEP = 100  # requests a second between two rates
TOO_LONG = 0.25  # seconds that 99 in 100 answers may take at most
MAX_CONNECTIONS = 2000
NO_ANSWER = 0  # in the place of a status


@dataclass
class Answers:
    """What came back at some rate: how many of each status, and the seconds of those with 200."""

    statuses: collections.Counter[int] = field(default_factory=collections.Counter)
    seconds: list[float] = field(default_factory=list)

    @property
    def p50(self) -> float:
        """The median of the seconds."""
        return statistics.median(self.seconds)

    @property
    def p99(self) -> float:
        """Their 99th percentile."""
        return statistics.quantiles(self.seconds, n=100)[98]

    def are_good(self) -> bool:
        """Return whether all were answered, and nearly all soon."""
        return set(self.statuses) == {200} and self.p99 <= TOO_LONG


async def send(port: int, bodies: list[bytes], rate: int, duration: float) -> Answers:
    """Send requests at a rate, a second, and wait for their answers."""
    answers = Answers()
    idle: list[Connection] = []
    tasks: set[asyncio.Task[None]] = set()

    async def ask(body: bytes, due: float) -> None:
        connection = None
        try:
            async with asyncio.timeout(30):
                connection = idle.pop() if idle else await Connection.open(port)
                status = await connection.predict(body)
            idle.append(connection)
        except (TimeoutError, OSError, EOFError):
            status = NO_ANSWER
            if connection is not None:
                connection.close()
        answers.statuses[status] += 1
        if status == 200:  # noqa: PLR2004
            answers.seconds.append(time.perf_counter() - due)

    start = time.perf_counter()
    for number, body in zip(range(int(rate * duration)), itertools.cycle(bodies), strict=False):
        due = start + number / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        while len(tasks) >= MAX_CONNECTIONS:
            await asyncio.wait(tasks, return_when="FIRST_COMPLETED")
        task = asyncio.create_task(ask(body, due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        if number % 50 == 0:
            await asyncio.sleep(0)  # let answers in, even when behind
    await asyncio.gather(*tasks)
    for connection in idle:
        connection.close()
    return answers


async def find_rate(port: int, bodies: list[bytes], seconds: float) -> int:
    """Return the highest rate that the service holds."""
    await send(port, bodies, STEP, 2)
    held = 0
    for rate in itertools.count(STEP, STEP):
        answers = await send(port, bodies, rate, seconds)
        if not answers.are_good():
            return held
        held = rate
    raise AssertionError("unreachable")


async def hold(service: Service, bodies: list[bytes], rate: int, minutes: int) -> None:
    """Keep a rate up, and print what came of each minute."""
    print("| minute | requests a second | p50 ms | p99 ms | not 200 | resident MiB |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for minute in range(1, minutes + 1):
        answers = await send(service.port, bodies, rate, 60)
        failed = answers.statuses.total() - answers.statuses[200]
        print(
            f"| {minute} | {rate} | {1000 * answers.p50:.1f} | {1000 * answers.p99:.1f} "
            f"| {failed} | {service.resident_mib():.0f} |",
            flush=True,
        )


async def overload(service: Service, bodies: list[bytes], rate: int, seconds: float) -> None:
    """Send too much, and see how soon the service is well again."""
    answers = await send(service.port, bodies, rate, seconds)
    counts = ", ".join(
        f"{n} {status or 'no answer'}" for status, n in sorted(answers.statuses.items())
    )
    print(f"\n{rate} requests a second for {seconds:.0f} s: {counts}")
    print(f"Those with 200: p50 {1000 * answers.p50:.0f} ms, p99 {1000 * answers.p99:.0f} ms")
    print(f"Resident memory: {service.resident_mib():.0f} MiB")
    start = time.perf_counter()
    while True:
        asked = time.perf_counter()
        with contextlib.suppress(OSError, EOFError):
            connection = await Connection.open(service.port)
            status = await connection.predict(bodies[0])
            connection.close()
            if status == 200 and time.perf_counter() - asked < TOO_LONG:  # noqa: PLR2004
                break
        await asyncio.sleep(0.01)
    print(f"Well again after {1000 * (time.perf_counter() - start):.0f} ms")


async def measure(service: Service, bodies: list[bytes], minutes: int, seconds: float) -> None:
    """Find the rate, hold it, and double it."""
    rate = await find_rate(service.port, bodies, seconds)
    print(f"Highest rate held: {rate} requests a second\n", flush=True)
    await hold(service, bodies, rate, minutes)
    await overload(service, bodies, 2 * rate, 60)
    after = await send(service.port, bodies, rate // 2, 10)
    print(f"Half the rate after that: {dict(after.statuses)}, p99 {1000 * after.p99:.1f} ms")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=Path, help="a CSV with the column review")
    parser.add_argument("--reviews", type=int, default=2000)
    parser.add_argument("--minutes", type=int, default=10, help="at the highest rate held")
    parser.add_argument("--seconds", type=float, default=10, help="at each rate tried")
    arguments = parser.parse_args()
    texts = pd.read_csv(arguments.csv)["review"].sample(arguments.reviews, random_state=0)
    bodies = [json.dumps({"texts": [text]}).encode() for text in texts]
    print(describe_machine())
    with run_service(ROOT / "data/06_models/model.onnx") as service:
        asyncio.run(measure(service, bodies, arguments.minutes, arguments.seconds))


if __name__ == "__main__":
    main()
