"""The model behind HTTP."""

import hmac
import io
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Annotated, Any, cast

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.staticfiles import StaticFiles

from imdb_sentiment import __version__
from imdb_sentiment.serving.explanation import explain
from imdb_sentiment.serving.job_queue import JobQueue, QueueFullError
from imdb_sentiment.serving.limits import BodyLimit, LimitBodies
from imdb_sentiment.serving.observation import Observation
from imdb_sentiment.serving.predictor import Predictor
from imdb_sentiment.serving.schemas import (
    ExplainRequest,
    ExplainResponse,
    ModelResponse,
    PredictionResponse,
    PredictRequest,
    PredictResponse,
    Problem,
    SegmentResponse,
)
from imdb_sentiment.serving.scored_csv import CsvError, score_csv
from imdb_sentiment.serving.settings import ServiceSettings

PAGE = Path(__file__).parent / "page"
SPOOLED = 1 << 20  # bytes of an upload that stay in memory; the rest goes to a temporary file
KEY_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False)
UPLOADS = 4  # that may wait for the one before
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in {
        400: "The body is not JSON.",
        401: "The API key is missing or wrong.",
        408: "The body did not arrive in time.",
        413: "The body is too large.",
        415: "The body is not declared as a CSV.",
        422: "The request is not as described here.",
        503: "The queue is full: try again after the seconds in Retry-After.",
        504: "It took too long.",
    }.items()
}


def create_app(predictor: Predictor, settings: ServiceSettings) -> FastAPI:
    """Return the service.

    Args:
        predictor: The model; a call may use one thread, as requests are worked on side by side.
        settings: Limits, and the API key.

    """
    jobs = JobQueue(settings.threads, settings.queue_size, settings.timeout)
    uploads = JobQueue(1, UPLOADS, settings.upload_timeout)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        jobs.close()
        uploads.close()

    app = FastAPI(
        title="imdb-sentiment",
        description="The sentiment of a review, as the model of this project sees it.",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # their pages need files from elsewhere; the document is at /openapi.json
        redoc_url=None,
    )
    observation = Observation(lambda: jobs.pending + uploads.pending)
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
        )
    app.add_middleware(observation.middleware)
    guarded = APIRouter(
        route_class=_make_guarded_route(settings),
        dependencies=[Depends(KEY_HEADER)],  # for the description
        responses={401: PROBLEMS[401]},
    )

    _explain_problems(app)
    _tell_how_it_is(app, jobs, observation)

    texts_to_judge, text_to_explain = PredictRequest.limit(settings), ExplainRequest.limit(settings)

    @guarded.post("/predict", responses=PROBLEMS)
    async def predict(request: texts_to_judge) -> PredictResponse:  # type: ignore[valid-type]
        """Judge one text or several."""
        texts = cast(PredictRequest, request).texts
        predictions = await jobs.run(_judge, predictor, texts)
        observation.texts.inc(len(texts))
        return PredictResponse(predictions=predictions)

    @guarded.post("/explain", responses=PROBLEMS)
    async def explain_text(request: text_to_explain) -> ExplainResponse:  # type: ignore[valid-type]
        """Judge a text, and say which of its words moved the model ("leave-one-out")."""
        answer = await jobs.run(_explain, predictor, cast(ExplainRequest, request).text)
        observation.texts.inc()
        return answer

    @guarded.post(
        "/score",
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
        text_column: Annotated[str, Query(description="the column with the text")] = "review",
    ) -> Response:
        """Add predictions to each row of a CSV (UTF-8, with a header), sent as the body."""
        if request.headers.get("content-type", "").partition(";")[0].strip() != "text/csv":
            # Other sites' pages can't send this type without being asked whether they may.
            raise HTTPException(415, "the body must be a CSV: Content-Type: text/csv")
        source = tempfile.SpooledTemporaryFile(SPOOLED)  # noqa: SIM115  # closed by the job
        with uploads.reserve():
            try:
                async for part in request.stream():
                    await run_in_threadpool(source.write, part)
            except BaseException:
                source.close()
                raise
        deadline = time.monotonic() + settings.upload_timeout
        target, rows = await uploads.run(
            _score_upload, predictor, source, text_column, settings.max_characters, deadline
        )
        observation.texts.inc(rows)
        return StreamingResponse(
            _read_and_close(target),
            media_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="scored.csv"'},
        )

    @guarded.get("/model")
    async def model() -> ModelResponse:
        """Say what the service runs on."""
        return ModelResponse(
            labels=list(predictor.labels),
            examples=list(predictor.examples),
            facts=predictor.facts,
        )

    app.include_router(guarded)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    app.mount("/page", StaticFiles(directory=PAGE))
    return app


def _tell_how_it_is(app: FastAPI, jobs: JobQueue, observation: Observation) -> None:
    """Add what those ask who run the service."""

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Say that the process is alive."""
        return {"status": "alive"}

    @app.get("/ready", responses={503: PROBLEMS[503]})
    async def ready() -> dict[str, str]:
        """Say whether a request would be taken now."""
        jobs.require_room()
        return {"status": "ready"}

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Return counts and times in Prometheus's format."""
        return observation.expose()


def _explain_problems(app: FastAPI) -> None:
    """Answer each problem with its status and a sentence."""

    @app.exception_handler(RequestValidationError)
    async def explain_refusal(_: Request, error: RequestValidationError) -> JSONResponse:
        # What was sent is not sent back: it may be long, and no text at all.
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part != "body")
        return _answer_problem(422, f"{place}: {first['msg']}" if place else str(first["msg"]))

    @app.exception_handler(QueueFullError)
    async def ask_for_patience(_: Request, error: QueueFullError) -> JSONResponse:
        return _answer_problem(503, "the queue is full", {"Retry-After": "1"})

    @app.exception_handler(TimeoutError)
    async def give_up(_: Request, error: TimeoutError) -> JSONResponse:
        return _answer_problem(504, "no answer in time")

    @app.exception_handler(ClientDisconnect)
    async def note_departure(_: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=499)  # nginx's number for it; only the log will see it

    @app.exception_handler(CsvError)
    async def refuse_csv(_: Request, error: CsvError) -> JSONResponse:
        return _answer_problem(422, str(error))


def _make_guarded_route(settings: ServiceSettings) -> type[APIRoute]:
    """Return a kind of route that asks for the API key, if there is one, before all else."""
    key = settings.api_key

    class GuardedRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def require_key(request: Request) -> Response:
                # A dependency would be asked only when the body has been read and parsed.
                given = (await KEY_HEADER(request) or "").encode()
                if key is not None and not hmac.compare_digest(
                    given, key.get_secret_value().encode()
                ):
                    raise HTTPException(401, "the API key is missing or wrong")
                return await handle(request)

            return require_key

    return GuardedRoute


def _answer_problem(
    status: int, detail: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, headers)


def _judge(predictor: Predictor, texts: list[str]) -> list[PredictionResponse]:
    return [
        PredictionResponse.describe(text, prediction)
        for text, prediction in zip(texts, predictor.predict(texts), strict=True)
    ]


def _explain(predictor: Predictor, text: str) -> ExplainResponse:
    prediction, segments = explain(predictor, text)
    return ExplainResponse(
        prediction=PredictionResponse.describe(text, prediction),
        segments=[SegmentResponse.describe(segment) for segment in segments],
    )


def _score_upload(
    predictor: Predictor,
    source: IO[bytes],
    text_column: str,
    max_characters: int,
    deadline: float,
) -> tuple[IO[bytes], int]:
    """Return the scored CSV, to be read from its beginning, and its number of rows."""
    target = tempfile.SpooledTemporaryFile(SPOOLED)  # noqa: SIM115  # closed when it has been sent
    with source:
        source.seek(0)
        lines = io.TextIOWrapper(source, "utf-8-sig", newline="")
        sink = io.TextIOWrapper(target, "utf-8", newline="", write_through=True)
        try:
            rows = score_csv(
                predictor,
                lines,
                sink,
                text_column,
                max_characters=max_characters,
                deadline=deadline,
            )
        except UnicodeDecodeError as error:
            raise CsvError(f"the file is not UTF-8 text: {error}") from error
    sink.detach()
    target.seek(0)
    return target, rows


def _read_and_close(file: IO[bytes]) -> Any:
    with file:
        while part := file.read(1 << 16):
            yield part
