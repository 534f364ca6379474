"""Requests that are too big or too slow end early, whatever they ask for."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


@dataclass(frozen=True)
class BodyLimit:
    """How large a body may be, in bytes, and how many seconds it may take to arrive."""

    max_bytes: int
    seconds: float


class LimitBodies:
    """ASGI middleware: refuses bodies beyond a size (413), or that do not come in time (408).

    Args:
        app: What is behind it.
        limits: By path; the empty path stands for all others.

    """

    def __init__(self, app: ASGIApp, limits: Mapping[str, BodyLimit]) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, its body counted and timed."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limits.get(scope["path"], self._limits[""])
        deadline = asyncio.get_running_loop().time() + limit.seconds
        received = 0
        whole = False

        async def receive_within_limits() -> Message:
            nonlocal received, whole
            if whole:  # what comes now is that the client is gone, which may be at any time
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                close = {"Connection": "close"}  # the rest of the body is not waited for
                raise HTTPException(408, "the body did not arrive in time", close) from None
            received += len(message.get("body", b""))
            if received > limit.max_bytes:
                # The connection stays open and for a while takes in what is still sent: closed, it
                # would be reset, and the client might never see the answer.
                raise HTTPException(413, f"the body is larger than {limit.max_bytes:,} bytes")
            whole = not message.get("more_body", False)
            return message

        await self._app(scope, receive_within_limits, send)


def limit_waiting(headers_timeout: float, reader_timeout: float) -> type[HttpToolsProtocol]:
    """Return uvicorn's HTTP protocol, with two limits that it lacks.

    Without them, a connection stays open for ever on which half a request has come, or none, or
    whose client takes nothing of the answer.

    Args:
        headers_timeout: Seconds from the first byte, or from the connection, to the end of the
            headers.
        reader_timeout: Seconds in which a client must take something of an answer that waits for
            it.

    """

    class TimedProtocol(HttpToolsProtocol):
        _headers_due: asyncio.TimerHandle | None = None
        _reader_due: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            transport.set_write_buffer_limits(high=0)  # pause_writing, whatever is left to be taken
            self._expect_headers()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            # uvicorn takes its own timer off at each byte, even one that begins no request.
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
