"""Inputs: what a person names (files, patterns, folders), as files in a fixed order."""

from __future__ import annotations

import glob
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.errors import InputError
from mien.image_files import SUFFIXES, is_picture
from mien.images import check_name
from mien.walk import files_below, head_of, left_out_as, told

VIDEO_SUFFIXES = (
    ".3gp", ".avi", ".dv", ".flv", ".m2ts", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv",
    ".ts", ".vob", ".webm", ".wmv",
)  # fmt: skip
logger = logging.getLogger(__name__)


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
        check_name(name)
        fitting = [name] if os.path.lexists(name) or not glob.has_magic(name) else _fitting(name)
        if not fitting:
            raise InputError(f"{name}: no file fits this pattern")
        places.update(dict.fromkeys(map(Path, fitting)))
    return list(places)


def is_video(path: Path) -> bool:
    """By its suffix; by its content where that says nothing, and a picture does not begin so."""
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES or suffix in SUFFIXES or not path.is_file():
        return suffix in VIDEO_SUFFIXES and not path.is_dir()
    try:
        if is_picture(head_of(path)):
            return False
    except OSError:
        return False
    from mien.recognize.captures import is_video_content

    return is_video_content(path)


def pictures_and_videos(places: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Places that hold pictures, for `pictures`, and all videos: those that were named, and those in the folders.

    Each video once, whatever paths lead to it. In folders videos are known by their suffix. A folder in which nothing
    is found, or that cannot be read as a whole, is among the first: who looks into it says so.
    """
    from mien.recognize.journal import identity

    with_pictures: list[Path] = []
    videos: dict[str, Path] = {}
    for place in places:
        if not place.is_dir():
            if is_video(place):
                videos.setdefault(identity(str(place)), place)
            else:
                with_pictures.append(place)
            continue
        closed: list[OSError] = []
        kinds: set[bool] = set()  # whether a picture was found, whether a video was
        for path in files_below(place, closed.append):
            if (kind := left_out_as(path)) in VIDEO_SUFFIXES:
                videos.setdefault(identity(str(path)), path)
            if kind is None or kind in VIDEO_SUFFIXES:
                kinds.add(kind is None)
        if kinds != {False} or closed:
            with_pictures.append(place)
    return with_pictures, list(videos.values())


def pictures(places: Sequence[Path], *, videos_too: bool = False) -> Iterator[InputFile]:
    """Files as they are, and the pictures in folders with all that lies below, one by one: memory does not grow.

    In folders hidden files are left out, and links to folders are followed. Videos and other files are counted, and the
    log says so; with `videos_too` somebody else takes the videos. A file without a suffix is known by its first bytes.
    """
    for place in places:
        if place.is_dir():
            under = Path(place.resolve().name) if len(places) > 1 else Path()
            yield from _below(place, under, passed=VIDEO_SUFFIXES if videos_too else ())
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


def _below(folder: Path, prefix: Path, passed: Sequence[str]) -> Iterator[InputFile]:
    found = False
    closed: list[OSError] = []
    left_out: Counter[str] = Counter()
    for path in files_below(folder, closed.append):
        kind = left_out_as(path)
        if kind is None:
            found = True
            yield InputFile(path, prefix / path.relative_to(folder))
        elif kind in passed:
            found = True
        else:
            left_out[kind] += 1
    for error in closed:
        yield InputFile(Path(error.filename), prefix, f"{error.filename}: cannot be read ({error.strerror})")
    if left_out:
        logger.warning("%s: left out, as no pictures: %s", folder, told(left_out))
    if not found and not closed:
        what = "pictures or videos" if passed else "pictures"
        why = f"no {what} found in it (known: {', '.join((*SUFFIXES, *passed))})"
        yield InputFile(folder, prefix, f"{folder}: {why}")
