"""Tables: labeled faces in one file of rows, as the original fer2013.csv."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mien.data.csv_rows import rows
from mien.data.entry import Entry, Loader, file_digest, labeled
from mien.errors import InputError, shortened
from mien.images import Pixels
from mien.labels import FER2013_CSV_CODES

USAGES = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
_LONGEST_VALUE = 20  # digits
_CODES = {str(code): name for code, name in enumerate(FER2013_CSV_CODES)}


class CsvSource:
    """The original fer2013.csv: columns emotion (0–6), pixels (gray values, row by row), and Usage where it has splits.

    Kaggle's `train.csv` of the same has no Usage: all its faces are for training.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.left_out: Counter[str] = Counter()
        self.unlabeled: Sequence[str] = ()
        self.labels: Sequence[str] | None = None
        self._pixels = 0  # that most rows have: the first may be cut off
        self.entries: Sequence[Entry] = self._scan()

    def _scan(self) -> list[Entry]:
        entries, lengths = [], Counter[int]()
        for line, emotion, pixels, usage in self._rows():
            if emotion not in _CODES:
                told = shortened(repr(emotion), 80)
                raise InputError(f"{self._path}, line {line}: emotion is {told}, expected a code from 0 to 6")
            if usage is not None and usage not in USAGES:
                told = shortened(repr(usage), 80)
                raise InputError(f"{self._path}, line {line}: Usage is {told}, expected {', '.join(USAGES)}")
            lengths[_words(pixels)] += 1
            split = None if usage is None else USAGES[usage]
            entries.append(labeled(f"{usage or 'Training'}_{line}", _CODES[emotion], split))
        if not entries:
            raise InputError(f"{self._path}: no rows below the header")
        self._pixels = max(lengths, key=lambda length: (lengths[length], length))
        return entries

    def loaders(self) -> Iterator[Loader]:
        side = math.isqrt(self._pixels) or 1
        for line, _, pixels, _ in self._rows():
            yield lambda line=line, pixels=pixels: _parse_pixels(pixels, side, f"{self._path}, line {line}")  # type: ignore[misc]

    def _rows(self) -> Iterator[tuple[int, str, str, str | None]]:
        """Line, emotion, pixels and usage; None for it where there is no such column."""
        found = rows(self._path)
        columns = [name.lower() for name in next(found, (0, []))[1]]
        missing = [name for name in ("emotion", "pixels") if name not in columns]
        if missing:
            told = shortened(", ".join(columns), 300) or "none"
            raise InputError(
                f"{self._path}: no column {', '.join(missing)} (found: {told}). "
                "Expected the original fer2013.csv with emotion, pixels, Usage"
            )
        emotion, pixels = columns.index("emotion"), columns.index("pixels")
        usage = columns.index("usage") if "usage" in columns else None
        for line, row in found:
            if len(row) <= max(emotion, pixels, usage or 0):
                raise InputError(f"{self._path}, line {line}: {len(row)} columns, expected {len(columns)}")
            yield line, row[emotion], row[pixels], None if usage is None else row[usage]

    def digest(self) -> str:
        return file_digest(self._path)


def _words(pixels: str) -> int:
    return len(pixels.split()) if "  " in pixels else pixels.count(" ") + 1


def _parse_pixels(text: str, side: int, where: str) -> Pixels:
    words = text.split()
    if len(words) != side * side:
        raise InputError(f"{where}: {len(words)} pixel values, expected {side * side} ({side}x{side})")
    if len(max(words, key=len, default="")) > _LONGEST_VALUE:  # an array of text gives each the room of the longest
        raise InputError(f"{where}: a pixel value is not a whole number of 0 to 255")
    try:
        values = np.array(words, dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{where}: a pixel value is not a whole number") from error
    if values.min() < 0 or values.max() > 255:
        raise InputError(f"{where}: pixel values run from {values.min()} to {values.max()}, expected 0 to 255")
    return values.astype(np.uint8).reshape(side, side)
