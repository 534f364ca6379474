"""Names under which the service may be called.

A page of another site can have its own name lead to 127.0.0.1 ("DNS rebinding"). For the browser,
the service then belongs to that site, which may read its responses. But the request still has that
site's name in the header `Host`.
"""

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

ANY = "*"


class RequireHost:
    """ASGI middleware that refuses requests to names that are not the service's (421).

    IP addresses and `localhost` are always accepted, as no site can have them as its name.

    Args:
        app: Wrapped application.
        names: Names of the service, in lower case; `*` for any.

    """

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self._app = app
        self._names = {"localhost", *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on if its host is the service's."""
        if scope["type"] == "http" and ANY not in self._names:
            hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
            if not all(map(self._is_own, hosts)):
                detail = "unknown host name: to allow it, start the service with --allow-host NAME"
                await JSONResponse({"detail": detail}, 421)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name in self._names:
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True
