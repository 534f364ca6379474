"""Limits on the size and the duration of requests, independent of their content."""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class BodyLimit(NamedTuple):
    """Limits of a request body.

    Attributes:
        max_bytes: Maximum size of the body in bytes.
        seconds: Maximum time until the whole body has arrived, in seconds.

    """

    max_bytes: int
    seconds: float


class LimitBodies:
    """ASGI middleware that refuses bodies that are too large (413) or too slow (408).

    Args:
        app: Wrapped application.
        limits: Limits by path; the empty path has the limits of all other paths.

    """

    def __init__(self, app: ASGIApp, limits: Mapping[str, BodyLimit]) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and apply the limits to its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limits.get(scope["path"], self._limits[""])
        deadline = asyncio.get_running_loop().time() + limit.seconds
        received = 0
        is_complete = False

        async def receive_within_limits() -> Message:
            nonlocal received, is_complete
            if is_complete:  # the next message is that the client has disconnected, at any time
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                close = {"Connection": "close"}  # do not wait for the rest of the body
                raise HTTPException(408, "the body did not arrive in time", close) from None
            received += len(message.get("body", b""))
            if received > limit.max_bytes:
                # The connection stays open, and for a while receives the rest of the body: if it
                # were closed, it would be reset, and the client might never see the response.
                raise HTTPException(413, f"the body is larger than {limit.max_bytes:,} bytes")
            is_complete = not message.get("more_body", False)
            return message

        await self._app(scope, receive_within_limits, send)


def limit_waiting(headers_timeout: float, reader_timeout: float) -> type[HttpToolsProtocol]:
    """Return uvicorn's HTTP protocol with two additional timeouts.

    Without them, a connection stays open forever if its client sends an incomplete request or none,
    or does not read the response.

    Args:
        headers_timeout: Maximum time from the connection, or from the first byte of a request, to
            the end of its headers, in seconds.
        reader_timeout: Maximum time for which a client may read nothing of a waiting response, in
            seconds.

    Returns:
        Protocol class for `uvicorn.run`.

    """

    class TimedProtocol(HttpToolsProtocol):
        _headers_due: asyncio.TimerHandle | None = None
        _reader_due: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            transport.set_write_buffer_limits(high=0)  # call pause_writing if anything is unread
            self._expect_headers()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            # uvicorn cancels its own timer at each byte, even at one that starts no request.
            answered = self.cycle is None or self.cycle.response_complete
            if answered and self._headers_due is None and self.timeout_keep_alive_task is None:
                self._expect_headers()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._expect_headers()

        def on_headers_complete(self) -> None:
            self._stop_waiting()
            super().on_headers_complete()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._expect_reader()

        def resume_writing(self) -> None:
            self._stop_waiting_for_reader()
            super().resume_writing()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            self._stop_waiting_for_reader()
            super().connection_lost(exc)

        def _expect_headers(self) -> None:
            self._stop_waiting()
            self._headers_due = self.loop.call_later(headers_timeout, self.transport.close)

        def _stop_waiting(self) -> None:
            if self._headers_due is not None:
                self._headers_due.cancel()
                self._headers_due = None

        def _expect_reader(self) -> None:
            left = self.transport.get_write_buffer_size()
            self._reader_due = self.loop.call_later(reader_timeout, self._look_at_reader, left)

        def _look_at_reader(self, left_before: int) -> None:
            if self.transport.get_write_buffer_size() < left_before:
                self._expect_reader()
            else:
                self.transport.abort()

        def _stop_waiting_for_reader(self) -> None:
            if self._reader_due is not None:
                self._reader_due.cancel()
                self._reader_due = None

    return TimedProtocol
