"""Pictures of confidence: the reliability diagram, and risk against coverage."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mien.errors import InputError
from mien.evaluation.abstention import Abstention
from mien.evaluation.calibration import Calibration
from mien.evaluation.printed import figure_text
from mien.report.style import BLUE, FAINT, INK, PALE, VERMILLION, WIDTH, Share, shorten, styled


@styled
def reliability(model: str, after: Calibration, before: Calibration | None = None) -> Figure:
    """Accuracy against confidence, bin by bin, and below it how many images each bin holds.

    `before`: the same without the temperature, in gray. Source: Niculescu-Mizil and Caruana, ICML 2005.
    """
    if not after.bins:
        raise InputError("reliability: the calibration holds no bins. Evaluate the model again")
    figure = Figure(figsize=(0.62 * WIDTH, 4.6))
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)), label="perfect")
    if before and before.bins:
        _line(axes, before, PALE, "before temperature")
    _line(axes, after, BLUE, "as answered")
    axes.set_ylabel("accuracy of the bin")
    axes.set_ylim(0, 1)
    axes.legend(loc="upper left")
    axes.set_title(f"{shorten(model, 30)}: ECE {figure_text(after.ece)}, n = {after.n:,}", fontsize=9.5)
    width = min(one.high - one.low for one in after.bins)
    middles = [(one.low + one.high) / 2 for one in after.bins]
    counts.bar(middles, [one.n for one in after.bins], width * 0.9, color=BLUE)
    counts.set_ylabel("images")
    counts.set_xlabel("confidence")
    counts.set_xlim(0, 1)
    for part in (axes, counts):
        part.xaxis.set_major_formatter(Share())
    axes.yaxis.set_major_formatter(Share())
    axes.grid(True)
    axes.set_axisbelow(True)
    return figure


def _line(axes: Axes, found: Calibration, color: str, label: str) -> None:
    x, y = [one.confidence for one in found.bins], [one.accuracy for one in found.bins]
    axes.plot(x, y, color=color, marker="o", markersize=3.5, label=label)


@styled
def risk_coverage(model: str, found: Abstention) -> Figure:
    """Share of wrong answers against the share of images that are answered, with its interval as a band."""
    figure = Figure(figsize=(0.62 * WIDTH, 3.4))
    axes = figure.subplots()
    told = [(one.coverage, one.risk) for one in found.curve if one.risk]
    x = [coverage for coverage, _ in told]
    axes.fill_between(x, [r.low for _, r in told], [r.high for _, r in told], color=BLUE, alpha=0.16, linewidth=0)
    axes.plot(x, [r.value for _, r in told], color=BLUE)
    if found.wanted is not None:
        axes.axhline(found.wanted, color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.text(0.005, found.wanted, f" wanted: {figure_text(found.wanted, 2)}", va="bottom", fontsize=8, color=INK)
    there = found.at_threshold
    if there and there.risk:
        axes.plot([there.coverage], [there.risk.value], "o", color="white", markeredgecolor=VERMILLION,
                  markeredgewidth=1.6, markersize=7, zorder=5)  # fmt: skip
        text = f"threshold {figure_text(there.threshold)}"
        axes.annotate(text, (there.coverage, there.risk.value), xytext=(-6, 10), textcoords="offset points",
                      ha="right", fontsize=8)  # fmt: skip
    axes.set_title(f"{shorten(model, 30)}, {found.split}", fontsize=9.5)
    axes.set_xlabel(f"coverage: share of {found.n:,} images that are answered")
    axes.set_ylabel("risk: share of wrong answers")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, None)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(Share())
    axes.grid(True)
    axes.set_axisbelow(True)
    return figure
