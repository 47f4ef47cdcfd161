"""Entry: one labeled picture of a source, and what every source offers.

A source lists its entries first and then hands out one loader per entry, in the same order, so that pictures can be
decoded in parallel and never all at once.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from unicodedata import normalize

from mien.errors import InputError, printable, shortened
from mien.images import Pixels

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip

Loader = Callable[[], "bytes | Pixels"]  # raises InputError when the picture cannot be had


_LONGEST, _LONGEST_CLASS = 1000, 200  # letters


@dataclass(frozen=True, slots=True)
class Entry:
    """One labeled picture. `split` is None where the layout has no splits; `person` is empty where nobody is known."""

    name: str
    class_name: str
    split: str | None
    person: str = ""


def labeled(name: str, class_name: str, split: str | None, person: str = "") -> Entry:
    """An entry whose names can be written and compared anywhere. `InputError` for names of more letters than are kept.

    Letters with accents are one sign each (NFC): macOS writes them as two, so that one class would become two.
    """
    for told, most in ((name, _LONGEST), (class_name, _LONGEST_CLASS)):
        if len(told) > most:  # an array of names gives each the room of the longest
            raise InputError(
                f"{shortened(told, 80)}: a name of {len(told):,} letters, at most {most} are read. Rename it"
            )
    if not (name.isascii() and class_name.isascii() and name.isprintable() and class_name.isprintable()):
        name, class_name = printable(name), normalize("NFC", printable(class_name))
    return Entry(name, class_name, split, person)


class Source(Protocol):
    """Entries, their loaders in the same order, a digest of the whole content, what is passed over, by kind."""

    @property
    def left_out(self) -> Counter[str]: ...

    @property
    def unlabeled(self) -> Sequence[str]:
        """Names of its pictures that have no class, as those that AffectNet calls uncertain."""

    @property
    def labels(self) -> Sequence[str] | None:
        """Its classes in order, where they are known and no set that mien knows by name."""

    @property
    def entries(self) -> Sequence[Entry]: ...

    def loaders(self) -> Iterator[Loader]: ...

    def digest(self) -> str: ...


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
