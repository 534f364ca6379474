"""Connections of a small application, without the rest of the service."""

import asyncio
import contextlib
import resource
import socket
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from helpers import find_free_port
from imdb_sentiment.serving.connections import GRACE, allow_connections, make_protocol

HEAD = b"%b HTTP/1.1\r\nHost: localhost\r\n%b\r\n"
LONG = b"x" * 16_000_000  # exceeds the buffers of the sockets


@pytest.mark.parametrize(
    ("limits", "raised", "connections"),
    [
        ((1024, 4096), (2064, 4096), 1000),
        ((1024, 1024), (1024, 1024), 480),
        ((8192, 8192), None, 1000),
        ((50, 50), (50, 50), 1),
        ((1024, resource.RLIM_INFINITY), (2064, resource.RLIM_INFINITY), 1000),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), None, 1000),
    ],
)
def test_each_connection_may_have_an_upload_in_a_file(
    limits: tuple[int, int],
    raised: tuple[int, int] | None,
    connections: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_to = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: set_to.append(new))
    assert allow_connections() == connections
    assert set_to == ([raised] if raised else [])


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with a long response, with the body of the request, or not before the client goes."""
    request = Request(scope, receive)
    try:
        body = LONG if scope["path"] == "/long" else await request.body()
        while scope["path"] == "/wait" and not await request.is_disconnected():
            await asyncio.sleep(0.001)
    except ClientDisconnect:
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


@contextlib.asynccontextmanager
async def run_application(max_connections: int) -> AsyncIterator[uvicorn.Server]:
    protocol = make_protocol(60, 60, max_connections)
    config = uvicorn.Config(
        answer, port=find_free_port(), http=protocol, ws="none", lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield server
    finally:
        server.should_exit = server.force_exit = True
        await running


async def connect(server: uvicorn.Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", server.config.port))
    return await asyncio.open_connection(sock=connection, limit=100)


def test_responses_that_nobody_reads_shut_nobody_out() -> None:
    async def attack_and_upload() -> bytes:
        async with run_application(max_connections=20) as server:
            attackers = [await connect(server) for _ in range(19)]
            for reader, writer in attackers:
                writer.write(HEAD % (b"GET /long", b""))
                await reader.readexactly(1)
                writer.write(b"no request\r\n\r\n")  # the service is to close, after the response
            connections = server.server_state.connections
            while not all(other.transport.is_closing() for other in connections):
                await asyncio.sleep(0.01)
            await asyncio.sleep(GRACE)
            reader, writer = await connect(server)
            writer.write(HEAD % (b"POST /", b"Content-Length: 2\r\n") + b"w")
            await writer.drain()
            for _ in range(5):
                other_reader, other_writer = await connect(server)
                other_writer.write(HEAD % (b"GET /", b"Connection: close\r\n"))
                assert b"200 OK" in await other_reader.readline()
            writer.write(b"1")
            for _, attacker in attackers:
                attacker.transport.abort()
            return await reader.readline()

    assert asyncio.run(attack_and_upload()) == b"HTTP/1.1 200 OK\r\n"


def test_some_requests_may_wait_for_the_answer_to_an_earlier_one() -> None:
    body = b"x" * 3000
    request = HEAD % (b"POST /", b"Content-Length: %d\r\n" % len(body)) + body
    last = HEAD % (b"GET /", b"Connection: close\r\n")

    async def answer_all() -> bytes:
        async with run_application(max_connections=20) as server:
            reader, writer = await connect(server)
            writer.write(request * 15 + last)
            return await reader.read()

    received = asyncio.run(answer_all())
    assert received.count(b"200 OK") == 16
    assert received.count(body) == 15


LARGE = b"Content-Length: 9000000\r\n"


@pytest.mark.parametrize(
    "more",
    [
        HEAD % (b"GET /", b"") * 1000,
        HEAD % (b"POST /", LARGE) + b"x" * 100_000,
        b"GARBAGE\r\n\r\n",
        HEAD % (b"GET /", b"no header\r\n"),
    ],
    ids=["many requests", "a large body", "no request", "a bad header"],
)
def test_a_connection_on_which_too_much_waits_or_what_is_no_request_is_closed(more: bytes) -> None:
    """Otherwise, one client could take all memory."""

    async def attack() -> None:
        async with run_application(max_connections=20) as server:
            reader, writer = await connect(server)
            writer.write(HEAD % (b"GET /wait", b""))
            async with asyncio.timeout(30):
                while not server.server_state.tasks:
                    await asyncio.sleep(0.01)
                writer.write(more)
                while server.server_state.connections or server.server_state.tasks:
                    await asyncio.sleep(0.01)
                # An error would be read as the answer to the first request.
                assert await reader.read() == b""
            writer.close()

    asyncio.run(attack())
