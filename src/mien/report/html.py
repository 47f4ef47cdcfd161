"""Report pages: one self-contained HTML file, and the same in Markdown beside its pictures."""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from mien.files import write_whole
from mien.report.content import StudyReport
from mien.report.layout import Page
from mien.report.page import compose


def write_report(report: StudyReport, folder: Path) -> Path:
    """Write `folder/report.html`, `folder/report.md` and `folder/pictures/*.png`; return the path of the HTML.

    The HTML asks for nothing outside itself. Raises `InputError` when the report has no run, or a run without `val`.
    """
    return write_page(compose(report), folder)


def write_page(page: Page, folder: Path, name: str = "report") -> Path:
    """Write `folder/<name>.html`, `folder/<name>.md` and their pictures; return the path of the HTML.

    Pictures go to `folder/pictures`, those of a page that is not called report to a folder of its name in it.
    """
    if name != "report":
        page = page.with_pictures_in(f"pictures/{name}")
    environment = Environment(
        loader=PackageLoader("mien.report"),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["markdown"] = escape_markdown
    for picture in page.pictures:
        write_whole(folder / picture.file, picture.png)
    for ending in ("md", "html"):
        text = environment.get_template(f"report.{ending}.j2").render(page=page)
        write_whole(folder / f"{name}.{ending}", text)
    return folder / f"{name}.html"


def escape_markdown(text: str) -> str:
    r"""`text` on one line, so that GitHub shows it as it is: no markup, no tag, no link, no end of a table cell.

    >>> escape_markdown("a|b <i> __c__ .634 [.618, .650]")
    'a\\|b &lt;i&gt; \\_\\_c\\_\\_ .634 [.618, .650]'
    """
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"[\\`*_~|$]", r"\\\g<0>", line)
    return re.sub(r"\](?=[(\[:])", r"\]", line)  # brackets alone are no link
