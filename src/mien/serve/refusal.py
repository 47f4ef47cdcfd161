"""Refusal: why a request gets no answer, with the code of HTTP that says so."""

from __future__ import annotations

from mien.errors import MienError


class RefusedError(MienError):
    """The message goes to the client as `{"error": …}`. `retry_after`: seconds after which to try again."""

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after

    @property
    def headers(self) -> dict[str, str]:
        if self.status == 401:
            return {"WWW-Authenticate": "Bearer"}
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
