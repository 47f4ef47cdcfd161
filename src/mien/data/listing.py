"""Listing: what lies in a folder or zip, and the faces that its layout tells of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mien.data.entry import Entry
from mien.errors import InputError

Box = tuple[int, int, int, int]  # left, top, right and bottom, in pixels of the stored photo


@dataclass(frozen=True)
class Files:
    """What lies in a folder or zip: the places of its pictures and of its other files, and what reads one of these."""

    source: str  # for messages
    pictures: Sequence[str]
    others: Sequence[str]
    read: Callable[[str], bytes]  # raises InputError

    def named(self, name: str) -> str | None:
        """The place of the one other file of this name; None without one. `InputError` where there are several."""
        found = [place for place in self.others if file_name(place).lower() == name]
        if len(found) > 1:
            raise InputError(
                f"{self.source}: has {name} more than once ({found[0]}, {found[1]}). Name the folder of one data set"
            )
        return found[0] if found else None

    def lines(self, place: str) -> list[str]:
        """The lines of a text file that hold something."""
        try:
            text = self.read(place).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"{self.source}: {place} is no text in UTF-8. Unpack the data set again") from error
        return [line.strip() for line in text.splitlines() if line.strip()]


@dataclass(frozen=True, slots=True)
class Face:
    """A face of a layout: the picture that it is in, what is known of it, and where it is; None: the whole picture."""

    file: str
    entry: Entry
    box: Box | None = None


@dataclass(frozen=True)
class Layout:
    """What a folder or zip was read as, with its faces in order."""

    name: str  # of the data set; class folders have none
    faces: Sequence[Face]
    left_out: Counter[str] = field(default_factory=Counter)  # why → how many pictures or faces
    labels: Sequence[str] | None = None  # its classes in order, where they are no set that mien knows

    def __str__(self) -> str:
        why = "; ".join(f"left out: {count:,} {kind}" for kind, count in self.left_out.items() if count)
        return f"read as {self.name}, {len(self.faces):,} faces{'; ' + why if why else ''}"


def file_name(place: str) -> str:
    return place.rpartition("/")[2]


def folder_of(place: str) -> str:
    return place.rpartition("/")[0]


def stem_of(place: str) -> str:
    """The name of a file without its suffix."""
    name = file_name(place)
    return name.rpartition(".")[0] or name
