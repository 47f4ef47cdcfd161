"""API: the application: recognition over HTTP, what the server knows of itself, and the page beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, TypeVar

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from mien.errors import InputError, suggestion
from mien.page.site import own_models
from mien.recognize.recognizer import Recognizer
from mien.report.words import AI_ACT
from mien.serve.access import Access
from mien.serve.answer import answer
from mien.serve.guard import Gate, Guard, client_of, until_gone
from mien.serve.limits import Limits
from mien.serve.openapi import RECOGNIZE_BODY, describe, problems
from mien.serve.page import not_this_method, page_or_nothing
from mien.serve.prometheus import CONTENT_TYPE, Metrics
from mien.serve.refusal import RefusedError
from mien.serve.schema import (
    HealthResponse,
    ModelOut,
    ModelsResponse,
    PictureOut,
    ReadyResponse,
    RecognizeResponse,
)
from mien.serve.swagger import swagger_routes
from mien.serve.upload import Upload, uploads_of
from mien.serve.workers import Place, Workers

T = TypeVar("T")
TITLE = "mien: facial emotion recognition"
_DESCRIPTION = (
    "Apparent expression of faces in pictures, with probabilities: what a tagger would probably say of one picture, "
    f"not what a person feels. {AI_ACT} No picture is kept."
)


def create_app(
    recognizers: Mapping[str, Recognizer],
    *,
    limits: Limits | None = None,
    threads: int = 1,
    access: Access | None = None,
    page_models: Mapping[str, bytes] | None = None,
) -> FastAPI:
    """The application for `recognizers` by name; the first is taken where a request names none.

    `threads`: pictures that are worked on at a time; open each recognizer with `threads=1`, or they get in each
    other's way. `access`: who may ask; everybody under a name of this machine if left out. `page_models`: ONNX files by
    name that the page offers before the bundled ones, so that everybody can download them. Its `state.workers` are
    to be told when the server stops. Raises `InputError` for wrong values.
    """
    if not recognizers:
        raise InputError("a server needs at least one model")
    limits, access = limits or Limits(), access or Access()
    workers = Workers(threads, limits.waiting)
    metrics = Metrics(inside=lambda: workers.inside)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        workers.close()

    app = FastAPI(
        title=TITLE,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=life,
        version="1",
        redirect_slashes=False,
    )
    app.state.workers = workers
    app.include_router(_recognition(recognizers, limits, workers, metrics))
    app.include_router(_state(recognizers, workers, metrics))
    app.include_router(swagger_routes())
    app.router.default = partial(page_or_nothing, own_models(page_models or {}))
    _answer_errors(app)
    app.openapi = partial(describe, app, access)  # type: ignore[method-assign]  # FastAPI's own way
    app.add_middleware(Gate, access=access, limits=limits, workers=workers)  # the last one added is the outermost
    app.add_middleware(Guard, access=access, metrics=metrics)
    return app


def _recognition(
    recognizers: Mapping[str, Recognizer], limits: Limits, workers: Workers, metrics: Metrics
) -> APIRouter:
    router = APIRouter()

    @router.post(
        "/v1/recognize",
        response_model=RecognizeResponse,
        responses=problems(
            "no_readable_picture", "wrong_token", "unknown_model", "slow_body", "large_body", "many_pictures",
            "wrong_type", "wrong_content", "busy", "too_slow",
        ),
        openapi_extra={"requestBody": RECOGNIZE_BODY},
        operation_id="recognize",
        summary="Recognize the faces of one or several pictures",
    )  # fmt: skip
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
            known = suggestion(name[:80], recognizers)
            raise RefusedError("unknown_model", f"unknown model '{name[:80]}'.{known} See: /v1/models")
        with workers.enter(client_of(request.scope)) as place:
            pictures = await _pictures(request, recognizers[name], limits, place)
        response = RecognizeResponse(model=name, images=pictures)
        metrics.answered(response)
        return response

    return router


async def _pictures(request: Request, recognizer: Recognizer, limits: Limits, place: Place) -> list[PictureOut]:
    """What is recognized in each picture of a request, within `limits.seconds` of now."""
    deadline = asyncio.get_running_loop().time() + limits.seconds
    try:
        async with asyncio.timeout_at(deadline):
            uploads = await _uploads(request, limits, place)
    except TimeoutError as error:
        raise RefusedError("slow_body", f"the body did not arrive within {limits.seconds} s") from error
    try:
        async with asyncio.timeout_at(deadline):
            pictures = await _unless_gone(request, _one_by_one(recognizer, uploads, limits, place))
    except TimeoutError as error:
        message = f"not done within {limits.seconds} s; send fewer or smaller pictures"
        raise RefusedError("too_slow", message) from error
    errors = [picture.error for picture in pictures if picture.error]
    if errors and len(errors) == len(pictures):
        raise RefusedError("no_readable_picture", "; ".join(errors))
    return pictures


async def _uploads(request: Request, limits: Limits, place: Place) -> list[Upload]:
    body = bytearray()  # not kept any longer, as `request.body()` would
    async for piece in request.stream():
        body += piece
    return await asyncio.wrap_future(place.run(partial(uploads_of, request.headers, body, limits.pictures)))


async def _one_by_one(
    recognizer: Recognizer, uploads: Sequence[Upload], limits: Limits, place: Place
) -> list[PictureOut]:
    """Each picture is a job of its own, so that others get their turn in between, and one is decoded at a time."""
    return [await asyncio.wrap_future(place.run(partial(answer, recognizer, upload, limits))) for upload in uploads]


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives; it is given up when the client goes away."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(until_gone(request.receive))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise RefusedError("client_gone", "the client went away")
    finally:
        for task in (working, gone):
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


def _state(recognizers: Mapping[str, Recognizer], workers: Workers, metrics: Metrics) -> APIRouter:
    router = APIRouter()

    @router.get(
        "/v1/models",
        responses=problems("wrong_token"),
        operation_id="list_models",
        summary="The models that are loaded",
    )
    def models() -> ModelsResponse:
        return ModelsResponse(models=[_model(name, recognizer) for name, recognizer in recognizers.items()])

    @router.get(
        "/healthz",
        responses=problems(),
        operation_id="health",
        summary="Whether the server answers at all; open without a token",
    )
    async def health() -> HealthResponse:  # on the event loop, which is what it tells of
        return HealthResponse()

    @router.get(
        "/readyz",
        responses=problems(),
        operation_id="ready",
        summary="Whether new requests are taken: not while the server stops; open without a token",
    )
    async def ready() -> ReadyResponse:
        workers.refuse_when_stopping()
        return ReadyResponse()

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problems("wrong_token")},
        operation_id="metrics",
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
        sets=recognizer.sets,
        recipe=card.recipe,
        license=card.license,
        use=card.use,
    )


def _answer_errors(app: FastAPI) -> None:
    @app.exception_handler(RefusedError)
    async def refused(_: Request, error: RefusedError) -> Response:
        return error.response()

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        assert error.status_code == 405, "the routes raise RefusedError; the router tells of methods alone"
        return not_this_method(request.method, (error.headers or {}).get("Allow", ""))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
        return RefusedError("wrong_content", told).response()
