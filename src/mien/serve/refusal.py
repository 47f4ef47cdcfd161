"""Refusal: why a request gets no answer, by a code for programs, and how that is sent (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse, Response

from mien.errors import MienError

PROBLEM_TYPE = "application/problem+json"
_GONE = 499  # what nginx writes into its log for it; nobody reads the answer
KINDS: dict[str, tuple[int, str]] = {  # status and title by code
    "bad_request": (400, "This is no HTTP request"),
    "no_readable_picture": (400, "No picture can be read"),
    "wrong_token": (401, "The token is missing or wrong"),
    "foreign_origin": (403, "A page of another site may not ask here"),
    "unknown_path": (404, "There is no such path"),
    "unknown_model": (404, "There is no such model"),
    "wrong_method": (405, "The path takes other methods"),
    "slow_body": (408, "The body came too slowly"),
    "large_body": (413, "The body is too large"),
    "many_pictures": (413, "There are too many pictures in one request"),
    "wrong_type": (415, "The body is of another type"),
    "wrong_host": (421, "This server does not have that name"),
    "wrong_content": (422, "The content is not what it should be"),
    "client_gone": (_GONE, "The client went away"),
    "failed": (500, "The server failed"),
    "busy": (503, "All places are taken"),
    "stopping": (503, "The server is about to stop"),
    "too_slow": (504, "The answer was not ready in time"),
}


class RefusedError(MienError):
    """`code` is one of `KINDS`. `retry_after`: seconds after which to try again."""

    def __init__(self, code: str, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.code, self.retry_after = code, retry_after

    @property
    def status(self) -> int:
        return KINDS[self.code][0]

    def response(self) -> Response:
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return problem(self.code, str(self), headers)


def problem(code: str, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """The answer for `code`, one of `KINDS`; `detail` says what is wrong with this request, and the next step."""
    return JSONResponse(problem_fields(code, detail), KINDS[code][0], headers, PROBLEM_TYPE)


def problem_fields(code: str, detail: str) -> dict[str, Any]:
    """The members of a problem as RFC 9457 names them, and `code`."""
    status, title = KINDS[code]
    return {"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code}
