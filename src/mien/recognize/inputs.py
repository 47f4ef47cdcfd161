"""Inputs: what a person names (files, patterns, folders), as files in a fixed order."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.errors import InputError
from mien.images import SUFFIXES

VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")


@dataclass(frozen=True)
class InputFile:
    """One file to look at, or the reason why a place that was named gives none."""

    path: Path
    under: Path  # its place below the folder that was named, or its own name
    error: str | None = None


def named_places(names: Sequence[str]) -> list[Path]:
    """Files and folders that were named, patterns (`*`, `?`, `[…]`, `**`) resolved, each once, in the order given.

    Raises `InputError` for a pattern that fits nothing. Places that are not there are told when they are opened.
    """
    places: dict[Path, None] = {}
    for name in names:
        fitting = [name] if os.path.lexists(name) or not glob.has_magic(name) else _fitting(name)
        if not fitting:
            raise InputError(f"{name}: no file fits this pattern")
        places.update(dict.fromkeys(map(Path, fitting)))
    return list(places)


def is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir()


def pictures(places: Sequence[Path]) -> Iterator[InputFile]:
    """Files as they are, and the pictures in folders with all that lies below, one by one: memory does not grow.

    In folders hidden files and videos are left out, and links to folders are not followed.
    """
    for place in places:
        if place.is_dir():
            yield from _below(place, Path(place.resolve().name) if len(places) > 1 else Path())
        else:
            yield InputFile(place, Path(place.name))


def check_apart(folder: Path, places: Sequence[Path]) -> None:
    """Raise `InputError` where files written into `folder` could replace those that are read, or be read themselves."""
    ours = folder.resolve()
    for place in places:
        theirs = (place if place.is_dir() else place.parent).resolve()
        if ours == theirs or (place.is_dir() and ours.is_relative_to(theirs)):
            raise InputError(f"{folder}: contains the files of {place}; name another folder for what is written")


def _fitting(pattern: str) -> list[str]:
    # Path.glob takes no absolute pattern.
    return sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207


def _below(folder: Path, prefix: Path) -> Iterator[InputFile]:
    found = False
    closed: list[OSError] = []
    for place, folders, files in os.walk(folder, onerror=closed.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                found = True
                path = Path(place, name)
                yield InputFile(path, prefix / path.relative_to(folder))
    for error in closed:
        yield InputFile(Path(error.filename), prefix, f"{error.filename}: cannot be read ({error.strerror})")
    if not found and not closed:
        why = f"no pictures found in it (known: {', '.join(SUFFIXES)}); videos are named one by one"
        yield InputFile(folder, prefix, f"{folder}: {why}")
