"""Walk: the files below a folder, links to folders followed, and which of them are pictures."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from mien.errors import InputError
from mien.image_files import HEAD, SUFFIXES, is_picture

_NO_SUFFIX = "no suffix"
_MOST_FOLDERS = 100_000  # links may lead to the same folders again and again


def files_below(folder: Path, closed: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """Files of a folder and of all below it, in order, one by one. `closed` is told of folders that cannot be read.

    Links to folders are followed, but not into a folder around them. Hidden files and folders are passed over.
    """
    # By folder: itself and those around it; a link that leads to one of them would lead there again and again.
    above = {str(folder): {_identity(folder)}}
    for seen, (place, folders, files) in enumerate(os.walk(folder, onerror=closed, followlinks=True)):
        if seen > _MOST_FOLDERS:
            raise InputError(f"{folder}: more than {_MOST_FOLDERS:,} folders; links in it may lead to each other")
        around = above.pop(place)
        for name in list(folders):
            inner = os.path.join(place, name)  # noqa: PTH118 - as os.walk names it
            identity = _identity(Path(inner))
            if _is_hidden(name) or identity in around:
                folders.remove(name)
            else:
                above[inner] = around | {identity}
        folders.sort()
        yield from (Path(place, name) for name in sorted(files) if not _is_hidden(name))


def _identity(folder: Path) -> tuple[int, int]:
    try:
        found = folder.stat()
    except OSError:
        return (0, 0)
    return found.st_dev, found.st_ino


def left_out_as(path: Path) -> str | None:
    """What a file is that is no picture: its suffix, or what it is instead of a file; None for a picture."""
    suffix = path.suffix.lower()
    if suffix and suffix not in SUFFIXES:
        return suffix
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "pipes, sockets and devices"
        return kind_by(path.name, lambda: head_of(path))
    except OSError:
        return None if suffix else "broken links"  # who reads it says why


def head_of(path: Path) -> bytes:
    """What a file begins with. Raises `OSError`."""
    with path.open("rb") as file:
        return file.read(HEAD)


def kind_by(name: str, head: Callable[[], bytes]) -> str | None:
    """The suffix of what is no picture, as `left_out_as`; a file without one is known by its first bytes, `head`."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in SUFFIXES:
        return None
    return suffix or (None if is_picture(head()) else _NO_SUFFIX)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def is_hidden(place: str) -> bool:
    """Whether a file, or a folder around it, is one that systems hide."""
    return any(_is_hidden(part) for part in PurePosixPath(place).parts if part != "..")


def told(left_out: Counter[str]) -> str:
    """`.txt 3, no suffix 1`."""
    kinds = [f"{kind} {count:,}" for kind, count in left_out.most_common(10)]
    return ", ".join([*kinds, *(["…"] if len(left_out) > len(kinds) else [])])
