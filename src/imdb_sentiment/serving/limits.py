"""Limits on the size and the duration of request bodies, independent of their content."""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


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
                detail = "the body did not arrive in time: send it again"
                raise HTTPException(408, detail, close) from None
            received += len(message.get("body", b""))
            if received > limit.max_bytes:
                # The connection stays open, and for a while receives the rest of the body: if it
                # were closed, it would be reset, and the client might never see the response.
                raise HTTPException(
                    413,
                    f"the body is larger than {limit.max_bytes:,} bytes: shorten it, or split it "
                    "across several requests",
                )
            is_complete = not message.get("more_body", False)
            return message

        await self._app(scope, receive_within_limits, send)
