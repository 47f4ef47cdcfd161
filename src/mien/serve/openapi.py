"""OpenAPI: the description of the API: every answer with its codes, the body of a recognition, servers and token."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from mien.serve.access import Access
from mien.serve.refusal import KINDS, PROBLEM_TYPE
from mien.serve.schema import Problem, RecognizeRequest
from mien.serve.upload import FIELD

_REF = "#/components/schemas/{model}"
_PROBLEM = {PROBLEM_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}}}
_ALWAYS = ("bad_request", "foreign_origin", "wrong_host", "failed", "stopping")  # may meet any request
_BINARY = {"schema": {"type": "string", "format": "binary"}}
RECOGNIZE_BODY = {
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


def problems(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The answers of a route that are no success, for FastAPI; those that any request may get are among them."""
    told: dict[int, list[str]] = {}
    for code in (*codes, *_ALWAYS):
        told.setdefault(KINDS[code][0], []).append(f"{KINDS[code][1]} (`{code}`).")
    answers: dict[int | str, dict[str, Any]] = {
        status: {"description": " ".join(told[status]), "content": _PROBLEM} for status in sorted(told)
    }
    answers[503]["headers"] = {
        "Retry-After": {"description": "Seconds after which to try again.", "schema": {"type": "integer"}}
    }
    return answers


def describe(app: FastAPI, access: Access) -> dict[str, Any]:
    """The document; made once."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            servers=[{"url": access.root_path or "/", "description": "This server."}],
        )
        parts = schema["components"]["schemas"]
        for name, model in (("RecognizeRequest", RecognizeRequest), ("Problem", Problem)):
            body = model.model_json_schema(ref_template=_REF)
            parts.update(body.pop("$defs", {}))
            parts[name] = body
        for unused in ("HTTPValidationError", "ValidationError"):  # FastAPI's own; wrong content is a problem, too
            parts.pop(unused, None)
        if access.token is not None:
            schema["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            schema["security"] = [{"token": []}]
            for path in ("/healthz", "/readyz"):
                schema["paths"][path]["get"]["security"] = []
        app.openapi_schema = schema
    return app.openapi_schema
