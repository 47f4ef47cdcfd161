"""Letters: what the font of all pictures can draw, DejaVu Sans, which comes with matplotlib: Latin, Greek, Cyrillic."""

from __future__ import annotations

import logging
import unicodedata
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mien.errors import printable

logger = logging.getLogger(__name__)


@cache
def font_file() -> Path:
    """The font's file."""
    found = find_spec("matplotlib")
    assert found is not None  # every installation has it
    assert found.origin is not None
    return Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"


def drawable(text: str) -> str:
    """`text` with letters that the font lacks as their codes, and a word of it in the log.

    >>> drawable("fröhlich"), drawable("веселье"), drawable("愤怒")
    ('fröhlich', 'веселье', 'U+6124 U+6012')
    """
    if text.isascii():
        return printable(text)
    return _drawable(unicodedata.normalize("NFC", printable(text)))


@cache
def _drawable(text: str) -> str:
    missing = [letter for letter in dict.fromkeys(text) if not _font().get_char_index(ord(letter))]
    for letter in missing:
        text = text.replace(letter, f" U+{ord(letter):04X} ")
    if missing:
        logger.warning(
            "pictures: %s (%s) cannot be drawn and stand there as codes; the font has Latin, Greek and Cyrillic. "
            "Name classes in one of these: --labels",
            "".join(missing),
            ", ".join(sorted({unicodedata.name(letter, "unknown").split()[0].lower() for letter in missing})),
        )
        text = " ".join(text.split())
    return text


@cache
def _font() -> Any:
    from matplotlib.ft2font import FT2Font

    return FT2Font(str(font_file()))
