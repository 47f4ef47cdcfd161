"""Docs page: a page of figures as one file of the documentation, beside the folder of its numbers and pictures."""

from __future__ import annotations

from pathlib import Path

from mien.files import write_whole
from mien.report.layout import Page, write_page


def write_docs_page(page: Page, folder: Path) -> None:
    """Write `page` as `FOLDER.md`, its pictures into `folder`; the site is made of Markdown, so no HTML is left."""
    html = write_page(page, folder)
    markdown = html.with_suffix(".md")
    text = markdown.read_text(encoding="utf-8").replace("(pictures/", f"({folder.name}/pictures/")
    write_whole(folder.with_suffix(".md"), text)
    html.unlink()
    markdown.unlink()
