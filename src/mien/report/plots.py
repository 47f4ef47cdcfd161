"""Pictures: the figures of a report, each a matplotlib Figure that can be saved, embedded or inspected.

No pyplot, so nothing here needs a display or keeps global state. Classes stand in the order given, never sorted by
value. Colors are the color-blind-safe palette of Okabe and Ito, https://jfly.uni-koeln.de/color (2008).
Shapes: K classes, M models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from mien.errors import InputError
from mien.evaluation.printed import figure_text, format_estimate
from mien.report.style import (
    BLUE,
    FAINT,
    INK,
    MODELS,
    ORANGE,
    VERMILLION,
    WIDTH,
    Share,
    check_history,
    draw_epochs,
    draw_line,
    draw_ring,
    shorten,
    styled,
)

if TYPE_CHECKING:
    from mien.evaluation.compare import Comparison
    from mien.evaluation.evaluate import Evaluation
    from mien.training.run import Epoch


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


@styled
def curves(history: Sequence[Epoch], title: str, best_epoch: int | None = None) -> Figure:
    """Loss and accuracy per epoch, train and val, side by side; `best_epoch` (counted from 1) is marked."""
    check_history(history, title)
    figure = Figure(figsize=(WIDTH, 2.75))
    loss, accuracy = figure.subplots(1, 2)
    figure.suptitle(shorten(title, 80), x=0.01, ha="left", fontsize=10.5, fontweight="bold")
    best = next((row for row in history if row.epoch == best_epoch), None)
    for axes, name in ((loss, "loss"), (accuracy, "accuracy")):
        for split, color in (("train", FAINT), ("val", BLUE)):
            draw_line(axes, history, f"{split}_{name}", color, label=split)
        draw_epochs(axes, history[-1].epoch)
        if best is not None:
            value = getattr(best, f"val_{name}")
            axes.axvline(best.epoch, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0.5)
            draw_ring(axes, best.epoch, value, BLUE)
            axes.set_title(f"best epoch {best.epoch}: val {name} {figure_text(value)}", fontsize=9, fontweight="normal")
    loss.set_ylabel("cross entropy (nats)")
    accuracy.set_ylabel("accuracy")
    loss.legend()
    accuracy.yaxis.set_major_formatter(Share())
    return figure


@styled
def loss_against_accuracy(runs: Sequence[tuple[str, Sequence[Epoch]]]) -> Figure:
    """Val loss beside val accuracy, one row per run (name, history).

    Marked are the epoch of lowest val loss and that of best val accuracy; the epochs between them are shaded when
    the best accuracy comes later, that is, where the loss rises while the accuracy still rises.
    """
    if not runs:
        raise InputError("loss against accuracy: no run to draw, expected at least one")
    figure = Figure(figsize=(WIDTH, 0.5 + 1.8 * len(runs)))
    rows = figure.subplots(len(runs), 2, sharex=True, squeeze=False)
    longest = max((row.epoch for _, history in runs for row in history), default=1)
    for (loss, accuracy), (name, history) in zip(rows, runs, strict=True):
        check_history(history, name)
        lowest, best = turning_epochs(history)
        draw_line(loss, history, "val_loss", VERMILLION)
        draw_line(accuracy, history, "val_accuracy", BLUE)
        accuracy.yaxis.set_major_formatter(Share())
        where = "never finite"
        if lowest is not None:
            where = f"lowest at epoch {lowest.epoch}"
            draw_ring(loss, lowest.epoch, lowest.val_loss, VERMILLION)
            if best.epoch > lowest.epoch:
                for axes in (loss, accuracy):
                    axes.axvspan(lowest.epoch, best.epoch, color=ORANGE, alpha=0.16, linewidth=0)
        draw_ring(accuracy, best.epoch, best.val_accuracy, BLUE)
        loss.set_title(f"{shorten(name, 40)}\nval loss, {where}", fontsize=9)
        accuracy.set_title(f"val accuracy, best at epoch {best.epoch}", fontsize=9)
        for axes in (loss, accuracy):
            draw_epochs(axes, longest, label=axes in rows[-1])
    return figure


def turning_epochs(history: Sequence[Epoch]) -> tuple[Epoch | None, Epoch]:
    """The first epoch of lowest val loss (None if no loss is finite) and the first of best val accuracy."""
    finite = (row for row in history if math.isfinite(row.val_loss))
    return min(finite, key=lambda row: row.val_loss, default=None), max(history, key=lambda row: row.val_accuracy)


@styled
def confusion(evaluation: Evaluation, title: str | None = None) -> Figure:
    """The confusion matrix: rows are true classes, columns predicted ones; percent of the row, counts small below."""
    counts_KK = np.asarray(evaluation.confusion)
    totals_K = counts_KK.sum(axis=1, keepdims=True)
    percent_KK = 100 * counts_KK / np.maximum(totals_K, 1)
    k, cell = len(evaluation.labels), 0.62 if len(evaluation.labels) < 9 else 0.54
    side = max(2.4, cell * k)
    figure = Figure(figsize=(side + 1.1, side + 1.2))
    axes = figure.subplots()
    image = axes.imshow(percent_KK, cmap="Blues", vmin=0, vmax=100)
    for i, j in np.ndindex(k, k):
        color = _ink_on(image.to_rgba(percent_KK[i, j]))
        text = f"{percent_KK[i, j]:.0f}" if totals_K[i, 0] else "–"
        axes.text(j, i - 0.1, text, ha="center", va="center", color=color, fontsize=10, gid=f"percent-{i}-{j}")
        axes.text(j, i + 0.27, f"{counts_KK[i, j]:,}", ha="center", va="center", color=color, fontsize=7,
                  gid=f"count-{i}-{j}")  # fmt: skip
    names = [shorten(label) for label in evaluation.labels]
    crowded = max(map(len, names)) * 0.072 > side / k
    axes.set_xticks(range(k), names, rotation=40 if crowded else 0,
                    ha="right" if crowded else "center", rotation_mode="anchor" if crowded else "default")  # fmt: skip
    axes.set_yticks(range(k), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true (row percent, count below)")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    scores = evaluation.scores
    figures = f"{evaluation.split} accuracy {format_estimate(scores.accuracy)}, n = {scores.n:,}"
    axes.set_title(f"{shorten(evaluation.model)}\n{figures}" if title is None else title, fontsize=9.5)
    return figure


@styled
def per_class(comparison: Comparison, labels: Sequence[str] | None = None) -> Figure:
    """F1 of each class as one bar per model, support under the class name; `labels` picks and orders the classes.

    Raises `InputError` for a label that the comparison does not hold.
    """
    by_label = {row.label: row for row in comparison.per_class}
    chosen = list(by_label) if labels is None else list(labels)
    unknown = [label for label in chosen if label not in by_label]
    if unknown:
        raise InputError(f"per class: no class '{unknown[0]}' in the comparison. Known: {', '.join(by_label)}")
    k, m = len(chosen), len(comparison.models)
    figure = Figure(figsize=(min(max(WIDTH, 0.14 * k * m), 11.0), 3.0))
    axes = figure.subplots()
    width = 0.82 / m
    handles: list[Artist] = []
    for i in range(m):
        f1_K = [by_label[label].f1[i] for label in chosen]
        x_K = np.arange(k) + (i - (m - 1) / 2) * width
        hatch = ("", "///", "...", "xxx")[i // len(MODELS) % 4]
        bars = axes.bar(x_K, [f1 or 0.0 for f1 in f1_K], width * 0.92, color=MODELS[i % len(MODELS)], hatch=hatch,
                        edgecolor="white", linewidth=0)  # fmt: skip
        texts = ["–" if f1 is None else figure_text(f1, 2) for f1 in f1_K]
        if k * m <= 32:  # more would run into each other
            axes.bar_label(bars, texts, padding=1.5, fontsize=7)
        handles.append(bars[0])
    names = [f"{shorten(label)}\n{by_label[label].support:,}" for label in chosen]
    axes.set_xticks(range(k), names)
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel(f"F1 on {comparison.split}")
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(Share())
    axes.yaxis.grid(True)
    axes.set_axisbelow(True)
    axes.set_xlabel(f"class, with its images below (n = {comparison.n:,})")
    columns = min(m, 4 if max(map(len, comparison.models)) <= 14 else 3)
    legend = figure.legend(handles, [str(i) for i in range(m)], loc="outside upper left", ncols=columns)
    for entry, name in zip(legend.get_texts(), comparison.models, strict=True):
        entry.set_text(shorten(name))  # set here, because matplotlib drops legend entries that begin with "_"
    return figure


def _ink_on(color: npt.NDArray[Any]) -> str:
    """White or dark, whichever has more contrast on an sRGB `color`. Source: WCAG 2.2, relative luminance."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "white" if luminance < 0.21 else INK  # there the contrast with both is the same
