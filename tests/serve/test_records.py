"""The lines that the server writes on itself."""

from __future__ import annotations

import json
import logging
import re

import pytest

from mien.errors import InputError
from mien.serve.records import log_to_stderr

EXTRA = {"request_id": "ab12", "client": "192.0.2.7"}


def test_a_line_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr("text")
    logging.getLogger("mien.serve").info("GET /v1/models %d", 200, extra=EXTRA)
    line = capsys.readouterr().err
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO ab12 192\.0\.2\.7 GET /v1/models 200\n", line)


def test_a_line_for_programs_even_with_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr("json")
    try:
        raise ZeroDivisionError("no\nway")
    except ZeroDivisionError:
        logging.getLogger("mien.serve").exception("failed", extra=EXTRA)
    logging.getLogger("uvicorn.error").warning("something")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["level"], first["request_id"], first["client"], first["message"]) == (
        "ERROR", "ab12", "192.0.2.7", "failed")  # fmt: skip
    assert "ZeroDivisionError: no\nway" in first["failure"]
    assert (second["level"], second["request_id"], second["message"]) == ("WARNING", "-", "something")


def test_names_of_pictures_are_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr("text")
    logging.getLogger("mien.images").warning("secret.jpg: a JPEG without its end mark")
    assert capsys.readouterr().err == ""


def test_another_format() -> None:
    with pytest.raises(InputError, match="unknown log format 'xml'"):
        log_to_stderr("xml")
