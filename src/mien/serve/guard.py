"""Guard: stands before every request: the token, the size of the body, what a browser may do, and one log line.

The line has method, path, code and time, and no path that holds a name: what lies under the page is called `page`.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import logging
import secrets
import time
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.serve.limits import Limits
from mien.serve.prometheus import Metrics
from mien.serve.refusal import RefusedError
from mien.serve.upload_cache import UploadCache

COOKIE = "mien_session"
OPEN_PATHS = ("/healthz", "/login")  # answer without the token
API_PATHS = ("/healthz", "/login", "/metrics", "/openapi.json", "/docs", "/v1/models", "/v1/recognize")
UPLOAD_PATH = "/gradio_api/upload"
_UPLOADS = 4  # of the largest size may lie in the cache when another one comes
_LOGIN_BYTES = 4096  # of a form that anybody may send
# What the page needs of Gradio. The rest fetches from elsewhere, runs programs, or shows what others do.
_PAGE = "/gradio_api/"
_PAGE_PARTS = (
    "app_id", "cancel", "file=", "heartbeat/", "info", "queue/data", "queue/join", "reset", "startup-events",
    "stream/", "theme.css", "upload",
)  # fmt: skip
_CLOSED = (f"{_PAGE}file=http", "/monitoring")
# Even if a library's page tried to, the browser would load and send nothing elsewhere.
_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_log = logging.getLogger("mien.serve")


class Token:
    """The secret of this server, and the cookie that stands for it in a browser until the server ends."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self.cookie = hmac.new(secrets.token_bytes(32), self._secret, hashlib.sha256).hexdigest()

    def is_secret(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self._secret)

    def admits(self, headers: Headers) -> bool:
        """Whether a request bears the token, or the cookie."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_secret(given.strip()):
            return True
        return secrets.compare_digest(_cookie(headers).encode(), self.cookie.encode())


class _BrokenOffError(Exception):
    """Ends the reading of a body within the application; the guard answers."""


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(
        self, app: ASGIApp, limits: Limits, metrics: Metrics, token: Token | None, cache: UploadCache | None
    ) -> None:
        self._app, self._limits, self._metrics, self._token, self._cache = app, limits, metrics, token, cache

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            exchange = _Exchange(scope, receive, send, self._limits, self._cache)
            try:
                refusal = exchange.refusal(self._token)
                await (exchange.run(self._app) if refusal is None else exchange.refuse(refusal))
            finally:
                exchange.record(self._metrics)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # nothing here uses them
        else:
            await self._app(scope, receive, send)


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: Limits, cache: UploadCache | None) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._path: str = scope["path"]
        self._headers = Headers(scope=scope)
        self._start = time.monotonic()
        self._status = 0  # of the answer, once it has begun
        self._cache = cache if self._path == UPLOAD_PATH else None
        self._most = _most_bytes(self._path, limits)
        self._left = self._most  # bytes that the body may still have
        self._arrived = False  # the whole body
        self._broken: RefusedError | None = None  # why the body is read no further

    def refusal(self, token: Token | None) -> RefusedError | None:
        """Why the request does not even reach the application."""
        if token is not None and self._path not in OPEN_PATHS and not token.admits(self._headers):
            return RefusedError(401, "this server wants its token: send the header 'Authorization: Bearer TOKEN'")
        # A page of somebody else's in the same browser may send things here, though it cannot read the answer.
        if self._headers.get("sec-fetch-site") == "cross-site" and self._scope["method"] not in ("GET", "HEAD"):
            return RefusedError(403, "sent by a page of another site; only this server's own page may")
        part = self._path.removeprefix(_PAGE)
        if self._path.startswith(_CLOSED) or (part != self._path and not part.startswith(_PAGE_PARTS)):
            return RefusedError(404, "this part of the page is closed")
        length = self._headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length) > self._most:
            return _too_large(self._most)
        if self._cache is not None and self._cache.size() > _UPLOADS * self._most:
            return _full()
        return None

    async def run(self, app: ASGIApp) -> None:
        with contextlib.suppress(_BrokenOffError):
            await app(self._scope, self._counted, self._answer)
        if self._broken is not None and not self._status:
            await self.refuse(self._broken)

    async def _counted(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._count(len(message.get("body", b"")))
            self._arrived = not message.get("more_body", False)
        elif not self._arrived and not self._status:
            self._broken = RefusedError(499, "the client went away")  # nobody reads it; 499 is what nginx logs for it
        if self._broken is not None:
            raise _BrokenOffError
        return message

    def _count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            self._broken = _too_large(self._most)
        # Many may have come in while there was room for one: what they bring counts as it comes.
        elif self._cache is not None and self._cache.grow(size) > (_UPLOADS + 1) * self._most:
            self._broken = _full()

    async def _answer(self, message: Message) -> None:
        if self._broken is not None and not self._status:
            return  # what the application makes of the broken body; the guard answers after it
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            if self._path.startswith(("/v1/", "/gradio_api/file")):
                headers["Cache-Control"] = "no-store"
        await self._send(message)

    async def refuse(self, refusal: RefusedError) -> None:
        self._broken = None  # this is the answer
        reading = self._scope["method"] == "GET" and "text/html" in self._headers.get("accept", "")
        if refusal.status == 401 and reading:  # a person with a browser
            await self._whole(303, {"Location": "/login"}, b"")
            return
        body = json.dumps({"error": str(refusal)}).encode()
        await self._whole(refusal.status, {**refusal.headers, "Content-Type": "application/json"}, body)

    async def _whole(self, status: int, headers: dict[str, str], body: bytes) -> None:
        # The body of the request may not have been read, so the connection cannot serve another one.
        told = {**headers, "Content-Length": str(len(body)), "Connection": "close"}
        raw = [(name.lower().encode(), value.encode()) for name, value in told.items()]
        await self._answer({"type": "http.response.start", "status": status, "headers": raw})
        await self._answer({"type": "http.response.body", "body": body})

    def record(self, metrics: Metrics) -> None:
        seconds = time.monotonic() - self._start
        shown = self._path if self._path in API_PATHS else "page"
        method = self._scope["method"] if self._scope["method"] in ("GET", "HEAD", "POST") else "OTHER"
        metrics.request(shown, self._status or 500, seconds)
        level = logging.DEBUG if shown == "page" and self._status < 400 else logging.INFO
        _log.log(level, "%s %s %d %.0f ms", method, shown, self._status or 500, 1000 * seconds)


def _most_bytes(path: str, limits: Limits) -> int:
    """That the body of a request to `path` may have."""
    if path == "/login":
        return _LOGIN_BYTES
    return limits.video_bytes if path == UPLOAD_PATH else limits.request_bytes


def _full() -> RefusedError:
    return RefusedError(503, "too many uploads lie here; they are removed soon", retry_after=60)


def _too_large(most: int) -> RefusedError:
    return RefusedError(413, f"the body is larger than {most:,} bytes; send fewer or smaller files")


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""
