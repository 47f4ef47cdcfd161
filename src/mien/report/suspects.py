"""Suspects: labels that deserve a second look, in sentences, a table by class and a picture of the faces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mien.data.faceset import FaceSet
from mien.errors import InputError
from mien.evaluation.printed import NONE, figure_text, format_estimate
from mien.evaluation.suspects import MOST, Suspect, Suspects
from mien.images import Pixels
from mien.report.layout import Cell, Picture, Section, Table
from mien.report.style import FAINT, INK, WIDTH, draw_crop, shorten, styled
from mien.report.words import plural

TITLE = "Suspicious labels"
DRAWN = 60  # faces at most
COLUMNS = 10
_CAPTION = 0.3  # inches below each face
_TEXT = (
    "A list for people to look at, not a list of errors: a classifier that learned from the other images of the split "
    "finds another label more probable. It knows pre-trained features of whole pictures and not much of faces, so it "
    "doubts many labels that are right, of rare classes above all, and its own suggestion is often wrong too. No label "
    "was changed."
)


def suspects_section(found: Suspects, faces: FaceSet) -> Section:
    """How many labels are in doubt, of which classes, and the most doubtful faces; pixels come from `faces`.

    Raises `InputError` where `faces` lacks an image that `found` names.
    """
    shown = [*zip(_pixels(found, faces), found.ranked, strict=False)]
    alt = (
        f"The {len(shown)} faces of {found.split} whose label is most in doubt, with that label and the suggested one."
    )
    pictures = (Picture.of("suspects", most_suspicious(shown), alt),) if shown else ()
    return Section(TITLE, text=(_TEXT,), points=suspect_sentences(found), tables=(_by_class(found),), pictures=pictures)


def suspect_sentences(found: Suspects) -> tuple[str, ...]:
    """What was found, in plain words."""
    words = [
        f"Of {found.n:,} images of {found.split} cleanlab doubts the label of {found.issues:,} "
        f"({100 * found.issues / found.n:.1f} %). The classifier behind it (logistic regression on frozen "
        f"{found.backbone} features at {found.size} pixels, {found.folds} folds, identical images in one fold, seed "
        f"{found.seed}) gives the label itself to {format_estimate(found.accuracy)} of the images.",
        *_most_doubted(found),
    ]
    conflicts = sum(suspect.conflict for suspect in found.ranked)
    if conflicts:
        words.append(
            f"{conflicts:,} of the {_listed(found.ranked)} {'stands' if conflicts == 1 else 'stand'} in the data with "
            "the same pixels under another label, so one of the labels is wrong for certain; marked with a star."
        )
    if found.issues > MOST:
        words.append(f"The list shows the {MOST} most doubtful.")
    if len(found.ranked) > DRAWN:
        words.append(f"The picture shows the first {DRAWN}, the label that stands in the data over the suggested one.")
    return tuple(words)


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


def _most_doubted(found: Suspects) -> tuple[str, ...]:
    rows = [row for row in found.per_class if row.issues]
    if not rows:
        return ()
    most = max(rows, key=lambda row: row.issues / row.images)
    return (f"Most doubted is {most.label}: {most.issues:,} of the {most.images:,} images labeled so.",)


def _listed(ranked: tuple[Suspect, ...]) -> str:
    return f"{len(ranked):,} listed {plural('image', len(ranked))}"


def _by_class(found: Suspects) -> Table:
    header = ("Label", f"Images in {found.split}", "In doubt", "Share", "Most often suggested, of those listed")
    rows = tuple(
        (
            Cell(row.label),
            Cell(f"{row.images:,}"),
            Cell(f"{row.issues:,}"),
            Cell(figure_text(row.issues / row.images) if row.images else NONE),
            Cell(_suggested(found, row.label)),
        )
        for row in found.per_class
    )
    note = (
        "In doubt by confident learning (Northcutt et al., JAIR 2021; cleanlab), ranked by the out-of-fold probability "
        "of the label. Shares are of what this classifier doubts, not of what is wrong."
    )
    return Table(header, rows, note)


def _suggested(found: Suspects, label: str) -> str:
    given = [suspect.suggested for suspect in found.ranked if suspect.label == label]
    if not given:
        return NONE
    top = max(sorted(set(given)), key=given.count)
    return f"{top} ({given.count(top):,} of {len(given):,})"


def _pixels(found: Suspects, faces: FaceSet) -> list[Pixels]:
    """Of the first `DRAWN` suspects."""
    seen = faces.select(found.split)
    place = {str(name): i for i, name in enumerate(seen.names)}
    names = [suspect.name for suspect in found.ranked[:DRAWN]]
    absent = [name for name in names if name not in place]
    if absent:
        raise InputError(
            f"{faces.source}: its {found.split} split has no image {absent[0]}, which was found in {found.source}. "
            "Give the data that were searched"
        )
    return list(seen.gather(np.array([place[name] for name in names], dtype=np.int64))) if names else []
