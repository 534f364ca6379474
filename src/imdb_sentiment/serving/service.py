"""The HTTP service: its routes, its error handlers and its API key."""

import math
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, cast

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader
from pydantic import BaseModel
from starlette.requests import ClientDisconnect
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from imdb_sentiment import __version__
from imdb_sentiment.errors import is_disk_error, list_names
from imdb_sentiment.serving.clients import (
    ANONYMOUS,
    ONLY_KEY,
    ApiKeys,
    RateLimiter,
    find_network,
)
from imdb_sentiment.serving.csv_scorer import ScorerError
from imdb_sentiment.serving.evaluation_record import find_test_scores
from imdb_sentiment.serving.explanation import explain_cleaned, find_explained_label
from imdb_sentiment.serving.hosts import RequireHost
from imdb_sentiment.serving.job_queue import JobQueue, QueueFullError, Quota
from imdb_sentiment.serving.json_body import (
    BODIES,
    BODIES_PER_CLIENT,
    JsonRequest,
    find_media_type,
    read_json,
)
from imdb_sentiment.serving.limits import BodyLimit, LimitBodies
from imdb_sentiment.serving.observation import Observation
from imdb_sentiment.serving.predictor import Predictor
from imdb_sentiment.serving.schemas import (
    ExplainRequest,
    ExplainResponse,
    ModelResponse,
    PredictRequest,
    PredictResponse,
    Problem,
    TestScores,
    WordCountsResponse,
    explain_error,
)
from imdb_sentiment.serving.scored_csv import CsvError
from imdb_sentiment.serving.settings import ServiceSettings
from imdb_sentiment.serving.upload import SharedFile, Uploads
from imdb_sentiment.text.cleaning import clean_text
from imdb_sentiment.text.tokenizer import N_SPECIAL, count_words, get_sequence_length

PAGE = Path(__file__).parent / "page"
SWAGGER = ("fastapi_swagger", "resources")  # package and folder with the files of Swagger UI
# The pages may only load files of the service itself. Swagger UI styles its elements itself.
POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'"
DOCS_POLICY = f"{POLICY}; style-src 'self' 'unsafe-inline'"
# Browsers keep the files, but ask each time whether they have changed.
PAGE_HEADERS = {"Cache-Control": "no-cache", "Content-Security-Policy": POLICY}
KEY_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False)
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in {
        400: "The body is not JSON in UTF-8.",
        401: "The API key is missing or wrong.",
        408: "The body did not arrive in time.",
        413: "The body is too large.",
        415: "The Content-Type or Content-Encoding of the body is not supported.",
        421: "The host name is unknown to the service.",
        422: "The request does not match this description.",
        429: "Too many requests: retry after the number of seconds in Retry-After.",
        503: "At capacity: retry after the number of seconds in Retry-After.",
        504: "The request took too long.",
    }.items()
}
UNKNOWN_HOST: dict[int | str, dict[str, Any]] = {421: PROBLEMS[421]}
# Links of OpenAPI from the examples of /model to the requests that they are examples for.
EXAMPLE_LINKS: dict[str, Any] = {
    "predict the examples": {
        "operationId": "predict",
        "requestBody": {"texts": "$response.body#/examples"},
    },
    "explain the first example": {
        "operationId": "explain",
        "requestBody": {"text": "$response.body#/examples/0"},
    },
}


class _Asker(NamedTuple):
    """The sender of a request.

    Attributes:
        client: Client whose quota it counts for: the owner of a key, or an IP address or network.
        owner: Name of the owner of the key, for the metrics.

    """

    client: str
    owner: str


class _ScoredResponse(StreamingResponse):
    """A scored CSV, which is dropped when it has been sent, or can't be."""

    def __init__(self, scored: SharedFile) -> None:
        super().__init__(
            scored.read(),
            media_type="text/csv; charset=utf-8",
            headers={
                "Content-Disposition": 'attachment; filename="scored.csv"',
                "Content-Length": str(scored.size),
            },
        )
        self._scored = scored

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._scored:
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """Send the CSV; starlette would end with an empty part, after the client has them all."""
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        left = self._scored.size
        async for part in self.body_iterator:
            left -= len(part)
            await send({"type": "http.response.body", "body": part, "more_body": left > 0})


def _get_asker(request: Request) -> _Asker:
    return cast(_Asker, request.state.asker)


def create_app(predictor: Predictor, exported: bytes, settings: ServiceSettings) -> FastAPI:
    """Create the service, and start the process that scores CSVs.

    Args:
        predictor: Exported model; a call should use one thread, since requests run in parallel.
        exported: Content of its file, for that process.
        settings: Limits and API key.

    Returns:
        ASGI application.

    Raises:
        KeysError: The file of the API keys can't be used.

    """
    jobs = JobQueue(settings.threads, settings.queue_size, settings.timeout)
    key = settings.api_key
    keys = ApiKeys({ONLY_KEY: key.get_secret_value()} if key else {}, settings.api_keys_file)
    uploads = Uploads(exported, settings)
    learnt_column = predictor.facts.get("text_column", "review")
    described = _describe_model(predictor, find_test_scores(settings.records, exported))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        jobs.close()
        uploads.close()

    app = FastAPI(
        title="imdb-sentiment",
        description="Predicts the sentiment of reviews.",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own pages load files from other sites
        redoc_url=None,
        redirect_slashes=False,  # behind a proxy with TLS, it would redirect to http
        telemetry={"tracing": False, "metrics": False, "logs": False},  # see `Observation`
    )
    observation = Observation(lambda: jobs.pending + uploads.active)
    _add_middleware(app, settings, observation)
    _add_error_handlers(app)
    app.router.route_class = _make_guarded_route(keys, settings)
    # This is only for the OpenAPI description: `GuardedRoute` looks at the key.
    need_key = [Depends(KEY_HEADER)] if keys.are_required else []

    texts_to_score, text_to_explain = PredictRequest.limit(settings), ExplainRequest.limit(settings)

    @app.post("/predict", operation_id="predict", responses=PROBLEMS, dependencies=need_key)
    async def predict(body: texts_to_score, request: Request) -> PredictResponse:  # type: ignore[valid-type]
        """Predict the sentiment of one or more texts."""
        texts, asker = cast(PredictRequest, body).texts, _get_asker(request)
        answer = await jobs.run(asker.client, _predict, predictor, texts)
        observation.texts.labels(asker.owner).inc(len(texts))
        return answer

    @app.post("/explain", operation_id="explain", responses=PROBLEMS, dependencies=need_key)
    async def explain_text(body: text_to_explain, request: Request) -> ExplainResponse:  # type: ignore[valid-type]
        """Predict the sentiment of a text, and the effect of each word ("leave-one-out")."""
        text, asker = cast(ExplainRequest, body).text, _get_asker(request)
        answer = await jobs.run(asker.client, _explain, predictor, text)
        observation.texts.labels(asker.owner).inc()
        return answer

    @app.post(
        "/score",
        dependencies=need_key,
        response_class=Response,
        responses=PROBLEMS | {200: {"content": {"text/csv": {}}, "description": "The scored CSV."}},
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"text/csv": {"schema": {"type": "string"}}},
            }
        },
    )
    async def score(
        request: Request,
        text_column: Annotated[str, Query(description="name of the text column")] = learnt_column,
        delimiter: Annotated[
            Literal["auto", "comma", "semicolon", "tab", "bar"],
            Query(description="delimiter of the CSV; detected by default"),
        ] = "auto",
    ) -> Response:
        """Add predictions to each row of a CSV (UTF-8, with a header) in the body.

        The text column is by default the one that the model has learnt from. The scored CSV has the
        same delimiter.
        """
        if find_media_type(request) != "text/csv":
            # Browsers let pages of other sites send this type only if CORS allows it.
            raise HTTPException(415, "send the body as a CSV (Content-Type: text/csv)")
        unknown = sorted(request.query_params.keys() - {"text_column", "delimiter"})
        if unknown:  # a misspelt one would have no effect
            raise HTTPException(
                422, f"unknown parameter {list_names(unknown)!r}: use text_column or delimiter"
            )
        asker = _get_asker(request)
        scored, rows = await uploads.score(
            asker.client, request.stream(), request.is_disconnected, text_column, delimiter
        )
        observation.texts.labels(asker.owner).inc(rows)
        return _ScoredResponse(scored)

    @app.get(
        "/model",
        responses={
            200: {"links": EXAMPLE_LINKS},
            **{status: PROBLEMS[status] for status in (401, 421, 429)},
        },
        dependencies=need_key,
    )
    async def model() -> ModelResponse:
        """Return what is known about the model, and examples to try it with."""
        return described

    app.include_router(_make_open_routes(jobs, observation))
    app.mount("/page", _RevalidatedFiles(directory=PAGE))
    app.mount("/swagger", _RevalidatedFiles(packages=[SWAGGER]))
    return app


class _RevalidatedFiles(StaticFiles):
    """Files of the pages, which browsers ask for again after an upgrade, so that all are of one."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers.update(PAGE_HEADERS)
        return response


def _add_middleware(app: FastAPI, settings: ServiceSettings, observation: Observation) -> None:
    """Add the layers that handle a request before its route; the last one comes first."""
    app.add_middleware(
        LimitBodies,
        limits={
            "": BodyLimit(settings.max_body, settings.timeout),
            "/explain": BodyLimit(settings.max_text_body, settings.timeout),
            "/score": BodyLimit(settings.max_upload, settings.upload_timeout),
        },
    )
    if settings.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Content-Type", KEY_HEADER.model.name],
            expose_headers=["Retry-After"],
        )
    app.add_middleware(RequireHost, names=settings.allowed_hosts)
    app.add_middleware(observation.middleware)


def _make_open_routes(jobs: JobQueue, observation: Observation) -> APIRouter:
    """Return the routes that need no key: the page, and those for operating the service."""
    routes = APIRouter()

    # Load balancers and monitors may ask with HEAD.
    @routes.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html", headers=PAGE_HEADERS)

    @routes.api_route("/docs", methods=["GET", "HEAD"], include_in_schema=False)
    async def docs() -> FileResponse:
        headers = PAGE_HEADERS | {"Content-Security-Policy": DOCS_POLICY}
        return FileResponse(PAGE / "docs.html", headers=headers)

    @routes.head("/health", include_in_schema=False)
    @routes.get("/health", responses=UNKNOWN_HOST)
    async def health() -> dict[str, str]:
        """Report that the process is alive."""
        return {"status": "alive"}

    @routes.head("/ready", include_in_schema=False)
    @routes.get("/ready", responses=UNKNOWN_HOST | {503: PROBLEMS[503]})
    async def ready() -> dict[str, str]:
        """Report whether the service would accept a request now."""
        jobs.require_room()
        return {"status": "ready"}

    @routes.head("/metrics", include_in_schema=False)
    @routes.get("/metrics", response_class=Response, responses=UNKNOWN_HOST)
    async def metrics() -> Response:
        """Return counts and times in the text format of Prometheus."""
        return observation.expose()

    return routes


def _add_error_handlers(app: FastAPI) -> None:
    """Add handlers that turn exceptions into a status and a sentence."""

    @app.exception_handler(RequestValidationError)
    async def refuse_request(_: Request, error: RequestValidationError) -> JSONResponse:
        # The response does not repeat the input, which may be long or not even text.
        first = error.errors()[0]
        status = 400 if first["type"] == "json_invalid" else 422
        return JSONResponse({"detail": explain_error(first)}, status)

    @app.exception_handler(QueueFullError)
    async def refuse_when_full(_: Request, error: QueueFullError) -> JSONResponse:
        detail = "the service is busy: try again later"
        return JSONResponse({"detail": detail}, 503, {"Retry-After": "1"})

    @app.exception_handler(ScorerError)
    async def refuse_without_scorer(_: Request, error: ScorerError) -> JSONResponse:
        detail = "the process that scores CSVs is being restarted: try again"
        return JSONResponse({"detail": detail}, 503, {"Retry-After": "1"})

    @app.exception_handler(OSError)
    async def refuse_without_disk(_: Request, error: OSError) -> JSONResponse:
        if not is_disk_error(error):
            raise error
        detail = "there is no space left for temporary files: try again later"
        return JSONResponse({"detail": detail}, 503, {"Retry-After": "60"})

    @app.exception_handler(TimeoutError)
    async def report_timeout(_: Request, error: TimeoutError) -> JSONResponse:
        close = {"Connection": "close"}  # its client may have gone
        detail = "the request took too long: send fewer or shorter texts, or try again later"
        return JSONResponse({"detail": detail}, 504, close)

    @app.exception_handler(ClientDisconnect)
    async def log_disconnect(_: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=499)  # nginx's number for this; only the log sees it

    @app.exception_handler(CsvError)
    async def refuse_csv(_: Request, error: CsvError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 422)


def _make_guarded_route(keys: ApiKeys, settings: ServiceSettings) -> type[APIRoute]:
    """Return a route class that checks API key and rate, if any, before the body is read.

    JSON is parsed, checked and written by pydantic alone. With FastAPI's dependencies and its other
    steps, a request takes a tenth longer.
    """
    rate = RateLimiter(settings.rate, settings.burst) if settings.rate else None
    bodies = Quota(BODIES * settings.max_body, BODIES_PER_CLIENT * settings.max_body)

    class GuardedRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = self._answer_json if self.body_field else super().get_route_handler()

            async def require_key(request: Request) -> Response:
                # A dependency would run only after the body has been read and parsed.
                owner = keys.find_owner(await KEY_HEADER(request) or "")
                if owner is None and keys.are_required:
                    raise HTTPException(401, "the API key is missing or wrong")
                address = find_network(request.client.host) if request.client else "unknown"
                client = address if owner in (None, ONLY_KEY) else f"the owner {owner}"
                request.state.asker = _Asker(client, owner or ANONYMOUS)
                if rate and (seconds := rate.acquire(client)):
                    wait = math.ceil(seconds)
                    detail = f"too many requests: try again in {wait} second{'s' * (wait != 1)}"
                    raise HTTPException(429, detail, {"Retry-After": str(wait)})
                if request.headers.get("Content-Encoding", "identity").lower() != "identity":
                    raise HTTPException(415, "send the body without compression")
                asked = JsonRequest(
                    request.scope, request.receive, settings.max_texts, bodies, client
                )
                try:
                    return await handle(asked)
                finally:
                    asked.give_back()

            return require_key

        async def _answer_json(self, request: Request) -> Response:
            model = cast(Any, self.body_field).field_info.annotation
            answer: BaseModel = await self.endpoint(await read_json(request, model), request)
            return Response(answer.model_dump_json(), media_type="application/json")

    return GuardedRoute


def _predict(predictor: Predictor, texts: list[str]) -> PredictResponse:
    return PredictResponse(predictions=predictor.predict(texts))


def _describe_model(predictor: Predictor, test: TestScores | None) -> ModelResponse:
    return ModelResponse(
        labels=list(predictor.labels),
        examples=list(predictor.examples),
        vocabulary_size=predictor.tokenizer.get_vocab_size() - N_SPECIAL,
        sequence_length=get_sequence_length(predictor.tokenizer),
        head_length=predictor.head_length,
        max_ngram=predictor.max_ngram,
        character_ngram=predictor.character_ngram,
        test=test,
        facts=predictor.facts,
    )


def _explain(predictor: Predictor, text: str) -> ExplainResponse:
    cleaned = clean_text(text)
    prediction, segments = explain_cleaned(predictor, cleaned)
    counts = count_words(predictor.tokenizer, cleaned, predictor.head_length)
    return ExplainResponse(
        prediction=prediction,
        explained_label=find_explained_label(predictor, prediction),
        words=WordCountsResponse(
            total=counts.total,
            known=counts.known,
            read=counts.read if predictor.has_network else 0,
        ),
        segments=segments,
    )
