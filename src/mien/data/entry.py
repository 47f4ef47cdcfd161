"""Entry: one labeled picture of a source, and what every source offers.

A source lists its entries first and then hands out one loader per entry, in the same order, so that pictures can be
decoded in parallel and never all at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mien.images import Pixels

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip

Loader = Callable[[], "bytes | Pixels"]  # raises InputError when the picture cannot be had


@dataclass(frozen=True)
class Entry:
    """One labeled picture. `split` is None where the layout has no splits."""

    name: str
    class_name: str
    split: str | None


class Source(Protocol):
    """Entries, their loaders in the same order, and a digest of the whole content."""

    @property
    def entries(self) -> Sequence[Entry]: ...

    def loaders(self) -> Iterator[Loader]: ...

    def digest(self) -> str: ...


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
