"""Faces: recognized ones beside the probabilities of their classes; as light to import as recognition itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mien.errors import InputError
from mien.images import Pixels
from mien.recognize.annotate import headline
from mien.recognize.faces import Face
from mien.report.style import BLUE, draw_probabilities, shorten, styled

_AROUND = 0.6  # of a face's larger side, shown on each side of its box


def closeup(image: Pixels, face: Face) -> tuple[Pixels, Face]:
    """The part of a picture around one of its faces, copied, and the face with its box in that part."""
    x, y, width, height = face.box
    margin = round(_AROUND * max(width, height))
    left, top = max(0, x - margin), max(0, y - margin)
    part = image[top : y + height + margin, left : x + width + margin].copy()
    return part, replace(face, box=(x - left, y - top, width, height))


@styled
def recognized(shown: Sequence[tuple[Pixels, Face]]) -> Figure:
    """Recognized faces, one row for each: the picture with the face's box, beside the probability of every class.

    `shown`: pictures `(H, W)` gray or `(H, W, 3)` RGB uint8, each with a face of it (`closeup` makes such pairs); the
    most probable class is drawn in color. Raises `InputError` for pixels of another kind or no face.
    """
    if not shown:
        raise InputError("no face to draw, expected at least one")
    height = max(2.2, 0.5 + 0.27 * len(shown[0][1].probabilities))
    figure = Figure(figsize=(6.4, height * len(shown)))
    rows = figure.subplots(len(shown), 2, squeeze=False, width_ratios=(1, 1.35))
    for (picture, bars), (image, face) in zip(rows, shown, strict=True):
        _check(image)
        _show(picture, image, face)
        draw_probabilities(bars, face.probabilities, max(face.probabilities, key=face.probabilities.__getitem__))
        bars.set_title(f"{headline(face)} · {shorten(Path(face.source).name, 40)}", fontsize=10)
    return figure


def _check(image: Pixels) -> None:
    if image.dtype != np.uint8 or (image.ndim != 2 and (image.ndim != 3 or image.shape[2] != 3)):
        raise InputError(f"picture is {image.shape} {image.dtype}, expected (H, W) gray or (H, W, 3) RGB, uint8")


def _show(axes: Axes, image: Pixels, face: Face) -> None:
    """The picture with a box around its face, unless the face is the whole picture."""
    axes.imshow(image, cmap="gray" if image.ndim == 2 else None, vmin=0, vmax=255)
    axes.set_axis_off()
    x, y, width, height = face.box
    if (width, height) != (image.shape[1], image.shape[0]):
        for color, line in (("white", 2.6), (BLUE, 1.4)):
            box = Rectangle((x - 0.5, y - 0.5), width, height, fill=False, edgecolor=color, linewidth=line)
            axes.add_patch(box)
