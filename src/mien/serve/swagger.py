"""Swagger: the page that shows the API and tries it out, from files in the package, so that it works offline."""

from __future__ import annotations

from importlib import resources

from fastapi import APIRouter, HTTPException
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse, Response

_FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
_NO_ICON = "data:,"  # the default one lies elsewhere


def swagger_routes(title: str, openapi_url: str) -> APIRouter:
    """`GET /docs` and its files."""
    router = APIRouter(include_in_schema=False)

    @router.get("/docs")
    def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=openapi_url,
            title=title,
            swagger_js_url="/docs/swagger-ui-bundle.js",
            swagger_css_url="/docs/swagger-ui.css",
            swagger_favicon_url=_NO_ICON,
            # Without this, Swagger UI sends the address of the schema to validator.swagger.io.
            swagger_ui_parameters={"validatorUrl": None},
        )

    @router.get("/docs/{name}")
    def file(name: str) -> Response:
        if name not in _FILES:
            raise HTTPException(404, "no such file")
        content = (resources.files("mien.serve") / "static" / name).read_bytes()
        return Response(content, media_type=_FILES[name], headers={"Cache-Control": "max-age=86400"})

    return router
