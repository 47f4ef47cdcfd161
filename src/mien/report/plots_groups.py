"""Pictures of groups: what each scores, beside all of them together."""

from __future__ import annotations

from matplotlib.figure import Figure

from mien.evaluation.groups import Groups
from mien.evaluation.printed import format_estimate
from mien.report.style import BLUE, FAINT, INK, WIDTH, Share, shorten, styled

DRAWN = 30  # groups at most; the table holds all


@styled
def accuracy_by_group(found: Groups) -> Figure:
    """Accuracy of each group as a dot with its interval; hollow and gray where few images make it. G rows, by name.

    The line is the accuracy over all images that are in a group. Of many groups the largest are drawn.
    """
    largest = sorted(found.scores, key=lambda score: -score.n)[:DRAWN]
    scores = [score for score in found.scores if score in largest]
    figure = Figure(figsize=(WIDTH, 1.0 + 0.3 * len(scores)))
    axes = figure.subplots()
    together = sum(score.accuracy.value * score.n for score in found.scores) / found.n
    axes.axvline(together, color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0.5)
    for row, score in enumerate(scores):
        color, x = FAINT if score.few else BLUE, score.accuracy
        axes.plot([x.low, x.high], [row, row], color=color, linewidth=1.6, solid_capstyle="butt")
        axes.plot([x.value], [row], "o", color="white" if score.few else color, markeredgecolor=color,
                  markeredgewidth=1.5, markersize=6.5, zorder=3)  # fmt: skip
        axes.annotate(format_estimate(x), (1, row), (6, 0), ("axes fraction", "data"), "offset points", va="center",
                      fontsize=8, color=FAINT if score.few else INK)  # fmt: skip
    names = [f"{shorten(score.name)} (n = {score.n:,}{', few' if score.few else ''})" for score in scores]
    axes.set_yticks(range(len(scores)), names)
    axes.set_ylim(len(scores) - 0.4, -0.6)  # the first on top
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(Share())
    axes.xaxis.grid(True)
    axes.set_axisbelow(True)
    axes.set_xlabel(f"accuracy on {found.split}, 95 % interval; dashed: all {found.n:,} images in a group")
    return figure
