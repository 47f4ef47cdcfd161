"""Places: which failures are waited out, and which are told."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest

from mien import InputError
from mien.scale import places


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_WAIT_S", 0.0)


def failing(*errors: Exception) -> tuple[list[int], object]:
    """What raises these one after another, and then answers; and how often it was asked."""
    asked: list[int] = []

    def ask() -> str:
        asked.append(1)
        if len(asked) <= len(errors):
            raise errors[len(asked) - 1]
        return "answer"

    return asked, ask


@pytest.mark.parametrize(
    "error", [ConnectionResetError(104, "reset"), http.client.IncompleteRead(b"half"), TimeoutError(), OSError("503")]
)
def test_what_may_pass_is_asked_again(error: Exception) -> None:
    asked, ask = failing(error, error)
    assert places.patient("https://example.org/photo403.jpg", ask) == "answer"
    assert len(asked) == 3


def test_a_number_in_a_name_is_no_refusal() -> None:
    _, ask = failing(*[OSError("photo403.jpg: connection lost")] * 10)
    with pytest.raises(InputError, match=r"does not answer, asked 7 times \(photo403.jpg: connection lost\)"):
        places.patient("https://example.org/photo403.jpg", ask)


def test_a_refusal_is_told_at_once() -> None:
    asked, ask = failing(PermissionError(13, "AWS Error ACCESS_DENIED"))
    with pytest.raises(InputError, match="access is refused"):
        places.patient("s3://bucket/x", ask)
    assert len(asked) == 1


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    places.write(str(tmp_path / "new" / "x"), b"abc")
    assert places.content(str(tmp_path / "new" / "x")) == b"abc"
    assert places.names_in(str(tmp_path / "new")) == ["x"]
    assert places.names_in(str(tmp_path / "none")) == []
    with pytest.raises(InputError, match="cannot be written"):
        places.write(str(tmp_path / "new" / "x" / "y"), b"")


def test_a_scheme_that_nobody_knows_is_told() -> None:
    with pytest.raises(InputError, match="no file system for it is installed"):
        places.content("nosuch://bucket/x")
