"""Picture of suspects: the faces whose label is most in doubt, each over its label and the one suggested instead."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from mien.errors import InputError
from mien.evaluation.suspects import Suspect
from mien.images import Pixels
from mien.report.style import FAINT, INK, WIDTH, draw_crop, shorten, styled

DRAWN = 60  # faces at most
COLUMNS = 10
_CAPTION = 0.3  # inches below each face


@styled
def most_suspicious(shown: Sequence[tuple[Pixels, Suspect]]) -> Figure:
    """Faces `(H, W)` gray or `(H, W, 3)` RGB uint8, row by row in the order given; the first `DRAWN` of them.

    Below each stands the label that it carries, and under that the suggested one. A star marks pixels that stand in the
    data under several labels. Raises `InputError` for no face.
    """
    if not shown:
        raise InputError("no suspicious face to draw, expected at least one")
    shown = shown[:DRAWN]
    rows = -(-len(shown) // COLUMNS)
    figure = Figure(figsize=(WIDTH, rows * (WIDTH / COLUMNS + _CAPTION)))
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    cells = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for unused in cells[len(shown) :]:
        unused.set_axis_off()
    for axes, (image, suspect) in zip(cells, shown, strict=False):
        draw_crop(axes, image)
        star = " *" if suspect.conflict else ""
        for line, (text, color) in enumerate(
            ((shorten(suspect.label, 12) + star, FAINT), (f"→ {shorten(suspect.suggested, 10)}", INK))
        ):
            axes.annotate(text, (0.5, 0), (0, -2 - 9 * line), "axes fraction", "offset points", ha="center", va="top",
                          fontsize=7.5, color=color)  # fmt: skip
    return figure
