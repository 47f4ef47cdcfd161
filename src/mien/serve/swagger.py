"""Swagger: the page that shows the API and tries it out, from files in the package, so that it works offline."""

from __future__ import annotations

from functools import partial
from importlib import resources

from fastapi import APIRouter
from starlette.responses import Response

_PAGE = "docs.html"
_FILES = {"docs.js": "text/javascript", "swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
_HEADERS = {
    # Swagger UI writes styles into its page, and has its pictures within itself.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "max-age=86400",
}


def swagger_routes() -> APIRouter:
    """`GET /docs` and its files. All addresses in them are relative, so that a prefix changes nothing."""
    router = APIRouter(include_in_schema=False)

    @router.get("/docs")
    def docs() -> Response:
        return Response(_content(_PAGE), media_type="text/html", headers={**_HEADERS, "Cache-Control": "no-cache"})

    for name, kind in _FILES.items():
        router.add_api_route(f"/docs/{name}", partial(_file, name, kind), methods=["GET"])
    return router


def _file(name: str, kind: str) -> Response:
    return Response(_content(name), media_type=kind, headers=_HEADERS)


def _content(name: str) -> bytes:
    return (resources.files("mien.serve") / "static" / name).read_bytes()
