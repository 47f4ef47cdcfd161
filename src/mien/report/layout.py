"""Layout: what a page is made of, and how it becomes one self-contained HTML file and Markdown beside its pictures."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from mien.errors import InputError
from mien.files import write_whole
from mien.outputs import PAGE, PICTURE, check_ours, check_output
from mien.report import style

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True)
class Cell:
    """A figure or a word, and what qualifies it, set smaller."""

    text: str
    detail: str = ""
    span: int = 1  # columns that it fills
    link: str = ""  # where the text leads: a file beside the page, or a place in one


@dataclass(frozen=True)
class Table:
    """The spans of every row add up to the columns of the header."""

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            assert sum(cell.span for cell in row) == len(self.header), f"row {row[0].text!r} does not fit the header"

    def labeled(self, row: tuple[Cell, ...]) -> list[tuple[str, Cell]]:
        """The cells of a row with the names of their columns; a cell that fills several has none."""
        starts = accumulate((cell.span for cell in row), initial=0)
        return [("" if cell.span > 1 else self.header[start], cell) for start, cell in zip(starts, row, strict=False)]


@dataclass(frozen=True)
class Picture:
    """A drawn figure; `name` is its file name without folder and ending, one of a kind on the page."""

    name: str
    alt: str
    png: bytes
    wide: bool  # fills the page's width; the others stand side by side
    folder: str = "pictures"  # beside the page

    @classmethod
    def of(cls, name: str, figure: Figure, alt: str, *, wide: bool = True) -> Picture:
        return cls(re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-."), alt, style.png_bytes(figure), wide)

    @property
    def file(self) -> str:
        return f"{self.folder}/{self.name}.png"

    @property
    def uri(self) -> str:
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


@dataclass(frozen=True)
class Section:
    """Shown in the order of the fields."""

    title: str
    text: tuple[str, ...] = ()  # paragraphs
    points: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    folded: tuple[Picture, ...] = ()  # further ones, which the reader unfolds
    code: tuple[str, ...] = ()  # lines of a shell

    @property
    def anchor(self) -> str:
        """What a link within the page, or to it, names the section by."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


@dataclass(frozen=True)
class Page:
    title: str
    subtitle: str
    sections: tuple[Section, ...]

    def with_pictures_in(self, folder: str) -> Page:
        """The same page with its pictures elsewhere, so that pages in one place keep apart."""

        def moved(pictures: tuple[Picture, ...]) -> tuple[Picture, ...]:
            return tuple(replace(picture, folder=folder) for picture in pictures)

        sections = (replace(one, pictures=moved(one.pictures), folded=moved(one.folded)) for one in self.sections)
        return replace(self, sections=tuple(sections))

    @property
    def pictures(self) -> tuple[Picture, ...]:
        return tuple(picture for section in self.sections for picture in (*section.pictures, *section.folded))


def check_page(folder: Path, name: str = "report", *, overwrite: bool | None = False) -> None:
    """Raise `InputError` where a page of this name would replace something that is not one; see `mien.outputs`.

    The Markdown is judged by the HTML beside it, which is written first.
    """
    page, markdown = folder / f"{name}.html", folder / f"{name}.md"
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file. Choose a folder for what is written")
    check_output(page, PAGE, overwrite=overwrite)
    if markdown.exists() and not page.exists() and not overwrite:
        replace = "" if overwrite is None else ", or replace it with --overwrite"
        raise InputError(f"{markdown}: exists and was not written by mien. Choose another folder{replace}")


def write_page(page: Page, folder: Path, name: str = "report", *, overwrite: bool = False) -> Path:
    """Write `folder/<name>.html`, `folder/<name>.md` and their pictures; return the path of the HTML.

    Raises `InputError` where one of them would replace somebody else's file; nothing is written then.

    The HTML asks for nothing outside itself. Pictures go to `folder/pictures`, those of a page that is not called
    report to a folder of its name in it.
    """
    if name != "report":
        page = page.with_pictures_in(f"pictures/{name}")
    check_page(folder, name, overwrite=overwrite)
    if not (folder / f"{name}.html").exists():  # else they are that page's
        for picture in page.pictures:
            check_ours(folder / picture.file, PICTURE, overwrite=overwrite)
    found = templates()
    for picture in page.pictures:
        write_whole(folder / picture.file, picture.png)
    for ending in ("html", "md"):
        text = found.get_template(f"report.{ending}.j2").render(page=page)
        write_whole(folder / f"{name}.{ending}", text)
    return folder / f"{name}.html"


def templates() -> Environment:
    """What lies under `templates/`. HTML is escaped by itself, in Markdown by the filter of that name."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mien.report"),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["markdown"] = escape_markdown
    return environment


def escape_markdown(text: str) -> str:
    r"""`text` on one line, so that GitHub shows it as it is: no markup, no tag, no link, no end of a table cell.

    >>> escape_markdown("a|b <i> __c__ .634 [.618, .650]")
    'a\\|b &lt;i&gt; \\_\\_c\\_\\_ .634 [.618, .650]'
    """
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"[\\`*_~|$]", r"\\\g<0>", line)
    return re.sub(r"\](?=[(\[:])", r"\]", line)  # brackets alone are no link
