"""Treatment of connections by the service, before and around the requests that they carry."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Self, cast

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MAX_HEADERS = 64 * 1024  # bytes of the first line and the headers of a request
MAX_FIELDS = 200  # headers of a request; each takes time, however short
# Requests that wait on one connection until an earlier one has been answered: they are in memory.
MAX_WAITING = 16
MAX_WAITING_BYTES = 64 * 1024  # their headers and bodies together
MAX_CONNECTIONS = 1000  # open at the same time; beyond that, new ones take the place of others
GRACE = 1.0  # seconds in which an idle connection may still send a request
FILES_PER_CONNECTION = 2  # its socket, and the file of an upload
OTHER_FILES = 64  # other open files

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\n"
    b"connection: close\r\n"
    b"\r\n"
)


class HeadersTooLargeError(Exception):
    """The headers of a request exceed `MAX_HEADERS` or `MAX_FIELDS`."""


def allow_connections() -> int:
    """Raise this process's limit of open files as far as needed and possible.

    Returns:
        Number of connections that may be open at the same time; at most `MAX_CONNECTIONS`.

    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return MAX_CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_PER_CONNECTION * MAX_CONNECTIONS + OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return MAX_CONNECTIONS
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return max((limit - OTHER_FILES) // FILES_PER_CONNECTION, 1)


class TooManyWaitingError(Exception):
    """The requests that wait on a connection exceed `MAX_WAITING` or `MAX_WAITING_BYTES`."""


class _Parser(httptools.HttpRequestParser):
    """A parser of requests that ignores the header `Upgrade`, as RFC 9110 allows (section 7.8).

    Clients such as Java's send it with ordinary requests. httptools drops the body of such a
    request (MagicStack/httptools#124), so it is parsed again without this header.

    Args:
        protocol: Protocol whose methods are called for the parts of a request.

    """

    def __init__(self, protocol: HttpToolsProtocol) -> None:
        self._protocol = protocol
        self._start()

    def _start(self) -> None:
        super().__init__(self._protocol)
        self.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does

    @property
    def is_upgrade(self) -> bool:
        """Whether the request is one that will be parsed again."""
        return self.should_upgrade() and self.get_method() != b"CONNECT"

    def feed_data(self, data: Any) -> None:
        """Parse the next bytes of the connection."""
        rest = memoryview(data)
        while True:
            try:
                super().feed_data(rest)
            except httptools.HttpParserUpgrade as found:
                if not self.is_upgrade:
                    return
                rest = rest[found.args[0] :]
                head = self._write_head()
                self._start()  # after the last request of a connection, it would parse no more
                super().feed_data(head)
            else:
                return

    def _write_head(self) -> bytes:
        """Return the first line and the headers of the request, without `Upgrade`."""
        protocol = self._protocol
        version = self.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.get_method(), protocol.url, version)]
        lines += [b"%b: %b" % header for header in protocol.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])


class _Protocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with limits on what a client may use without a valid request.

    - Headers of more than `MAX_HEADERS` bytes, or more than `MAX_FIELDS`, are refused (431), also
      after a body ("trailers").
    - If more than `MAX_WAITING` requests on a connection wait for the answer to an earlier one, or
      more than `MAX_WAITING_BYTES`, the connection is closed.
    - A connection is closed if its client sends an incomplete request or none, or does not read the
      response.
    - If there are too many connections, those that have been idle for longest are closed. If none
      is idle, the oldest connections of the most frequent kind are closed. The kinds are: new,
      sending a body, waiting for a response, closing. So new clients get through, and a flood of
      one kind only closes connections of that kind.
    """

    headers_timeout: float  # this and the next two are set by `make_protocol`
    reader_timeout: float
    max_connections: int

    parser: _Parser
    _headers_due: asyncio.TimerHandle | None = None
    _reader_due: asyncio.TimerHandle | None = None
    _current: RequestResponseCycle | None = None  # the request that is being answered
    _awaits_headers = False
    _parsed = _fields = 0  # bytes and number of the complete headers of a request
    _unparsed = 0  # bytes since the parser has found a header, a part of a body or an end
    _has_found = False
    since = 0.0  # time of the connection, of the request, or of the last response

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.parser = _Parser(self)
        self._waiting: deque[int] = deque()  # bytes of each request that waits for an earlier one
        transport.set_write_buffer_limits(high=0)  # call pause_writing if anything is unread
        self.since = self.loop.time()
        self._expect_headers()
        if len(self.connections) > self.max_connections:
            self._make_room()

    def _make_room(self) -> None:
        """Close others: idle ones, or else some of the most frequent kind."""
        kinds: dict[str, list[Self]] = {}
        for other in cast("set[Self]", self.connections - {self}):
            kinds.setdefault(other.describe(), []).append(other)
        kind = "idle" if "idle" in kinds else max(kinds, key=lambda name: len(kinds[name]))
        # Looking at all takes time, which a flood of connections could use up.
        number = max(1, self.max_connections // 20) if kind in ("idle", "new") else 1
        for other in sorted(kinds[kind], key=lambda other: other.since)[:number]:
            other.leave(other.transport.abort)

    def describe(self) -> str:
        """Return the kind of the connection, by what it does at present."""
        is_idle = self.loop.time() - self.since >= GRACE
        # It closes when its client has read the rest of the response, which may be never.
        if self.transport.is_closing():
            return "idle" if is_idle else "closing"
        if self.cycle is None or self.cycle.response_complete:
            return "idle" if is_idle else "new"
        return "sending a body" if self.cycle.more_body else "waiting for the response"

    def data_received(self, data: bytes) -> None:
        self._has_found = False
        super().data_received(data)
        if self.transport.is_closing():
            return
        self._unparsed = 0 if self._has_found else self._unparsed + len(data)
        if self._are_too_large():
            self.send_400_response("")
            return
        # uvicorn cancels its own timer at each byte, even at one that starts no request.
        answered = self.cycle is None or self.cycle.response_complete
        if answered and self._headers_due is None and self.timeout_keep_alive_task is None:
            self._expect_headers()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._awaits_headers = self._has_found = True
        self._parsed = self._fields = 0
        self._expect_headers()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += 1
        self._count(len(name) + len(value) + len(b": \r\n"))
        super().on_header(name, value)

    def _count(self, size: int) -> None:
        self._has_found = True
        self._parsed += size
        if self._are_too_large():
            raise HeadersTooLargeError  # the parser stops, and `send_400_response` is called

    def _are_too_large(self) -> bool:
        size = max(self._parsed, self._unparsed)
        return size > MAX_HEADERS or self._fields > MAX_FIELDS

    def on_headers_complete(self) -> None:
        if self.parser.is_upgrade:
            return
        self._awaits_headers = False
        self._has_found = True
        self.since = self.loop.time()
        self._stop_waiting()
        super().on_headers_complete()
        if self.cycle is not self._current:
            self._waiting.append(0)
            self._count_waiting(self._parsed)

    def on_body(self, body: bytes) -> None:
        self._has_found = True
        super().on_body(body)
        if self.cycle is not self._current:
            self._count_waiting(len(body))

    def _count_waiting(self, size: int) -> None:
        self._waiting[-1] += size
        if len(self._waiting) > MAX_WAITING or sum(self._waiting) > MAX_WAITING_BYTES:
            raise TooManyWaitingError  # the parser stops, and `send_400_response` is called

    def on_message_complete(self) -> None:
        self._has_found = True
        if not self.parser.is_upgrade:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        self.since = self.loop.time()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        if self._owes_an_earlier_response():
            pass  # the client would take it for that, or for a part of it
        elif not self._are_too_large():
            super().send_400_response(msg)
        elif self._awaits_headers and (self.cycle is None or self.cycle.response_complete):
            self.transport.write(_TOO_LARGE)
        self.leave(self.transport.close)

    def _owes_an_earlier_response(self) -> bool:
        """Return whether what is parsed now comes after a request without a complete response."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return False
        return cycle is not self._current or not cycle.more_body

    def leave(self, close: Callable[[], None]) -> None:
        """Close the connection, although a request may still wait for its response."""
        self._end_request()
        close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._current = cycle
        if self._waiting:
            self._waiting.popleft()
        super()._start_asgi_task(cycle, app)

    def _end_request(self) -> None:
        # uvicorn does this for `self.cycle`, which may be a later request that still waits for
        # its turn. Without it, the response would be written to a closed connection.
        if self._current is not None and not self._current.response_complete:
            self._current.disconnected = True
            self._current.message_event.set()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reader()

    def resume_writing(self) -> None:
        self._stop_waiting_for_reader()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_request()
        self._stop_waiting()
        self._stop_waiting_for_reader()
        super().connection_lost(exc)

    def _expect_headers(self) -> None:
        self._stop_waiting()
        self._headers_due = self.loop.call_later(
            self.headers_timeout, self.leave, self.transport.close
        )

    def _stop_waiting(self) -> None:
        if self._headers_due is not None:
            self._headers_due.cancel()
            self._headers_due = None

    def _expect_reader(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._reader_due = self.loop.call_later(self.reader_timeout, self._look_at_reader, left)

    def _look_at_reader(self, left_before: int) -> None:
        if self.transport.get_write_buffer_size() < left_before:
            self._expect_reader()
        else:
            self.leave(self.transport.abort)

    def _stop_waiting_for_reader(self) -> None:
        if self._reader_due is not None:
            self._reader_due.cancel()
            self._reader_due = None


def make_protocol(
    headers_timeout: float, reader_timeout: float, max_connections: int = MAX_CONNECTIONS
) -> type[HttpToolsProtocol]:
    """Return the protocol class for `uvicorn.run`.

    Args:
        headers_timeout: Maximum time from the connection, or from the first byte of a request, to
            the end of its headers, in seconds.
        reader_timeout: Maximum time during which a client may read nothing of its response, in
            seconds.
        max_connections: Maximum number of connections.

    """
    limits = {
        "headers_timeout": headers_timeout,
        "reader_timeout": reader_timeout,
        "max_connections": max_connections,
    }
    return type("GuardedProtocol", (_Protocol,), limits)
