"""Annotate: the picture with a box around every face, and bars for its most probable emotions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from io import BytesIO
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from mien.images import Pixels
from mien.letters import drawable, font_file
from mien.outputs import MARK
from mien.recognize.faces import Face

# The color-blind-safe palette of Okabe and Ito, https://jfly.uni-koeln.de/color (2008), in the order of FER7;
# further labels begin again.
PALETTE = ("#D55E00", "#009E73", "#CC79A7", "#F0E442", "#999999", "#0072B2", "#56B4E9", "#E69F00")
UNSURE = "#BBBBBB"
Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont
_BACK, _INK, _TRACK = (20, 20, 20, 235), "#FFFFFF", (255, 255, 255, 30)
_BARS = 3  # most probable emotions that get one
_SMALLEST_TEXT, _LARGEST_TEXT = 10, 34  # pixels


def annotate(image: Pixels, faces: Sequence[Face], names: Sequence[str] = ()) -> Pixels:
    """`image`, `(H, W)` or `(H, W, 3)`, as RGB `(H, W, 3)` with its faces marked; `names` stand before the emotions.

    The bars are as long as the probability; of the whole row, which is 1, the rest is shaded.
    """
    marked = np.stack([image] * 3, axis=2) if image.ndim == 2 else image.copy()
    for i, face in enumerate(faces):
        _mark(marked, face, names[i] if i < len(names) else "")
    return marked


def color_of(label: str, labels: Sequence[str]) -> str:
    """The color of a label wherever it is drawn, as `#RRGGBB`."""
    return PALETTE[list(labels).index(label) % len(PALETTE)]


def headline(face: Face) -> str:
    """`happy 98 %`, and `unsure (happy 41 %)` below the threshold."""
    told = f"{face.emotion} {face.confidence:.0%}".replace("%", " %")
    return f"unsure ({told})" if face.unsure else told


def _mark(marked: Pixels, face: Face, name: str) -> None:
    """Draw on the part of `marked` that a face and its panel take up; the rest of a large picture is left alone."""
    height, width = marked.shape[:2]
    x, y, w, h = face.box
    text = int(np.clip(w / 7, _SMALLEST_TEXT, min(_LARGEST_TEXT, max(width, height) / 25 + _SMALLEST_TEXT)))
    plain = (name + "".join(face.probabilities)).isascii()
    font, line = _font(text, plain), round(text * 1.3)
    # The first bar says the emotion, unless a video still shows the one that has lasted.
    lasted = face.emotion if face.emotion != max(face.probabilities, key=face.probabilities.__getitem__) else ""
    title = " ".join(word for word in (name, "unsure" if face.unsure else "", lasted) if word)
    best = sorted(face.probabilities, key=lambda label: -face.probabilities[label])[:_BARS]
    title = drawable(title)
    rows = [(f"{drawable(label)} {face.probabilities[label]:.2f}", label) for label in best]
    inner = max(w, *(int(font.getlength(words)) + text for words in (title, *(words for words, _ in rows))))
    # Below the box where there is room, else above it, else over its lower part.
    needed = line * (len(rows) + bool(title))
    top = y + h if y + h + needed <= height else y - needed if y >= needed else max(0, height - needed)
    left = int(np.clip(x, 0, max(0, width - inner)))
    x0, y0, x1, y1 = min(x, left), min(y, top), max(x + w, left + inner), max(y + h, top + needed)
    part = Image.fromarray(marked[y0:y1, x0:x1])
    pen = ImageDraw.Draw(part, "RGBA")
    color = UNSURE if face.unsure else color_of(face.emotion, list(face.probabilities))
    pen.rectangle((x - x0, y - y0, x - x0 + w - 1, y - y0 + h - 1), outline=color, width=max(1, text // 7))
    _panel(pen, (left - x0, top - y0, inner, line), font, title, face, rows)
    marked[y0:y1, x0:x1] = np.asarray(part)


def _panel(
    pen: ImageDraw.ImageDraw,
    place: tuple[int, int, int, int],
    font: Font,
    title: str,
    face: Face,
    rows: Sequence[tuple[str, str]],
) -> None:
    """A title, if there is one, and a bar for each row (words, label): at left, top, width, height of a line."""
    left, top, inner, line = place
    indent = left + line // 4
    pen.rectangle((left, top, left + inner - 1, top + line * (len(rows) + bool(title)) - 1), fill=_BACK)
    if title:
        pen.text((indent, top + line / 2), title, fill=_INK, font=font, anchor="lm")
    for row, (words, label) in enumerate(rows, start=int(bool(title))):
        y0, y1 = top + row * line + 1, top + (row + 1) * line - 2
        pen.rectangle((left, y0, left + inner - 1, y1), fill=_TRACK)
        share = round(face.probabilities[label] * (inner - 1))
        pen.rectangle((left, y0, left + share, y1), fill=_translucent(color_of(label, list(face.probabilities))))
        pen.text((indent, (y0 + y1) / 2), words, fill=_INK, font=font, anchor="lm")


def _translucent(color: str) -> tuple[int, int, int, int]:
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue, 72  # dark enough for white letters, also those on yellow over a white picture


def encoded(image: Pixels, suffix: str) -> bytes:
    """A marked picture as PNG, or as JPEG for any other suffix, with the mark of what mien wrote."""
    content = BytesIO()
    if suffix.lower() == ".png":
        said = PngInfo()
        said.add_text("Software", MARK)
        Image.fromarray(image).save(content, "PNG", pnginfo=said)
    else:
        Image.fromarray(image).save(content, "JPEG", quality=92, comment=MARK.encode())
    return content.getvalue()


@cache
def _font(size: int, plain: bool) -> Font:
    """`plain`: for ASCII alone; the other one has more letters, and is wider."""
    return ImageFont.load_default(size) if plain else ImageFont.truetype(font_file(), size)
