"""Pictures of the human ceiling: one tagger beside the model, by class and by how much taggers disagree."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mien.evaluation.evaluate import Estimate
from mien.evaluation.humans import HumanCeiling
from mien.report.style import BLUE, FAINT, ORANGE, WIDTH, Share, shorten, styled

_TAGGER, _MODEL = (ORANGE, "s"), (BLUE, "o")  # color and mark, so that neither has to be told apart alone
_APART = 0.14  # of a row or column, on either side of its middle


@styled
def tagger_and_model(found: HumanCeiling) -> Figure:
    """Left: of what the other taggers call so, the share that one tagger and the model call so. Right: both agreement
    with the other taggers, and the model's accuracy, over quarters of the images by entropy of their votes."""
    shown = [row for row in found.per_class if row.human or row.model]
    figure = Figure(figsize=(WIDTH, max(3.2, 1.3 + 0.3 * len(shown))))
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    for y, row in enumerate(shown):
        _across(left, row.human, y - _APART, _TAGGER, "one tagger" if y == 0 else None)
        _across(left, row.model, y + _APART, _MODEL, "the model" if y == 0 else None)
    left.set_yticks(range(len(shown)), [f"{shorten(row.label)} (n = {row.images:,.0f})" for row in shown])
    left.set_ylim(len(shown) - 0.4, -0.6)  # the first on top
    left.tick_params(axis="y", length=0)
    left.set_xlim(0, 1.03)
    left.xaxis.set_major_formatter(Share())
    left.xaxis.grid(True)
    left.set_axisbelow(True)
    left.set_title("What others call so")
    left.set_xlabel("share called so, 95 % interval")
    _draw_doubt(right, found)
    handles = [*left.get_legend_handles_labels()[0], *right.get_legend_handles_labels()[0]]
    figure.legend(handles=handles, loc="outside upper left", ncols=3)
    return figure


def _draw_doubt(axes: Axes, found: HumanCeiling) -> None:
    label: str | None = "the model against the labels"
    for x, group in enumerate(found.by_doubt):
        _upright(axes, group.human, x - 2 * _APART, _TAGGER)
        _upright(axes, group.model, x, _MODEL)
        _upright(axes, group.accuracy, x + 2 * _APART, (FAINT, "D"), label)
        label = None
    ticks = [f"{group.entropy[0]:.2f}–{group.entropy[1]:.2f}\nn = {group.n:,}" for group in found.by_doubt]
    axes.set_xticks(range(len(ticks)), [tick.replace("0.00–0.00", "0") for tick in ticks], fontsize=7.5)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, len(ticks) - 0.4)
    axes.set_ylim(0, 1.03)
    axes.yaxis.set_major_formatter(Share())
    axes.yaxis.grid(True)
    axes.set_axisbelow(True)
    axes.set_title("Where taggers disagree")
    axes.set_xlabel("entropy of the votes, nats")


def _across(axes: Axes, x: Estimate | None, y: float, drawn: tuple[str, str], label: str | None = None) -> None:
    if x is None:
        return
    color, marker = drawn
    axes.plot([x.low, x.high], [y, y], color=color, linewidth=1.6, solid_capstyle="butt")
    axes.plot([x.value], [y], marker, color=color, markersize=5.5, zorder=3, label=label)


def _upright(axes: Axes, y: Estimate, x: float, drawn: tuple[str, str], label: str | None = None) -> None:
    color, marker = drawn
    axes.plot([x, x], [y.low, y.high], color=color, linewidth=1.6, solid_capstyle="butt")
    axes.plot([x], [y.value], marker, color=color, markersize=5.5, zorder=3, label=label)
