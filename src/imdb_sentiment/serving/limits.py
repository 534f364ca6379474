"""Requests that are too big or too slow end early, whatever they ask for."""

import asyncio
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class LimitBodies:
    """ASGI middleware: refuses bodies beyond a size (413), or that do not come in time (408).

    Args:
        app: What is behind it.
        max_bytes: Of a body, by path; the empty path stands for all others.
        timeout: Seconds between two parts of a body.

    """

    def __init__(self, app: ASGIApp, max_bytes: Mapping[str, int], timeout: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._timeout = timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, its body counted and timed."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._max_bytes.get(scope["path"], self._max_bytes[""])
        received = 0
        whole = False

        async def receive_within_limits() -> Message:
            nonlocal received, whole
            if whole:  # what comes now is that the client is gone, which may be at any time
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), self._timeout)
            except TimeoutError:
                raise HTTPException(408, "the body did not arrive in time", _CLOSE) from None
            received += len(message.get("body", b""))
            if received > limit:
                raise HTTPException(413, f"the body is larger than {limit:,} bytes", _CLOSE)
            whole = not message.get("more_body", False)
            return message

        await self._app(scope, receive_within_limits, send)


_CLOSE = {"Connection": "close"}  # the rest of the body is not read


def limit_headers(timeout: float) -> type[HttpToolsProtocol]:
    """Return uvicorn's HTTP protocol, with a limit that it lacks to the time of a request's head.

    Without it, a connection on which half a request has come, or none, stays open for ever.

    Args:
        timeout: Seconds from the first byte, or from the connection, to the end of the headers.

    """

    class TimedProtocol(HttpToolsProtocol):
        _headers_due: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._expect_headers()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._expect_headers()

        def on_headers_complete(self) -> None:
            self._stop_waiting()
            super().on_headers_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def _expect_headers(self) -> None:
            self._stop_waiting()
            self._headers_due = self.loop.call_later(timeout, self.transport.close)

        def _stop_waiting(self) -> None:
            if self._headers_due is not None:
                self._headers_due.cancel()

    return TimedProtocol
