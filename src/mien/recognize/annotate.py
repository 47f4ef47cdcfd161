"""Annotate: the picture with a box around every face, its emotion, and bars for its probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mien.images import Pixels
from mien.recognize.recognizer import Face

# The color-blind-safe palette of Okabe and Ito, https://jfly.uni-koeln.de/color (2008), in the order of FER7;
# further labels begin again.
PALETTE = ("#D55E00", "#009E73", "#CC79A7", "#F0E442", "#999999", "#0072B2", "#56B4E9", "#E69F00")
_UNSURE = "#BBBBBB"
_BACK, _INK, _TRACK = (20, 20, 20, 190), "#FFFFFF", (255, 255, 255, 60)
_BARS = 3  # most probable emotions that get one
_SMALLEST_TEXT, _LARGEST_TEXT = 10, 34  # pixels


def annotate(image: Pixels, faces: Sequence[Face], names: Sequence[str] = ()) -> Pixels:
    """`image`, `(H, W)` or `(H, W, 3)`, as RGB `(H, W, 3)` with its faces marked; `names` stand before the emotions.

    The bars are as long as the probability; of the whole row, which is 1, the rest is shaded.
    """
    picture = Image.fromarray(image).convert("RGB")
    pen = ImageDraw.Draw(picture, "RGBA")
    for i, face in enumerate(faces):
        _mark(pen, picture.size, face, names[i] if i < len(names) else "")
    return np.asarray(picture, dtype=np.uint8)


def color_of(label: str, labels: Sequence[str]) -> str:
    """The color of a label wherever it is drawn, as `#RRGGBB`."""
    return PALETTE[list(labels).index(label) % len(PALETTE)]


def headline(face: Face) -> str:
    """`happy 98 %`, and `unsure (happy 41 %)` below the threshold."""
    told = f"{face.emotion} {face.confidence:.0%}".replace("%", " %")
    return f"unsure ({told})" if face.unsure else told


def _mark(pen: ImageDraw.ImageDraw, size: tuple[int, int], face: Face, name: str) -> None:
    labels = list(face.probabilities)
    color = _UNSURE if face.unsure else color_of(face.emotion, labels)
    x, y, width, height = face.box
    text = int(np.clip(width / 7, _SMALLEST_TEXT, min(_LARGEST_TEXT, max(size) / 25 + _SMALLEST_TEXT)))
    pen.rectangle((x, y, x + width - 1, y + height - 1), outline=color, width=max(1, text // 7))
    font, line = _font(text), round(text * 1.3)
    title = f"{name} {headline(face)}".strip()
    best = sorted(labels, key=lambda label: -face.probabilities[label])[:_BARS]
    shown = [f"{label} {face.probabilities[label]:.2f}" for label in best]
    inner = max(width, *(int(pen.textlength(words, font=font)) + text for words in (title, *shown)))
    # Below the box where there is room, else above it, else over its lower part.
    needed = line * (len(best) + 1)
    top = y + height if y + height + needed <= size[1] else y - needed if y >= needed else max(0, size[1] - needed)
    left = int(np.clip(x, 0, max(0, size[0] - inner)))
    pen.rectangle((left, top, left + inner - 1, top + needed - 1), fill=_BACK)
    pen.text((left + text // 3, top + line / 2), title, fill=color, font=font, anchor="lm")
    for row, (label, words) in enumerate(zip(best, shown, strict=True), start=1):
        y0, y1 = top + row * line + 1, top + (row + 1) * line - 2
        pen.rectangle((left, y0, left + inner - 1, y1), fill=_TRACK)
        share = round(face.probabilities[label] * (inner - 1))
        pen.rectangle((left, y0, left + share, y1), fill=_translucent(color_of(label, labels)))
        pen.text((left + text // 3, (y0 + y1) / 2), words, fill=_INK, font=font, anchor="lm")


def _translucent(color: str) -> tuple[int, int, int, int]:
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue, 170


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
