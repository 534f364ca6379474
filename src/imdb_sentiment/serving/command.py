"""`imdb-sentiment serve`."""

import logging.config
import math
import os
from pathlib import Path
from typing import Any

import click

MAX_CONNECTIONS = 1000  # at a time; beyond that the answer is 503
IDLE_TIMEOUT = 65  # seconds that a connection may be idle; proxies commonly let go after 60
SECONDS = click.FloatRange(min=0, min_open=True)
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "class": "pythonjsonlogger.json.JsonFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"level": "INFO", "handlers": ["stderr"]},
}


@click.command()
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    default=Path("data/06_models/model.onnx"),
    show_default=True,
    help="The exported model.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 for all networks.")
@click.option("--port", default=8000, show_default=True)
@click.option("--threads", type=click.IntRange(1), help="Requests at a time; all cores by default.")
@click.option("--queue-size", type=click.IntRange(0), help="Requests that may wait.")
@click.option("--max-texts", type=click.IntRange(1), help="Texts in one request.")
@click.option("--max-characters", type=click.IntRange(1), help="Characters of one text.")
@click.option("--max-upload", type=click.IntRange(1), help="Bytes of a CSV.")
@click.option("--timeout", type=SECONDS, help="Seconds that a request may take.")
@click.option("--upload-timeout", type=SECONDS, help="Seconds that an upload may take.")
@click.option(
    "--allow-origin",
    "allowed_origins",
    multiple=True,
    metavar="URL",
    help="Another site whose pages may ask (CORS); may be given more than once.",
)
def serve(model: Path, host: str, port: int, **limits: Any) -> None:
    """Answer requests over HTTP, with a page to try it at /.

    If IMDB_SENTIMENT_API_KEY is set, clients must send it as X-API-Key.
    """
    try:
        import uvicorn

        from imdb_sentiment.serving.limits import limit_waiting
        from imdb_sentiment.serving.service import create_app
    except ImportError as error:
        raise click.ClickException(
            f'{error}: install what the service needs with pip install -e ".[serve]"'
        ) from error
    from imdb_sentiment.serving.predictor import ModelError, Predictor
    from imdb_sentiment.serving.settings import ServiceSettings

    key = os.environ.get("IMDB_SENTIMENT_API_KEY")
    if key is not None and not (key and key.isascii()):
        raise click.ClickException(
            "IMDB_SENTIMENT_API_KEY must be ASCII, and not empty; unset it to let anyone ask"
        )
    given = {name: value for name, value in limits.items() if value is not None}
    try:
        settings = ServiceSettings(api_key=key, **given)
        predictor = Predictor.load(model, threads=1)
    except FileNotFoundError:
        raise click.ClickException(
            f"{model} does not exist: train one with kedro run, or name it with --model"
        ) from None
    except ModelError as error:
        raise click.ClickException(str(error)) from error
    logging.config.dictConfig(LOGGING)
    uvicorn.run(
        create_app(predictor, settings),
        host=host,
        port=port,
        access_log=False,  # ours has the time, too
        http=limit_waiting(settings.timeout, settings.upload_timeout),
        log_config=None,
        server_header=False,
        timeout_keep_alive=IDLE_TIMEOUT,
        limit_concurrency=MAX_CONNECTIONS,
        # What has been accepted may take that long.
        timeout_graceful_shutdown=math.ceil(max(settings.timeout, settings.upload_timeout)),
    )
