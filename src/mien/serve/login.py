"""Login: the form where a person gives the token to a browser, which keeps a cookie for it."""

from __future__ import annotations

from urllib.parse import parse_qs

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from mien.serve.guard import COOKIE, Token

_HOURS = 12  # that a browser stays logged in
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
        fields = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=8)
        if not token.is_secret(fields.get("token", [""])[0]):
            return HTMLResponse(_PAGE.format(error=_WRONG), status_code=401)
        response = RedirectResponse("/", status_code=303)
        response.set_cookie(
            COOKIE, token.cookie, max_age=_HOURS * 3600, httponly=True, samesite="strict",
            secure=request.url.scheme == "https",
        )  # fmt: skip
        return response

    return router
