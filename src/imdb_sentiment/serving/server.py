"""The server that runs the service, and its messages on a terminal or in a log."""

import logging
import logging.config
import math
import socket
from datetime import datetime
from typing import Any

import click
import uvicorn
from fastapi import FastAPI

from imdb_sentiment.serving.connections import allow_connections, make_protocol
from imdb_sentiment.serving.csv_scorer import MIN_START_TIMEOUT
from imdb_sentiment.serving.settings import ServiceSettings

IDLE_TIMEOUT = 65  # seconds until an idle connection is closed; proxies commonly close after 60
ALL_INTERFACES = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # and addresses to reach them


class PlainFormatter(logging.Formatter):
    """Formats log records for people at a terminal: a line per request, and other messages."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the name in logging
        """Return a record as a line."""
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        if hasattr(record, "ms"):
            request = vars(record)
            return "{} {method} {path}: {status}, {ms:.1f} ms".format(time, **request)
        return f"{time} {record.getMessage()}"


def set_up_logging(*, is_json: bool) -> None:
    """Log to stderr: lines of JSON, or lines for people."""
    formatters: dict[str, Any] = {
        "json": {
            "class": "pythonjsonlogger.json.JsonFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
        },
        "plain": {"()": PlainFormatter},
    }
    formatter = "json" if is_json else "plain"
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": formatters,
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": formatter}},
            "root": {"level": "INFO", "handlers": ["stderr"]},
            # People read the greeting instead of its messages about every step.
            "loggers": {"uvicorn": {"level": "INFO" if is_json else "WARNING"}},
        }
    )


class Server(uvicorn.Server):
    """uvicorn's server, which says on a terminal where it can be found.

    Args:
        app: The service.
        host: Name or address to listen on.
        port: Port to listen on; 0 for any free one.
        settings: Limits of the service.
        greeting: Message about the model once the server is ready; None for no message.

    """

    def __init__(
        self, app: FastAPI, host: str, port: int, settings: ServiceSettings, greeting: str | None
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                access_log=False,  # our own log also has the duration
                http=make_protocol(settings.timeout, settings.upload_timeout, allow_connections()),
                ws="none",
                log_config=None,
                server_header=False,
                timeout_keep_alive=IDLE_TIMEOUT,
                # Accepted requests may take this long: an upload arrives, then it is scored, by a
                # process that may have to start.
                timeout_graceful_shutdown=math.ceil(
                    max(
                        settings.timeout,
                        settings.upload_timeout + max(settings.upload_timeout, MIN_START_TIMEOUT),
                    )
                ),
            )
        )
        self._greeting = greeting

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen."""
        await super().startup(sockets)
        if self._greeting and self.started:
            host, port, *_ = self.servers[0].sockets[0].getsockname()
            click.echo(describe_address(host, port, self._greeting))


def describe_address(host: str, port: int, greeting: str) -> str:
    """Return the message for the moment when the service is ready."""
    host = ALL_INTERFACES.get(host, host)
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return (
        f"The service is ready: open {url} in a browser. The API is described at {url}/docs.\n"
        f"{greeting}\nPress Ctrl-C to stop it."
    )
