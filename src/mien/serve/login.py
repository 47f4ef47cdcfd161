"""Login: the form where a person gives the token to a browser, which keeps a cookie for it."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from mien.serve.guard import COOKIE, Token
from mien.serve.refusal import RefusedError

_HOURS = 12  # that a browser stays logged in
_SECONDS = 10  # for the form to arrive; anybody may send one
_FIELDS = 8  # of a form that is looked into
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>mien: log in</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; display: grid; place-items: center; min-height: 90vh; margin: 0;
  background: Canvas; color: CanvasText; color-scheme: light dark; }}
form {{ display: grid; gap: .8rem; width: min(22rem, 90vw); }} h1 {{ font-size: 1.6rem; margin: 0; }}
input, button {{ font: inherit; padding: .6rem .8rem; border-radius: .5rem; border: 1px solid GrayText; }}
button {{ background: #0072B2; color: #fff; border-color: #0072B2; cursor: pointer; }} .error {{ color: #D55E00; }}
</style></head><body><form method="post" action="/login"><h1>mien</h1>
<label for="token">This server wants its token.</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
{error}<button type="submit">Log in</button></form></body></html>"""
_WRONG = '<div class="error" role="alert">That is not the token.</div>'


def login_routes(token: Token) -> APIRouter:
    """`GET /login` shows the form, `POST /login` takes it and goes on to the page."""
    router = APIRouter(include_in_schema=False)

    @router.get("/login")
    def form() -> HTMLResponse:
        return HTMLResponse(_PAGE.format(error=""))

    @router.post("/login")
    async def enter(request: Request) -> Response:
        if not token.is_secret(_given(await _body(request))):
            return HTMLResponse(_PAGE.format(error=_WRONG), status_code=401)
        response = RedirectResponse("/", status_code=303)
        response.set_cookie(
            COOKIE, token.cookie, max_age=_HOURS * 3600, httponly=True, samesite="strict",
            secure=request.url.scheme == "https",
        )  # fmt: skip
        return response

    return router


async def _body(request: Request) -> bytes:
    """Whole; the guard takes care that it is short."""
    try:
        async with asyncio.timeout(_SECONDS):
            return await request.body()
    except TimeoutError as error:
        raise RefusedError(408, f"the body did not arrive within {_SECONDS} s") from error


def _given(body: bytes) -> str:
    """The token of a form; empty if it has none."""
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=_FIELDS)
    except ValueError:  # more fields than a form of ours has
        return ""
    return fields.get("token", [""])[0]
