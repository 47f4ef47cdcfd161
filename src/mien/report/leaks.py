"""Leaks: what two splits share, in sentences, a table, and pictures of pairs for people to judge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mien.data.faceset import FaceSet
from mien.data.leaks import DOUBTFUL, Leaks, Pair
from mien.images import Pixels
from mien.report.layout import Cell, Page, Picture, Section, Table
from mien.report.style import FAINT, INK, WIDTH, draw_crop, shorten, styled
from mien.report.words import plural

SAMPLE, EDGE = 60, 30  # pairs that are drawn: by chance, and on each side of the threshold
_COLUMNS = 6
_CAPTION = 0.34  # inches below each pair
_HOW = (
    "Two images count as one photo where what lies between light and noise in them correlates by at least "
    "{threshold:.2f}, wherever one lies over the other, at sizes from .88 to 1.12, mirrored or not. So copies that "
    "were cut, scaled, brightened or marked otherwise are found; other photos of one person are not, as a rule. "
    "Nothing is removed: look at the pairs before you leave images out."
)


def leaks_page(found: Leaks, faces: FaceSet) -> Page:
    """What was found, a sample of the pairs by chance, and those on both sides of the threshold."""
    counted = [pair for pair in found.pairs if pair.similarity >= found.threshold]
    below = [pair for pair in found.pairs if pair.similarity < found.threshold]
    chance = np.random.default_rng(0).permutation(len(counted))[:SAMPLE]
    shown = (
        ("A sample", "Drawn by chance from all that are counted.", [counted[i] for i in chance]),
        ("The least alike that are counted", "", counted[-EDGE:]),
        ("The most alike that are not counted", f"From {DOUBTFUL:.2f} upward they are looked at.", below[:EDGE]),
    )
    place = {str(name): i for i, name in enumerate(faces.names)}
    sections = [Section("What the splits share", points=leak_sentences(found), tables=(_table(found),))]
    for title, text, pairs in shown:
        if pairs:
            crops = [_crops(faces, place, pair) for pair in pairs]
            words = f"{len(pairs):,} {plural('pair', len(pairs))}: left the later split, right the earlier one. {text}"
            picture = Picture.of(title, pairs_drawn(pairs, crops), f"{title}: pairs of faces.")
            sections.append(Section(title, text=(words.strip(),), pictures=(picture,)))
    sections.append(Section("How", text=(_HOW.format(threshold=found.threshold),)))
    where = f"{found.source}, fingerprint {found.fingerprint[:16]}"
    return Page("One photo in two splits", where, tuple(sections))


def leak_sentences(found: Leaks) -> tuple[str, ...]:
    """A sentence for each two splits, and one of persons."""
    words = []
    for key, near in found.near.items():
        later, _, earlier = key.partition(" in ")
        if found.images[later] and found.images[earlier]:
            of = found.images[later]
            words.append(
                f"Of {of:,} {later} images {found.identical[key]:,} stand in {earlier} with the same pixels; {near:,} "
                f"more ({100 * near / of:.1f} %) show a photo that is there too, {found.other_label[key]:,} of them "
                "under another label."
            )
    if not words:
        only = next((split for split, count in found.images.items() if count), "")
        words.append(
            f"All {found.images.get(only, 0):,} images are of one split, {only}: there is none to compare it with."
        )
    if found.shared_persons:
        told = ", ".join(f"{count:,} of {key}" for key, count in found.shared_persons.items())
        words.append(f"Persons in two splits: {told}.")
    else:
        words.append(
            "Who is on a picture is not known, so the same person in two splits is not found: --subjects tells."
        )
    return tuple(words)


@styled
def pairs_drawn(pairs: Sequence[Pair], crops: Sequence[tuple[Pixels, Pixels]]) -> Figure:
    """Pairs side by side, the similarity and both labels below; a star marks mirror images."""
    rows = -(-len(pairs) // _COLUMNS)
    figure = Figure(figsize=(WIDTH, rows * (WIDTH / _COLUMNS / 2 + _CAPTION)))
    figure.set_layout_engine("constrained", w_pad=0.01, h_pad=0.02, wspace=0, hspace=0)
    cells = figure.subplots(rows, 2 * _COLUMNS, squeeze=False).reshape(-1, 2)
    for left, right in cells[len(pairs) :]:
        left.set_axis_off()
        right.set_axis_off()
    for (left, right), pair, (later, earlier) in zip(cells, pairs, crops, strict=False):
        draw_crop(left, later)
        draw_crop(right, earlier)
        star = " *" if pair.mirrored else ""
        for axes, label, more in ((left, pair.label, f"{pair.similarity:.2f}{star}"), (right, pair.of_label, "")):
            for line, (text, color) in enumerate(((shorten(label, 9), INK), (more, FAINT))):
                axes.annotate(text, (0.5, 0), (0, -2 - 9 * line), "axes fraction", "offset points", ha="center",
                              va="top", fontsize=7.5, color=color)  # fmt: skip
    return figure


def _table(found: Leaks) -> Table:
    header = ("Images of", "that are in", "n", "Same pixels", "Further, the same photo", "under another label")
    rows = []
    for key, near in found.near.items():
        later, _, earlier = key.partition(" in ")
        counts = (found.images[later], found.identical[key], near, found.other_label[key])
        rows.append((Cell(later), Cell(earlier), *(Cell(f"{count:,}") for count in counts)))
    return Table(header, tuple(rows))


def _crops(faces: FaceSet, place: dict[str, int], pair: Pair) -> tuple[Pixels, Pixels]:
    later, earlier = faces.gather(np.array([place[pair.name], place[pair.of]]))
    return later, earlier
