"""A page on paper, in a real browser: no table is cut at the edge."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mien.report.layout import Cell, Page, Section, Table, write_page

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PAPER = 688  # CSS pixels: A4 without its margins

pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt install chromium"), pytest.mark.slow]


def test_a_broad_table_fits_the_paper(tmp_path: Path) -> None:
    header = ("Model", *(f"Figure {i}, of test" for i in range(10)))
    row = (Cell("vit-v1.6.7-dinov2-small-112px"), *[Cell(".562 [.545, .578]", "test, n = 3,589")] * 10)
    file = write_page(Page("Wide", "", (Section("Results", tables=(Table(header, (row,)),)),)), tmp_path, "wide")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": PAPER, "height": 1000})
        page.goto(file.as_uri())
        width = "document.querySelector('table').getBoundingClientRect().right"
        assert page.evaluate(width) > PAPER  # on a screen it scrolls within its frame
        page.emulate_media(media="print")
        assert page.evaluate(width) <= PAPER
        browser.close()
