"""A running service for each measurement, and cheap connections to it."""

import asyncio
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx
import psutil


@dataclass(frozen=True)
class Service:
    """A running `imdb-sentiment serve`, and the seconds until it was ready."""

    process: psutil.Process
    port: int
    start_seconds: float

    def resident_mib(self) -> float:
        """Return the current resident memory in MiB, of the process and of its scorer of CSVs."""
        processes = [self.process, *self.process.children(recursive=True)]
        return sum(float(process.memory_info().rss / 2**20) for process in processes)

    def wait_for_files(self, number: int) -> int:
        """Wait until the service has no more than `number` open files; return how many it has.

        Half requests time out after ten seconds; on a busy machine, uploads that attackers have
        left take longer.
        """
        time.sleep(12)
        deadline = time.monotonic() + 120
        while self.process.num_fds() > number and time.monotonic() < deadline:
            time.sleep(1)
        return int(self.process.num_fds())


def _find_free_port() -> int:
    """Return a port below those that the system gives to clients, so that none takes it."""
    for port in random.SystemRandom().sample(range(20_000, 32_768), k=100):
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    sys.exit("no port is free")


@contextmanager
def run_service(
    model: Path, log: Path = Path(os.devnull), source: Path | None = None
) -> Iterator[Service]:
    """Start the service and wait until it is ready; stop it at the end.

    Args:
        model: File of the exported model.
        log: File for what the service logs.
        source: Folder of the package, if it is another version than the installed one.

    """
    port = _find_free_port()
    start = time.perf_counter()
    command = ["-m", "imdb_sentiment", "serve", "--model", str(model), "--port", str(port)]
    environment = os.environ | ({"PYTHONPATH": str(source)} if source else {})
    with log.open("wb") as errors:
        process = subprocess.Popen([sys.executable, *command], stderr=errors, env=environment)
    try:
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/ready").raise_for_status()
                break
            except httpx.TransportError:
                if process.poll() is not None:
                    sys.exit("the service did not start")
                time.sleep(0.02)
        yield Service(psutil.Process(process.pid), port, time.perf_counter() - start)
    finally:
        process.terminate()
        process.wait()


class Connection:
    """A connection that is kept open for consecutive requests."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._is_last = False

    @property
    def is_open(self) -> bool:
        """Whether the service has neither closed the connection nor announced that it will."""
        return not self._is_last and not self._reader.at_eof()

    @classmethod
    async def open(cls, port: int) -> Self:
        """Connect to the service."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def predict(self, body: bytes) -> int:
        """Request a prediction and return the status of the response."""
        self._writer.write(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        await self._reader.readexactly(length)
        self._is_last = b"connection: close" in head
        return int(head[9:12])

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()
