"""The service under honest and hostile load at once.

    .venv/bin/python benchmarks/hostile.py --seconds 600

Requires a finished run, because it uses data/06_models/model.onnx (or another one by --model). One
client sends an honest request ten times per second, on an open connection or on a new one.
Four others attack from a seeded grammar: headers without end, incomplete and malformed requests,
bodies that arrive slowly or never, hundreds of idle connections, responses that nobody reads,
uploads whose client leaves, hostile JSON, other hosts. Each minute's line has the latency of the
honest requests, how many of them failed, and memory and open files of the service. It ends with 1
if an honest request failed. The clients run on the same cores as the service.
"""

import argparse
import contextlib
import math
import multiprocessing
import os
import random
import socket
import statistics
import sys
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, RemoteDisconnected
from multiprocessing.synchronize import Event
from pathlib import Path

from project import ROOT, describe_machine
from service import Service, run_service

ATTACKERS = 4
PRIORITY = 10  # niceness of the attackers
RATE = 10  # honest requests per second
HONEST = b'{"texts": ["A gem, truly great; the actors are superb and the plot is not."]}'
JSON = {"Content-Type": "application/json"}
HEAD = b"Host: localhost\r\nContent-Type: %b\r\n"
PATHS = (b"/predict", b"/explain", b"/score", b"/model", b"/", b"/health", b"/" + b"x" * 9000)
TOKENS = (
    *(b"GET", b"POST", b"\r\n", b"\r\n\r\n", b" ", b":", b"HTTP/1.1", b"HTTP/9.9", b"\x00"),
    *(b"Content-Length: -1", b"Content-Length: 99999999999999999999", b"Host: evil.example"),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip", b"0\r\n", b"ffffffffff\r\n"),
    *(b"Expect: 100-continue", b"Upgrade: websocket", b"Connection: upgrade", b"X-API-Key: \x80"),
    *(b'{"texts": [', b'"\\ud800"', b"[" * 500, b"1e999", b"review\n", b'"', b"," * 5000, b"a: b"),
    *PATHS,
)
LONG = b"GET /swagger/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
CSV_HEAD = b"POST /score HTTP/1.1\r\n" + HEAD % b"text/csv"

Attack = Callable[[socket.socket, random.Random], None]


def send_garbage(connection: socket.socket, rng: random.Random) -> None:
    """Send tokens of requests in any order."""
    connection.sendall(b"".join(rng.choices(TOKENS, k=rng.randint(1, 40))))
    connection.recv(1000)


def send_endless_headers(connection: socket.socket, rng: random.Random) -> None:
    """Send headers, or trailers, for as long as they are read."""
    chunked = CSV_HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"
    start = rng.choice([b"GET / HTTP/1.1\r\n" + HEAD % b"text/csv", chunked])
    connection.sendall(start)
    part = rng.choice([b"a:\r\n" * 9000, b"x" * 40_000])
    for _ in range(500):
        connection.sendall(part)


def send_half(connection: socket.socket, rng: random.Random) -> None:
    """Send the beginning of a valid request, and no more."""
    kind = rng.choice([b"application/json", b"text/csv"])
    request = b"POST %b HTTP/1.1\r\n" % rng.choice(PATHS[:3]) + HEAD % kind
    request += b"Content-Length: 1000\r\n\r\nreview\n"
    connection.sendall(request[: rng.randint(1, len(request))])
    time.sleep(rng.random())


def hold_idle(connection: socket.socket, rng: random.Random) -> None:
    """Open hundreds of connections, and send nothing."""
    with contextlib.ExitStack() as stack:
        for _ in range(rng.randint(100, 300)):
            stack.enter_context(socket.create_connection(connection.getpeername(), timeout=5))
        time.sleep(rng.random())


def leave_unread(connection: socket.socket, rng: random.Random) -> None:
    """Open connections that the service wants to close, and read nothing of their responses."""
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(socket.socket()) for _ in range(rng.randint(10, 30))]
        for other in others:
            other.settimeout(5)
            other.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            other.connect(connection.getpeername())
        for data in (LONG, LONG, b"no request\r\n\r\n"):  # one response fits into the buffers
            for other in others:
                with contextlib.suppress(OSError):
                    other.sendall(data)
            time.sleep(1)


def leave_upload(connection: socket.socket, rng: random.Random) -> None:
    """Send a CSV that takes long, and leave."""
    body = b"review\n" + b"\n" * rng.randint(1, 2_000_000)
    connection.sendall(CSV_HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    time.sleep(rng.random())


def send_hostile_json(connection: socket.socket, rng: random.Random) -> None:
    """Send a body that is large, deep or wrong."""
    surrogates = b'{"text": "' + b"\\ud800" * 20_000 + b'"}'
    body = rng.choice([b'{"texts": [' + b"1," * 100_000, b"[" * 100_000, surrogates])
    head = b"POST %b HTTP/1.1\r\n" % rng.choice(PATHS[:2]) + HEAD % b"application/json"
    connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    connection.recv(1000)


ATTACKS: tuple[Attack, ...] = (
    send_garbage,
    send_endless_headers,
    send_half,
    hold_idle,
    leave_unread,
    leave_upload,
    send_hostile_json,
)


CLOSED = (RemoteDisconnected, ConnectionResetError, BrokenPipeError)


class Honest:
    """A client whose requests are timed."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._kept = HTTPConnection(host, port, timeout=10)
        self.seconds: list[float] = []
        self.failures: list[str] = []

    def ask(self, *, is_new: bool, start: float | None = None) -> None:
        """Send a request, on a new connection or on the kept one, opened again if closed.

        Args:
            is_new: Whether to open a connection for it.
            start: When it was sent first; None for now.

        """
        start = start or time.perf_counter()
        fresh = HTTPConnection(self._host, self._port, timeout=10)
        try:
            self._send(fresh if is_new else self._kept)
        except (HTTPException, OSError) as error:
            # A kept connection may be closed between two requests, as HTTP allows: send it again.
            self._kept.close()
            if is_new or not isinstance(error, CLOSED):
                self.failures.append(repr(error))
            else:
                self.ask(is_new=True, start=start)
            return
        finally:
            fresh.close()
        self.seconds.append(time.perf_counter() - start)

    def close(self) -> None:
        """Close the kept connection."""
        self._kept.close()

    def _send(self, connection: HTTPConnection) -> None:
        connection.request("POST", "/predict", HONEST, JSON)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:  # noqa: PLR2004
            self.failures.append(str(answer.status))


def attack(host: str, port: int, seed: int, end: Event) -> None:
    """Attack from the grammar until the end."""
    os.nice(PRIORITY)
    rng = random.Random(seed)
    while not end.is_set():
        with (
            contextlib.suppress(OSError),
            socket.create_connection((host, port), timeout=5) as connection,
        ):
            connection.settimeout(5)
            rng.choice(ATTACKS)(connection, rng)


def warm_up(service: Service) -> None:
    """Send requests of each kind, since the first ones load modules and need memory for good."""
    honest = Honest("127.0.0.1", service.port)
    for _ in range(50):
        honest.ask(is_new=True)
    honest.close()
    for path, kind, body in (
        (b"/explain", b"application/json", b'{"text": "A gem."}'),
        (b"/score", b"text/csv", b"review\nA gem.\n" + b"\n" * 2000),
    ):
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            head = b"POST %b HTTP/1.0\r\nHost: localhost\r\nContent-Type: %b\r\n" % (path, kind)
            connection.sendall(head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
            while connection.recv(65536):
                pass


def main() -> None:
    """Run the load and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--every", type=float, default=60, help="seconds per line of the table")
    parser.add_argument("--elsewhere", action="store_true", help="attack a second service")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", type=Path, default=ROOT / "data/06_models/model.onnx")
    arguments = parser.parse_args()
    print(describe_machine())
    print("| seconds | p50 ms | p99 ms | failed | of | resident MiB | open files |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    failures: list[str] = []
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(run_service(model=arguments.model))
        victim = (
            stack.enter_context(run_service(model=arguments.model))
            if arguments.elsewhere
            else service
        )
        warm_up(service)
        host, port = "127.0.0.1", service.port
        end = multiprocessing.Event()
        attackers = [  # threads would keep the honest client waiting for Python's lock
            multiprocessing.Process(
                target=attack,
                args=(host, victim.port, arguments.seed + number, end),
                daemon=True,  # they end with this process, whatever ends it
            )
            for number in range(ATTACKERS)
        ]
        honest = Honest(host, port)
        for _ in range(50):
            honest.ask(is_new=False)
        failures += honest.failures
        print_line(0, honest, service)
        files = service.process.num_fds()
        for attacker in attackers:
            attacker.start()
        begin = time.monotonic()
        while (passed := time.monotonic() - begin) < arguments.seconds:
            honest = Honest(host, port)
            line_ends = min(passed + arguments.every, arguments.seconds)
            number = 0
            while time.monotonic() - begin < line_ends:
                honest.ask(is_new=number % 2 == 0)
                number += 1
                time.sleep(1 / RATE)
            failures += honest.failures
            print_line(time.monotonic() - begin, honest, service)
        end.set()
        for attacker in attackers:
            attacker.join()
        service.wait_for_files(files)
        honest = Honest(host, port)
        for _ in range(50):
            honest.ask(is_new=False)
        failures += honest.failures
        print_line(time.monotonic() - begin, honest, service)
    if failures:
        sys.exit(f"honest requests failed: {', '.join(failures[:20])}")


def print_line(seconds: float, honest: Honest, service: Service) -> None:
    """Print a line of the table."""
    times = [1000 * value for value in honest.seconds]
    cuts = statistics.quantiles(times, n=100) if len(times) > 1 else [math.nan] * 99
    print(
        f"| {seconds:.0f} | {cuts[49]:.1f} | {cuts[98]:.1f} | {len(honest.failures)} "
        f"| {len(honest.seconds)} | {service.resident_mib():.0f} "
        f"| {service.process.num_fds()} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
