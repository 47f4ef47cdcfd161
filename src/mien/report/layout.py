"""Layout: what a page is made of, before it becomes HTML or Markdown."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, replace
from itertools import accumulate

from matplotlib.figure import Figure

from mien.report import style


@dataclass(frozen=True)
class Cell:
    """A figure or a word, and what qualifies it, set smaller."""

    text: str
    detail: str = ""
    span: int = 1  # columns that it fills


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
