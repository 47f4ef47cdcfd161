"""API: the application: recognition over HTTP, what the server knows of itself, and the page mounted beside it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import Any

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from mien.errors import InputError, suggestion
from mien.recognize.recognizer import Recognizer
from mien.report.words import AI_ACT
from mien.serve.answer import answer, too_slow
from mien.serve.guard import Guard, Token
from mien.serve.limits import Limits
from mien.serve.login import login_routes
from mien.serve.prometheus import CONTENT_TYPE, Metrics
from mien.serve.refusal import RefusedError
from mien.serve.schema import (
    ErrorResponse,
    HealthResponse,
    ModelOut,
    ModelsResponse,
    RecognizeRequest,
    RecognizeResponse,
)
from mien.serve.swagger import swagger_routes
from mien.serve.upload import FIELD, read_uploads
from mien.serve.upload_cache import UploadCache
from mien.serve.workers import Workers

TITLE = "mien: facial emotion recognition"
SHORTEST_TOKEN = 8  # characters
_DESCRIPTION = (
    "Apparent expression of faces in pictures, with probabilities: what a tagger would probably say of one picture, "
    f"not what a person feels. {AI_ACT} No picture is kept."
)
_REASONS = {
    400: "No picture can be read.",
    401: "The token is missing or wrong.",
    404: "No such model.",
    408: "The body came too slowly.",
    413: "The body is too large, or holds too many pictures.",
    415: "Another kind of content.",
    422: "The content is not what its header says.",
    503: "All places are taken; `Retry-After` says when to come back.",
    504: "Not done in time.",
}
_REF = "#/components/schemas/{model}"
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {FIELD: {"type": "array", "minItems": 1, "items": _BINARY["schema"]}},
                "required": [FIELD],
                "additionalProperties": False,
            }
        },
        "application/json": {"schema": {"$ref": _REF.format(model="RecognizeRequest")}},
        "image/jpeg": _BINARY,
        "image/png": _BINARY,
        "image/webp": _BINARY,
    },
}


def create_app(
    recognizers: Mapping[str, Recognizer],
    *,
    limits: Limits | None = None,
    threads: int = 1,
    token: str | None = None,
    page: bool = False,
) -> FastAPI:
    """The application for `recognizers` by name; the first is taken where a request names none.

    `threads`: requests that are worked on at a time; open each recognizer with `threads=1`, or they get in each
    other's way. `token`: what clients have to show, at least 8 characters of ASCII. `page`: mount the page for people
    on `/`, which sets environment variables of Gradio, so one in a process. Raises `InputError` for wrong values.
    """
    if not recognizers:
        raise InputError("a server needs at least one model")
    if token is not None:
        _check_token(token)
    limits = limits or Limits()
    workers = Workers(threads, limits.waiting)
    metrics = Metrics(inside=lambda: workers.inside)
    secret = None if token is None else Token(token)

    cache = UploadCache() if page else None

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        async with cache.kept_empty() if cache else nullcontext():
            yield
        workers.close()

    app = FastAPI(title=TITLE, description=_DESCRIPTION, docs_url=None, redoc_url=None, lifespan=life, version="1")
    app.include_router(_recognition(recognizers, limits, workers, metrics))
    app.include_router(_state(recognizers, metrics))
    app.include_router(swagger_routes(TITLE, "/openapi.json"))
    if secret is not None:
        app.include_router(login_routes(secret))
    app.add_api_route("/v1/{rest:path}", partial(_elsewhere, app), methods=_METHODS, include_in_schema=False)
    _answer_errors(app)
    app.openapi = partial(_openapi, app, secured=secret is not None)  # type: ignore[method-assign]  # FastAPI's own way
    if cache is not None:
        from mien.serve.browser import mount_page

        mount_page(app, recognizers, limits, workers, cache)
    app.add_middleware(Guard, limits=limits, metrics=metrics, token=secret, cache=cache)
    return app


def _check_token(token: str) -> None:
    if len(token) < SHORTEST_TOKEN:
        raise InputError(f"a token of {len(token)} characters can be guessed: take {SHORTEST_TOKEN} or more")
    if not token.isascii() or not token.isprintable() or token != token.strip():
        raise InputError(
            "no client could send this token in a header: take letters, digits and signs of ASCII, and no space at its "
            "ends"
        )


_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def _recognition(
    recognizers: Mapping[str, Recognizer], limits: Limits, workers: Workers, metrics: Metrics
) -> APIRouter:
    router = APIRouter()

    @router.post(
        "/v1/recognize",
        response_model=RecognizeResponse,
        responses=_refusals(*_REASONS),
        openapi_extra={"requestBody": _BODY},
        summary="Recognize the faces of one or several pictures",
    )
    async def recognize(
        request: Request,
        model: str | None = Query(default=None, description="One of /v1/models; the first if left out."),
    ) -> RecognizeResponse:
        """Pictures come as files of a form, in base64 within JSON, or one as the whole body.

        A picture without a face has an empty list. One that cannot be read has `error`; if that is so of all of them,
        the code is 400. Of a picture with very many faces the largest are told, and `more_faces` counts the others.
        """
        name = next(iter(recognizers)) if model is None else model
        if name not in recognizers:
            raise RefusedError(404, f"unknown model '{name[:80]}'.{suggestion(name, recognizers)} See: /v1/models")
        deadline = time.monotonic() + limits.seconds
        with workers.enter() as place:
            try:
                async with asyncio.timeout(limits.seconds):
                    uploads = await read_uploads(request, limits.pictures)
            except TimeoutError as error:
                raise RefusedError(408, f"the body did not arrive within {limits.seconds} s") from error
            job = place.run(partial(answer, recognizers[name], name, uploads, limits, deadline))
            try:
                response = await asyncio.wait_for(asyncio.wrap_future(job), max(0, deadline - time.monotonic()))
            except TimeoutError as error:
                raise too_slow(limits) from error
        metrics.answered(response)
        return response

    return router


def _state(recognizers: Mapping[str, Recognizer], metrics: Metrics) -> APIRouter:
    router = APIRouter()

    @router.get("/v1/models", responses=_refusals(401), summary="The models that are loaded")
    def models() -> ModelsResponse:
        return ModelsResponse(models=[_model(name, recognizer) for name, recognizer in recognizers.items()])

    @router.get("/healthz", summary="Whether the server answers; open without a token")
    def health() -> HealthResponse:
        return HealthResponse()

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **_refusals(401)},
        summary="Counters for Prometheus",
    )
    def prometheus() -> Response:
        return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    return router


def _model(name: str, recognizer: Recognizer) -> ModelOut:
    card = recognizer.card
    return ModelOut(
        name=name,
        labels=list(recognizer.labels),
        truth=recognizer.truth,
        parameters=card.parameters,
        threshold=recognizer.threshold,
        recipe=card.recipe,
        license=card.license,
        use=card.use,
    )


def _refusals(*codes: int) -> dict[int | str, dict[str, Any]]:
    return {code: {"model": ErrorResponse, "description": _REASONS[code]} for code in codes}


def _elsewhere(app: FastAPI, request: Request) -> Response:
    """Every other method and path of the API; else the page, which lies under all paths, would answer for it."""
    known = app.openapi()["paths"].get(request.url.path, {})
    if known:
        allowed = ", ".join(sorted(method.upper() for method in known))
        return _error(405, f"{request.method} is not for this path; it takes {allowed}", {"Allow": allowed})
    return _error(404, "no such path. See: /docs")


def _answer_errors(app: FastAPI) -> None:
    @app.exception_handler(RefusedError)
    async def refused(_: Request, error: RefusedError) -> Response:
        return _error(error.status, str(error), error.headers)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        return _error(error.status_code, str(error.detail), dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
        return _error(422, told)

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> Response:
        return _error(500, "the server failed on this request; its log says why")


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": message}, status, headers)


def _openapi(app: FastAPI, *, secured: bool) -> dict[str, Any]:
    """The schema, with the body of /v1/recognize, which the routes do not declare because they read it themselves."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        body = RecognizeRequest.model_json_schema(ref_template=_REF)
        parts = schema["components"]["schemas"]
        parts.update(body.pop("$defs", {}))
        parts["RecognizeRequest"] = body
        if secured:
            schema["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            schema["security"] = [{"token": []}]
            schema["paths"]["/healthz"]["get"]["security"] = []
        app.openapi_schema = schema
    return app.openapi_schema
