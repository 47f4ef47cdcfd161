"""Folders: which files below a folder or in an archive are pictures, and the class and split that their places say."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from mien.data.entry import SPLIT_NAMES, Entry, labeled
from mien.errors import InputError, unknown_name
from mien.image_files import HEAD, SUFFIXES, is_picture

NO_SUFFIX = "no suffix"
_MOST_FOLDERS = 100_000  # links may lead to the same folders again and again
# Words of a folder's name that say nothing beside that of its split: FER2013Train, train_set, images-test.
_IDLE = {
    "set", "data", "dataset", "image", "images", "img", "imgs", "face", "faces", "split", "folder", "fer", "ferplus",
    "plus", "affectnet", "rafdb", "raf", "db", "kdef", "jaffe", "ck", "public", "private",
}  # fmt: skip
_LAYOUTS = "Expected <class>/<image>, <split>/<class>/<image> or <class>/<split>/<image>"


def split_of(name: str) -> str | None:
    """The split that a folder of this name holds; None where it says none.

    >>> [split_of(name) for name in ("train_set", "FER2013Valid", "PublicTest", "PrivateTest", "Testing", "happy")]
    ['train', 'val', 'val', 'test', 'test', None]
    """
    words = [word.lower() for word in re.findall(r"[A-Z]*[a-z]+|[A-Z]+", name)]
    telling = [word for word in words if word not in _IDLE and word.removesuffix("set") not in ("data", "")]
    if len(telling) != 1:
        return None
    split = SPLIT_NAMES.get(telling[0]) or SPLIT_NAMES.get(telling[0].removesuffix("set"))
    # FER2013 calls its validation faces the public test set.
    return "val" if split == "test" and "public" in words else split


def files_below(folder: Path) -> tuple[list[str], Counter[str]]:
    """Pictures below a folder, links to folders followed, sorted by their places in it; and how many other files."""
    found: list[str] = []
    left_out: Counter[str] = Counter()
    # By folder: itself and those around it; a link that leads to one of them would lead there again and again.
    above = {str(folder): {_identity(folder)}}
    for seen, (place, folders, files) in enumerate(os.walk(folder, followlinks=True)):
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
        for name in files:
            if not _is_hidden(name):
                path = Path(place, name)
                why = _left_out(path)
                if why is None:
                    found.append(path.relative_to(folder).as_posix())
                else:
                    left_out[why] += 1
    return sorted(found), left_out


def _identity(folder: Path) -> tuple[int, int]:
    try:
        found = folder.stat()
    except OSError:
        return (0, 0)
    return found.st_dev, found.st_ino


def _left_out(path: Path) -> str | None:
    """Why a file is no picture: its suffix, or what it is instead of a file; None for a picture."""
    suffix = path.suffix.lower()
    if suffix and suffix not in SUFFIXES:
        return suffix
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "pipes, sockets and devices"
        return kind_by(path.name, lambda: head_of(path))
    except OSError:
        return None if suffix else "broken links"  # its loader says why


def head_of(path: Path) -> bytes:
    """What a file begins with. Raises `OSError`."""
    with path.open("rb") as file:
        return file.read(HEAD)


def kind_by(name: str, head: Callable[[], bytes]) -> str | None:
    """The suffix of what is no picture, as `_left_out`; a file without one is known by its first bytes, `head`."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in SUFFIXES:
        return None
    return suffix or (None if is_picture(head()) else NO_SUFFIX)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def is_hidden(place: str) -> bool:
    """Whether a file, or a folder around it, is one that systems hide."""
    return any(_is_hidden(part) for part in PurePosixPath(place).parts if part != "..")


def told(left_out: Counter[str]) -> str:
    """`.txt 3, no suffix 1`."""
    kinds = [f"{kind} {count:,}" for kind, count in left_out.most_common(10)]
    return ", ".join([*kinds, *(["…"] if len(left_out) > len(kinds) else [])])


def entries(files: Sequence[str], source: str, left_out: Counter[str]) -> list[Entry]:
    """Class and split of each file, from its path below the outermost folder that tells something."""
    if not files:
        others = f"; it has others: {told(left_out)}" if left_out else ""
        raise InputError(f"{source}: no pictures found ({', '.join(SUFFIXES)}{others}). Expected <class>/<image> in it")
    paths = [PurePosixPath(name).parts for name in files]
    start = 0
    while (
        max(map(len, paths)) > start + 2
        and min(map(len, paths)) > start + 1
        and len({parts[start] for parts in paths}) == 1
        and split_of(paths[0][start]) is None
    ):
        start += 1
    places = [parts[start:] for parts in paths]
    if any(split_of(parts[0]) for parts in places if len(parts) > 1):
        found = [_split_first(name, parts, source) for name, parts in zip(files, places, strict=True)]
    elif any(len(parts) > 2 and split_of(parts[1]) for parts in places):
        found = [_class_first(name, parts, source) for name, parts in zip(files, places, strict=True)]
    else:
        found = [_class_alone(name, parts, source) for name, parts in zip(files, places, strict=True)]
    classes = {entry.class_name for entry in found}
    wrong = sorted(name for name in classes if split_of(name))
    if wrong:
        raise InputError(f"{source}: its class '{wrong[0]}' is named like a split. Rename the folder. {_LAYOUTS}")
    return found


def _split_first(name: str, parts: Sequence[str], source: str) -> Entry:
    if len(parts) < 2:
        raise InputError(f"{source}: {name} is in no class folder. {_LAYOUTS}")
    split = split_of(parts[0])
    if split is None:
        raise unknown_name("split folder", parts[0], sorted(SPLIT_NAMES), see=f"{source}: {name}")
    if len(parts) < 3:
        raise InputError(f"{source}: {name} is in no class folder. Expected {parts[0]}/<class>/<image>")
    _check_deeper(name, parts[2:-1], source)
    if split == "test" and parts[-1].startswith("PublicTest"):
        split = "val"  # the Kaggle layout keeps both public and private faces under test/
    return labeled(name, parts[1], split)


def _class_first(name: str, parts: Sequence[str], source: str) -> Entry:
    split = split_of(parts[1]) if len(parts) > 2 else None
    if split is None:
        raise InputError(
            f"{source}: {name} is in no split folder, as others are. Expected {parts[0]}/<split>/<image>, with "
            f"{', '.join(sorted(SPLIT_NAMES))} as splits"
        )
    _check_deeper(name, parts[2:-1], source)
    return labeled(name, parts[0], split)


def _class_alone(name: str, parts: Sequence[str], source: str) -> Entry:
    if len(parts) < 2:
        raise InputError(f"{source}: {name} is in no class folder. {_LAYOUTS}")
    _check_deeper(name, parts[1:-1], source)
    return labeled(name, parts[0], None)


def _check_deeper(name: str, folders: Sequence[str], source: str) -> None:
    """Refuse a split where it would be passed over: its test images would be trained on."""
    for folder in folders:
        if split_of(folder):
            raise InputError(f"{source}: {name} lies in '{folder}', below its class and split. {_LAYOUTS}")
