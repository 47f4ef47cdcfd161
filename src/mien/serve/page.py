"""Page: the files for browsers as answers, and what is said of paths that lead nowhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import PurePosixPath

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from mien.page.files import PageFile, as_page_file, page_file
from mien.serve.guard import path_of
from mien.serve.refusal import RefusedError

_PIECE = 2**16  # bytes at a time: the next ones wait until the client has taken these


async def page_or_nothing(own: Mapping[str, bytes], scope: Scope, receive: Receive, send: Send) -> None:
    """The application for every path that is none of the API's; `own`: path and content of files beside the page's."""
    if scope["type"] != "http":  # a websocket; nothing here uses them
        await send({"type": "websocket.close", "code": 1008})
        return
    response = await _response(Request(scope), own)
    await response(scope, receive, send)


async def _response(request: Request, own: Mapping[str, bytes]) -> Response:
    path = path_of(request.scope)
    root = request.scope.get("root_path", "")
    if root and path == root:
        return RedirectResponse(f"{root}/", 308)  # else the links of the page would lead elsewhere
    packed = "gzip" in request.headers.get("accept-encoding", "")
    added = own.get(path.removeprefix("/"))
    if added is None:
        file = await run_in_threadpool(page_file, path, packed=packed)
    else:
        file = await run_in_threadpool(as_page_file, added, PurePosixPath(path).suffix, packed=packed)
    if file is None:
        return RefusedError("unknown_path", f"no such path. See: {root}/docs").response()
    if request.method != "GET":
        return not_this_method(request.method, "GET")
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=file.headers)
    return StreamingResponse(_pieces(file), headers={**file.headers, "Content-Length": str(len(file.content))})


def not_this_method(method: str, allowed: str) -> Response:
    """405; to OPTIONS, the answer that it asks for. `allowed`: the methods of the path, as the router tells them."""
    methods = {one.strip() for one in allowed.split(",")} | {"OPTIONS"}
    if "GET" in methods:
        methods.add("HEAD")
    told = ", ".join(sorted(methods))
    if method == "OPTIONS":
        return Response(status_code=204, headers={"Allow": told})
    refusal = RefusedError("wrong_method", f"{method[:20]} is not for this path; it takes {told}").response()
    refusal.headers["Allow"] = told
    return refusal


async def _pieces(file: PageFile) -> AsyncIterator[bytes]:
    for start in range(0, len(file.content), _PIECE):
        yield file.content[start : start + _PIECE]
