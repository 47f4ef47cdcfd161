"""Folders: which files below a folder or in an archive are pictures, and the class and split that their places say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from mien.data.entry import SPLIT_NAMES, Entry, labeled
from mien.errors import InputError, unknown_name
from mien.image_files import SUFFIXES
from mien.walk import told

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
