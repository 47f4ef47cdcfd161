"""Data: the images of each class and split, in a table and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from mien.errors import InputError
from mien.report.content import DataReport
from mien.report.layout import Cell, Picture, Section, Table
from mien.report.style import BLUE, WIDTH, shorten, styled


def data_section(data: DataReport) -> Section:
    """Counts, and how many images stand there twice."""
    header = ("Class", *(f"{split}, images" for split in data.counts))
    rows = [
        (Cell(label), *(Cell(f"{images.get(label, 0):,}") for images in data.counts.values())) for label in data.labels
    ]
    rows.append((Cell("all"), *(Cell(f"{sum(images.values()):,}") for images in data.counts.values())))
    points = tuple(f"{what[:1].upper()}{what[1:]}: {count:,}." for what, count in data.repeated.items())
    picture = Picture.of(
        "label-distribution",
        label_distribution(data.counts, data.labels),
        "Images per class and split; the numbers stand in the table above.",
    )
    return Section("Label distribution", points=points, tables=(Table(header, tuple(rows)),), pictures=(picture,))


@styled
def label_distribution(counts: Mapping[str, Mapping[str, int]], labels: Sequence[str]) -> Figure:
    """Images per class, one panel per split (`counts`: split → label → images; a missing label counts 0).

    Every panel has a scale of its own: splits differ in size tenfold, their shapes are what compares.
    """
    if not counts:
        raise InputError("label distribution: no split to draw, expected at least one")
    figure = Figure(figsize=(WIDTH, 0.9 + 0.27 * len(labels)))
    panels = figure.subplots(1, len(counts), sharey=True, squeeze=False)[0]
    for axes, (split, images) in zip(panels, counts.items(), strict=True):
        values = [images.get(label, 0) for label in labels]
        total = sum(values)
        bars = axes.barh(range(len(labels)), values, height=0.68, color=BLUE)
        texts = [f"{v:,} ({v / total:.0%})" if total else "0" for v in values]
        axes.bar_label(bars, texts, padding=3, fontsize=8)
        axes.set_xlim(0, max(1, *values) * 1.5)  # room for the counts
        axes.set_title(f"{split}, n = {total:,}")
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(labels)), [shorten(label) for label in labels])
    panels[0].invert_yaxis()  # the first class on top
    return figure
