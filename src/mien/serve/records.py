"""Records: the lines that the server writes on itself, for people or as JSON: time, level, request and client.

No line has the name of a file, a path that the client chose, or a pixel.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from mien.errors import unknown_name

FORMATS = ("text", "json")
_OURS = ("mien", "uvicorn.error", "asyncio")


def log_to_stderr(form: str) -> None:
    """Write what the server and its libraries log to standard error. `form`: text or json; else `InputError`."""
    if form not in FORMATS:
        raise unknown_name("log format", form, FORMATS)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    for name in _OURS:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO if name == "mien" else logging.WARNING)
    logging.getLogger("mien.images").setLevel(logging.ERROR)  # its warnings name the picture


class _Text(logging.Formatter):
    """`2026-11-27T17:00:00.000Z INFO 4f1c… 127.0.0.1 POST /v1/recognize 200 35 ms`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record)
        failure = fields.pop("failure", None)
        line = " ".join(fields.values())
        return f"{line}\n{failure}" if failure else line


class _Json(logging.Formatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(_fields(record))


def _fields(record: logging.LogRecord) -> dict[str, str]:
    time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    fields = {
        "time": time,
        "level": record.levelname,
        "request_id": getattr(record, "request_id", "-"),
        "client": getattr(record, "client", "-"),
        "message": record.getMessage(),
    }
    if record.exc_info:
        fields["failure"] = logging.Formatter().formatException(record.exc_info)
    return fields
