"""Guard: stands before every request: what it may be, how large, and who asks; and writes the one line on it.

Outer and inner part lie around what lets pages of other sites in (CORS): such a page has to read refusals, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.page.files import is_page_path
from mien.serve.access import Access, Failures
from mien.serve.limits import Limits
from mien.serve.prometheus import Metrics
from mien.serve.refusal import RefusedError
from mien.serve.workers import Workers

STATE_PATHS = ("/healthz", "/readyz")  # answer while the server stops, too
OPEN_PATHS = (*STATE_PATHS, "/docs", "/openapi.json")  # answer without the token
API_PATHS = (*OPEN_PATHS, "/metrics", "/v1/models", "/v1/recognize")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_log = logging.getLogger("mien.serve")


def path_of(scope: Scope) -> str:
    """The path below the prefix of a proxy, whether that leaves the prefix in it or not."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


def client_of(scope: Scope) -> str:
    """The address that a request comes from."""
    return str(scope["client"][0]) if scope.get("client") else "unknown"


def record_fields(scope: Scope) -> dict[str, str]:
    """What every line of the log says of its request."""
    return {"request_id": scope.get("state", {}).get("request_id", "-"), "client": client_of(scope)}


class Guard:
    """The outer part, ASGI middleware: host, origin, headers of answers, failures, and the log."""

    def __init__(self, app: ASGIApp, access: Access, metrics: Metrics) -> None:
        self._access, self._metrics = access, metrics
        self._app = app
        if access.cors_origins:
            self._app = CORSMiddleware(
                app,
                allow_origins=access.cors_origins,
                allow_methods=("GET", "POST"),
                allow_headers=("Authorization", "Content-Type"),
                expose_headers=("Retry-After", "X-Request-ID"),
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        exchange = _Exchange({**scope, "root_path": self._access.root_path}, headers, send)
        try:
            await self._answer(exchange.scope, headers, receive, exchange.send)
        except Exception:
            _log.exception("failed", extra=record_fields(exchange.scope))
            if not exchange.status:
                failed = RefusedError("failed", "the server failed on this request; its log says why")
                await failed.response()(exchange.scope, receive, exchange.send)
        finally:
            exchange.record(self._metrics)

    async def _answer(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        bound = str(scope["server"][0]) if scope.get("server") else ""
        if not self._access.knows_host(headers, bound):
            refusal = RefusedError("wrong_host", "unknown name in the header Host; start with --allowed-host NAME")
        elif not self._access.admits_origin(headers):
            refusal = RefusedError("foreign_origin", "sent by a page of another site; start with --cors-origin ORIGIN")
        else:
            await self._app(scope, receive, send)
            return
        response = refusal.response()
        response.headers["Connection"] = "close"  # the body has not been read, so the connection can serve no other
        await response(scope, receive, send)


class _Exchange:
    """One request and its answer, as the log and the metrics tell of it."""

    def __init__(self, scope: Scope, headers: Headers, send: Send) -> None:
        given = headers.get("x-request-id", "")
        self.request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        self.method: str = scope["method"]
        # What answers GET answers HEAD; the server itself leaves the body out.
        method = "GET" if self.method == "HEAD" else self.method
        self.scope = {**scope, "method": method, "state": {**scope.get("state", {}), "request_id": self.request_id}}
        self.status = 0  # of the answer, once it has begun
        self._path = path_of(scope)
        self._send = send
        self._start = time.monotonic()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self.request_id
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            if self._path.startswith("/v1/"):
                headers["Cache-Control"] = "no-store"
        await self._send(message)

    def record(self, metrics: Metrics) -> None:
        seconds, status = time.monotonic() - self._start, self.status or 500
        shown = self._path if self._path in API_PATHS else "page"  # no path that holds a name, and a few of them in all
        method = self.method if self.method in ("GET", "HEAD", "POST", "OPTIONS") else "OTHER"
        metrics.request(shown, status, seconds)
        level = logging.DEBUG if shown in ("page", *STATE_PATHS) and status < 400 else logging.INFO
        line = "%s %s %d %.0f ms"
        _log.log(level, line, method, shown, status, 1000 * seconds, extra=record_fields(self.scope))


class _BrokenOffError(Exception):
    """Ends the reading of a body within the application; the gate answers."""


class Gate:
    """The inner part, ASGI middleware: the token, a server that stops, and the size of the body."""

    def __init__(self, app: ASGIApp, access: Access, limits: Limits, workers: Workers) -> None:
        self._app, self._access, self._limits, self._workers = app, access, limits, workers
        self._failures = Failures()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(receive, send, self._limits.request_bytes, Headers(scope=scope))
        try:
            if path_of(scope) not in STATE_PATHS:
                self._workers.refuse_when_stopping()
            await self._check_token(scope, receive)
            body.check_told_size()
            with contextlib.suppress(_BrokenOffError):
                await self._app(scope, body.receive, body.send)
            if body.broken is not None and not body.answered:
                raise body.broken
        except RefusedError as refusal:
            await refusal.response()(scope, receive, body.refuse)

    async def _check_token(self, scope: Scope, receive: Receive) -> None:
        headers = Headers(scope=scope)
        if self._access.admits_token(headers) or _is_open(scope):
            return
        if "authorization" in headers:
            wait = self._failures.add(client_of(scope))
            _log.warning("wrong token; answered after %.1f s", wait, extra=record_fields(scope))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await until_gone(receive)
        raise RefusedError("wrong_token", "this server wants its token: send the header 'Authorization: Bearer TOKEN'")


class _Body:
    """The body of a request as it arrives, and the beginning of the answer."""

    def __init__(self, receive: Receive, send: Send, most: int, headers: Headers) -> None:
        self._receive, self._send, self._most = receive, send, most
        self._told = headers.get("content-length", "")
        self._left = most  # bytes that it may still have
        self._arrived = self._told in ("", "0") and "transfer-encoding" not in headers
        self.answered = False
        self.broken: RefusedError | None = None  # why it is read no further

    def check_told_size(self) -> None:
        if self._told.isascii() and self._told.isdigit() and int(self._told[:20]) > self._most:
            raise self._too_large()

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            self._arrived = not message.get("more_body", False)
            if self._left < 0:
                self.broken = self._too_large()
        elif not self._arrived and not self.answered:
            self.broken = RefusedError("client_gone", "the client went away")
        if self.broken is not None:
            raise _BrokenOffError
        return message

    async def send(self, message: Message) -> None:
        if self.broken is None or self.answered:  # else it is what the application makes of the broken body
            await self.refuse(message)

    async def refuse(self, message: Message) -> None:
        self.answered = True
        if message["type"] == "http.response.start" and not self._arrived:
            # The rest of the body may never come, so the connection cannot serve another request.
            MutableHeaders(scope=message)["Connection"] = "close"
        await self._send(message)

    def _too_large(self) -> RefusedError:
        return RefusedError("large_body", f"the body is larger than {self._most:,} bytes; send fewer or smaller files")


async def until_gone(receive: Receive) -> None:
    """Return when the client has gone away; what it still sends is thrown away."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _is_open(scope: Scope) -> bool:
    """Whether a request needs no token: how the server is, what it can do, and the page, which asks it nothing."""
    path = path_of(scope)
    return path in OPEN_PATHS or path.startswith("/docs/") or (scope["method"] == "GET" and is_page_path(path))
