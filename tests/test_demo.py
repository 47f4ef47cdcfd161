"""The demo runs to its end on any data: `make demo` is one of the two commands of the README."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

DEMO = Path(__file__).parents[1] / "examples" / "demo.py"


def test_demo(
    drawn_zip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(DEMO))["main"](str(drawn_zip))
    said = capsys.readouterr().out
    assert "report:  runs/demo-drawn-" in said
    assert len(list(tmp_path.glob("runs/demo-*/report.html"))) == 1
    assert len(list(tmp_path.glob("runs/demo-*/face.png"))) == 1
