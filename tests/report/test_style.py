"""A picture is the same under any settings, and is written whole."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import matplotlib
from PIL import Image

from mien.report import style
from mien.report.content import StudyReport
from mien.report.curves import curves


def test_save_writes_the_same_png_under_any_settings(tmp_path: Path, report: StudyReport) -> None:
    style.save(curves(report.runs[0].history, "run", 3), tmp_path / "new" / "curves.png")
    with matplotlib.rc_context({"font.size": 30, "text.color": "red"}):
        before = dict(matplotlib.rcParams)
        again = style.png_bytes(curves(report.runs[0].history, "run", 3))
        assert dict(matplotlib.rcParams) == before
    written = (tmp_path / "new" / "curves.png").read_bytes()
    assert written == again
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["curves.png"]
    assert Image.open(BytesIO(written)).width > 6 * style.DPI
