"""Monitoring of the service: counts, times and a log of requests, never a text."""

import logging
import time
from collections.abc import Callable

from fastapi.responses import Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("imdb_sentiment.serving")

# Seconds; a single review takes about a millisecond.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Observation:
    """Prometheus metrics of one service, and its log of requests.

    Args:
        count_pending: Function that returns the number of waiting and running requests.

    Attributes:
        texts: Counter of the texts for which predictions were made, by the owner of the API key.

    """

    def __init__(self, count_pending: Callable[[], int]) -> None:
        self._collectors = CollectorRegistry()
        ProcessCollector(registry=self._collectors)
        self._requests = Counter(
            "imdb_sentiment_requests",
            "Requests answered.",
            ["path", "status"],
            registry=self._collectors,
        )
        self._seconds = Histogram(
            "imdb_sentiment_request_seconds",
            "Time from the request to the end of the response.",
            ["path"],
            buckets=BUCKETS,
            registry=self._collectors,
        )
        self.texts = Counter(
            "imdb_sentiment_texts", "Texts scored.", ["owner"], registry=self._collectors
        )
        pending = Gauge(
            "imdb_sentiment_pending",
            "Requests that are waiting or running.",
            registry=self._collectors,
        )
        pending.set_function(count_pending)

    def expose(self) -> Response:
        """Return all metrics in the text format of Prometheus."""
        return Response(generate_latest(self._collectors), media_type=CONTENT_TYPE_LATEST)

    def middleware(self, app: ASGIApp) -> ASGIApp:
        """Wrap an application so that its requests are counted, timed and logged."""

        async def observed(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            start = time.perf_counter()
            status = 500  # unless a response starts

            async def note_status(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            try:
                await app(scope, receive, note_status)
            finally:
                seconds = time.perf_counter() - start
                # The route instead of the path: clients could request any number of paths.
                path = getattr(scope.get("route"), "path", "other")
                self._requests.labels(path, status).inc()
                self._seconds.labels(path).observe(seconds)
                logger.info(
                    "request",
                    extra={
                        "method": scope["method"],
                        "path": path,
                        "status": status,
                        "ms": round(1000 * seconds, 2),
                    },
                )

        return observed
