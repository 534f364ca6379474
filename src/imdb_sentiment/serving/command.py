"""The command `imdb-sentiment serve`."""

import contextlib
import errno
import gc
import ipaddress
import logging
import math
import os
import re
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from imdb_sentiment.errors import install_extra


class _Positive(click.FloatRange):
    """Positive numbers; click itself also takes `nan` and `inf`."""

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


def _read_hosts(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """Return names of hosts without their ports, since the service may have any port."""
    hosts = []
    for name in given:
        host = re.fullmatch(r"(\*|[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?)(:\d+)?", name)
        if host is None:
            raise click.BadParameter(
                f"{name} is not a host name such as reviews.example.org: leave out the scheme, the "
                "path and wildcards, and write letters other than a to z in Punycode (xn--…). IP "
                "addresses are always accepted."
            )
        hosts.append(host[1])
    return tuple(hosts)


def _read_origins(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """Return sites as browsers name them in the header `Origin`: without a slash at the end."""
    origins = []
    for site in given:
        origin = re.sub(r"^(http://.*):80$|^(https://.*):443$", r"\1\2", site.rstrip("/").lower())
        pattern = r"[a-z][a-z0-9+.-]*://([a-z0-9_.-]+|\[[0-9a-f:]+\])(:\d+)?"
        if origin not in ("*", "null") and not re.fullmatch(pattern, origin):
            raise click.BadParameter(
                f"{site} is not an origin such as https://example.org: include the scheme, leave "
                "out the path and wildcards, and write letters other than a to z in Punycode "
                "(xn--…)."
            )
        origins.append(origin)
    return tuple(origins)


POSITIVE = _Positive()


@click.command()
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    default=Path("data/06_models/model.onnx"),
    show_default=True,
    help="File of the exported model.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; 0.0.0.0 for all interfaces.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen on; 0 for any free one.",
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    help="Number of requests processed in parallel; by default, the number of cores.",
)
@click.option("--queue-size", type=click.IntRange(0), help="Maximum number of waiting requests.")
@click.option("--max-texts", type=click.IntRange(1), help="Maximum number of texts per request.")
@click.option("--max-characters", type=click.IntRange(1), help="Maximum length of a text.")
@click.option("--max-upload", type=click.IntRange(1), help="Maximum size of a CSV in bytes.")
@click.option("--rate", type=POSITIVE, help="Maximum requests per second and client, on average.")
@click.option(
    "--burst",
    type=click.IntRange(1),
    help="With --rate, maximum number of requests that a client may send at once after a pause.",
)
@click.option(
    "--api-keys",
    "api_keys_file",
    type=click.Path(path_type=Path),
    help="File with a name and an API key per line; reloaded when it changes.",
)
@click.option(
    "--records",
    type=click.Path(path_type=Path),
    help="Folder with the records of evaluated models, for the test scores of this one.  [default: "
    "data/08_reporting/runs]",
)
@click.option(
    "--log",
    type=click.Choice(["auto", "json", "plain"]),
    default="auto",
    show_default=True,
    help="Format of the log on stderr; auto: plain text on a terminal, otherwise JSON.",
)
@click.option("--timeout", type=POSITIVE, help="Maximum seconds per request.")
@click.option("--upload-timeout", type=POSITIVE, help="Maximum seconds per upload.")
@click.option(
    "--allow-origin",
    "allowed_origins",
    callback=_read_origins,
    multiple=True,
    metavar="URL",
    help="Origin of pages that may use the service (CORS); can be repeated.",
)
@click.option(
    "--allow-host",
    "allowed_hosts",
    callback=_read_hosts,
    multiple=True,
    metavar="NAME",
    help="Name under which the service may be called, * for any; can be repeated. localhost and IP "
    "addresses are always accepted.",
)
def serve(model: Path, host: str, port: int, log: str, **limits: Any) -> None:
    """Serve the model over HTTP, with a web page to try it at /.

    If the environment variable IMDB_SENTIMENT_API_KEY is set, clients must send its value in the
    header X-API-Key. With --api-keys, each client has a key of its own.
    """
    _handle_signals()
    try:
        from imdb_sentiment.serving.server import Server, set_up_logging
        from imdb_sentiment.serving.service import create_app
    except ImportError as error:
        raise click.ClickException(
            f"{error}: install the dependencies of the service with {install_extra('serve')}"
        ) from error
    from imdb_sentiment.serving.clients import KeysError
    from imdb_sentiment.serving.predictor import ModelError, Predictor
    from imdb_sentiment.serving.settings import ServiceSettings

    _check_environment()
    key = os.environ.get("IMDB_SENTIMENT_API_KEY")
    if key is not None:
        key = key.strip()  # a file may end with a line break; HTTP strips the header
    if key is not None and not (key and key.isascii()):
        raise click.ClickException(
            "IMDB_SENTIMENT_API_KEY must be ASCII and not empty; unset it to require no key"
        )
    given = {name: value for name, value in limits.items() if value is not None}
    given["allowed_hosts"] += (host,)
    if "burst" in given and "rate" not in given:
        raise click.UsageError("--burst has no effect without --rate: set both")
    try:
        settings = ServiceSettings(api_key=key, **given)
        content = _read_model(model)
        predictor = Predictor(content, threads=1)
        address = choose_address(host, port)
        app = create_app(predictor, content, settings)
    except ModelError as error:
        raise click.ClickException(f"{model} can't be used: {error}") from error
    except KeysError as error:
        raise click.ClickException(str(error)) from error
    # Requests wait for it where a thread that scores a text has Python's lock.
    sys.setswitchinterval(0.0005)  # seconds; by default ten times as long
    # Otherwise, a flood of connections has the libraries' objects searched for garbage: 50 ms each.
    gc.collect()
    gc.freeze()
    is_json = log == "json" or (log == "auto" and not sys.stderr.isatty())
    set_up_logging(is_json=is_json)
    greeting = f"The model is {predictor.describe()}."
    if is_json:
        logging.getLogger(__name__).info("the model is %s", predictor.describe())
    server = Server(app, address, port, settings, None if is_json else greeting)
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the server has its own handler from here on
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(1)


def _handle_signals() -> None:
    """End the service by SIGTERM while it starts, also as the first process of a container."""
    if os.getpid() == 1:  # which ignores signals without a handler
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def _check_environment() -> None:
    """Refuse what would only fail with a request, or be ignored."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise click.ClickException(
            "there is no writable folder for temporary files: set TMPDIR to one, or, in a "
            "container, add one with docker run --tmpfs /tmp"
        ) from error
    given = os.environ.get("FORWARDED_ALLOW_IPS", "")
    if given == "*":  # beside others, uvicorn would ignore it
        return
    for part in given.split(","):
        try:
            if part.strip():
                ipaddress.ip_network(part.strip())
        except ValueError as error:
            raise click.ClickException(
                f"FORWARDED_ALLOW_IPS contains {part.strip()!r}, which is not an IP address or "
                "network: separate them with commas, as in 172.17.0.1,10.0.0.0/8, or set it to * "
                "alone"
            ) from error


def _read_model(model: Path) -> bytes:
    try:
        return model.read_bytes()
    except FileNotFoundError:
        raise click.ClickException(
            f"{model} does not exist: train a model with kedro run, or pass its path as --model"
        ) from None
    except OSError as error:
        raise click.ClickException(
            f"{model} can't be read ({error.strerror}): pass the path of a model as --model"
        ) from error


def choose_address(host: str, port: int) -> str:
    """Return where to listen, and refuse an address that is taken; uvicorn would only log it.

    Args:
        host: Name or address.
        port: Port.

    Returns:
        The host; or one of its addresses, if this machine lacks others, such as that of `localhost`
        in IPv6. Before Python 3.13, asyncio listens on all or none of them.

    Raises:
        click.ClickException: The host can't be listened on; the message says why.

    """
    usable, missing = [], None
    try:
        for family, *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            try:
                socket.create_server(address[:2], family=family).close()
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                missing = error
            else:
                usable.append(str(address[0]))
        if missing and not usable:
            raise missing
    except UnicodeError as error:
        raise click.BadParameter(
            f"{host} is not a name or an address.", param_hint="'--host'"
        ) from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise click.ClickException(
                f"port {port} on {host} is already in use, perhaps by another imdb-sentiment "
                "serve: stop that process, or choose another --port"
            ) from error
        raise click.ClickException(
            f"the service can't listen on port {port} of {host} ({error.strerror}): choose others "
            "with --host and --port"
        ) from error
    return usable[0] if missing else host
