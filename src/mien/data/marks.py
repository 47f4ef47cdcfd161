"""Marks: faces that somebody marked in photos, read from a CSV with a row for each face."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.data.csv_rows import rows
from mien.errors import InputError, suggestion
from mien.labels import LabelSet, canonical

Box = tuple[float, float, float, float]  # x, y, width, height, in pixels of the upright picture

COLUMNS = ("source", "x", "y", "width", "height", "label")
UNLABELED = "-"  # as the label: a face that is to be found, whose emotion nobody told
_BOX = COLUMNS[1:5]
_ROUNDED = 1.0  # pixels by which a box may reach beyond the picture


@dataclass(frozen=True)
class Mark:
    """A marked face; `label`: as the model calls it, or None; `group`: empty where none is told."""

    box: Box
    label: str | None
    group: str = ""


@dataclass(frozen=True)
class Photo:
    """A photo and all of the faces in it: none where its row has neither box nor label."""

    source: str  # as the CSV names it
    path: Path
    marks: tuple[Mark, ...]
    lines: tuple[int, ...]  # of the CSV, one for each mark


def read_marks(path: Path, labels: Sequence[str], naming: Mapping[str, str | None] | None = None) -> list[Photo]:
    """The photos of a CSV with the columns source, x, y, width, height, label and, where wanted, group; in its order.

    Sources are paths, seen from the folder that the CSV lies in. `labels`: the model's; `naming`: other names → these,
    or None for a face whose label does not count. Raises `InputError`, with the line, for everything that cannot be:
    columns or pictures that are missing, boxes that are none, unknown labels, a face that is marked twice, no row.
    """
    if path.is_dir():
        raise InputError(
            f"{path}: is a folder. Name the CSV that says where the faces are: columns {', '.join(COLUMNS)}"
        )
    coming = rows(path)
    header = [name.lower() for name in next(coming, (0, []))[1]]
    if missing := [name for name in COLUMNS if name not in header]:
        raise InputError(
            f"{path}: expected the columns {', '.join(COLUMNS)} (and group, where wanted); {', '.join(missing)} not "
            f"there, found: {', '.join(header) or 'none'}. The first line holds the columns' names, with commas between"
        )
    known = _Labels(tuple(labels), naming or {})
    photos: dict[str, list[tuple[int, Mark | None]]] = {}
    for line, values in coming:
        where = f"{path}, line {line}"
        if len(values) != len(header):
            raise InputError(f"{where}: {len(values)} values, expected {len(header)} as in the first line")
        row = dict(zip(header, values, strict=True))
        if not row["source"]:
            raise InputError(f"{where}: has no source. Name the picture that the face is in")
        photos.setdefault(row["source"], []).append((line, _mark(row, known, where)))
    if not photos:
        raise InputError(f"{path}: marks no face below its first line")
    return [_photo(path, source, marks) for source, marks in photos.items()]


def check_inside(photo: Photo, size: tuple[int, int], where: Path) -> None:
    """Raise `InputError` for a box that reaches beyond the upright picture of this `size` (width, height)."""
    for mark, line in zip(photo.marks, photo.lines, strict=True):
        x, y, width, height = mark.box
        if min(x, y) < -_ROUNDED or x + width > size[0] + _ROUNDED or y + height > size[1] + _ROUNDED:
            raise InputError(
                f"{where}, line {line}: the box x {x:g}, y {y:g}, {width:g} × {height:g} reaches beyond "
                f"{photo.source}, which has {size[0]} × {size[1]} pixels when it is upright, as its EXIF says. Mark "
                "faces in pixels of that picture"
            )


@dataclass(frozen=True)
class _Labels:
    known: tuple[str, ...]
    naming: Mapping[str, str | None]

    def of(self, given: str, where: str) -> str | None:
        if given == UNLABELED:
            return None
        if given in self.naming and self.naming[given] is None:
            return None
        word = self.naming.get(given) or given
        found = canonical(word, LabelSet("of the model", self.known)) or (word if word in self.known else None)
        if found is None:
            raise InputError(
                f"{where}: the model knows no label '{word}'.{suggestion(word.lower(), self.known)} It knows "
                f"{', '.join(self.known)}. Say what it is called with --labels {given}=NAME, or leave the label out "
                f"with --labels {given}={UNLABELED}: the face is then to be found only"
            )
        return found


def _mark(row: Mapping[str, str], labels: _Labels, where: str) -> Mark | None:
    """The marked face of a row; None where it says that the photo has none."""
    if not any(row[name] for name in COLUMNS[1:]):
        return None
    box = [_number(row[name], name, where) for name in _BOX]
    if min(box[2:]) <= 0:
        raise InputError(f"{where}: a box of {box[2]:g} × {box[3]:g} pixels; expected width and height above 0")
    if not row["label"]:
        raise InputError(
            f"{where}: has no label. Write {UNLABELED} for a face without one, and leave box and label empty in the "
            "only row of a photo without faces"
        )
    return Mark((box[0], box[1], box[2], box[3]), labels.of(row["label"], where), row.get("group", ""))


def _number(text: str, name: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        told = f"'{text}'" if text else "nothing"
        raise InputError(f"{where}: {name} is {told}, expected a number of pixels")
    return value


def _photo(path: Path, source: str, marks: Sequence[tuple[int, Mark | None]]) -> Photo:
    own = [(line, mark) for line, mark in marks if mark is not None]
    if own and len(own) < len(marks):
        empty = next(line for line, mark in marks if mark is None)
        raise InputError(f"{path}, line {empty}: says that {source} has no face; line {own[0][0]} marks one in it")
    before: dict[Box, int] = {}
    for line, mark in own:
        if mark.box in before:
            raise InputError(f"{path}, line {line}: marks the same face of {source} as line {before[mark.box]}")
        before[mark.box] = line
    place = path.parent / source
    if not place.is_file():
        raise InputError(
            f"{path}, line {marks[0][0]}: no such picture: {place}. Sources are paths, seen from the folder of the CSV"
        )
    return Photo(source, place, tuple(mark for _, mark in own), tuple(line for line, _ in own))
