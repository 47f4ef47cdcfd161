"""Cost pictures: accuracy against what a model costs, every point with its interval and its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from mien.errors import InputError
from mien.evaluation.bootstrap import Estimate
from mien.report.places import Box, Spot, place_names

# The style is shared by all pictures of a report, whichever module draws them.
from mien.report.style import BLUE, FAINT, GREEN, INK, PURPLE, SKY, VERMILLION, WIDTH, Share, shorten, styled

# Color and shape, so that neither has to be told apart alone.
MARKS = ((BLUE, "o"), (SKY, "v"), (VERMILLION, "s"), (GREEN, "D"), (PURPLE, "^"))
_FONT = 7.5


@dataclass(frozen=True)
class Point:
    """One model: its accuracy, and what it costs on each panel's axis."""

    name: str
    family: str
    accuracy: Estimate
    costs: tuple[float | None, ...]  # above 0; None where the model does not stand on a panel


@styled
def accuracy_against_cost(
    points: Sequence[Point], split: str, panels: Sequence[tuple[str, str]], families: Sequence[str]
) -> Figure:
    """Accuracy on `split` against costs on log axes, one panel (title, axis label) below the other.

    Bars are the 95 % intervals. Colors and shapes follow the order of `families`, which the legend names.
    """
    if not points:
        raise InputError("accuracy against cost: no model to draw, expected at least one")
    figure = Figure(figsize=(WIDTH, 0.5 + len(panels) * min(3.9, 2.4 + 0.1 * len(points))))
    FigureCanvasAgg(figure)
    marks = {family: MARKS[i % len(MARKS)] for i, family in enumerate(families)}
    rows = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for i, (axes, (title, label)) in enumerate(zip(rows, panels, strict=True)):
        standing = [(point, cost) for point in points if (cost := point.costs[i]) is not None]
        _scatter(axes, standing, marks)
        axes.set_title(title, fontsize=9.5)
        axes.set_xlabel(label)
        axes.set_ylabel(f"{split} accuracy")
    used = [family for family in families if any(point.family == family for point in points)]
    handles = [axes.plot([], [], marks[family][1], color=marks[family][0], markersize=6)[0] for family in used]
    figure.legend(handles, used, loc="outside upper left", ncols=min(len(used), 3), handletextpad=0.2)
    figure.draw_without_rendering()  # settles where the axes stand, which the names depend on
    for i, axes in enumerate(rows):
        standing = [(point, cost) for point in points if (cost := point.costs[i]) is not None]
        _write_names(axes, standing)
    return figure


def _scatter(axes: Axes, standing: Sequence[tuple[Point, float]], marks: dict[str, tuple[str, str]]) -> None:
    axes.set_xscale("log")
    for point, cost in standing:
        color, shape = marks[point.family]
        value = point.accuracy.value
        axes.plot([cost, cost], [point.accuracy.low, point.accuracy.high], color=color, linewidth=1.1, alpha=0.55)
        axes.plot([cost], [value], shape, color=color, markersize=6, markeredgecolor="white", markeredgewidth=0.6)
    costs = [cost for _, cost in standing]
    if costs:
        room = max(1.25, (max(costs) / min(costs)) ** 0.12)
        axes.set_xlim(min(costs) / room, max(costs) * room)
    ends = [end for point, _ in standing for end in (point.accuracy.low, point.accuracy.high)]
    if ends:
        margin = max(0.01, 0.1 * (max(ends) - min(ends)))
        axes.set_ylim(min(ends) - margin, max(ends) + margin)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}" if x < 1e4 else f"{x:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(Share())
    axes.grid(True)
    axes.set_axisbelow(True)


def _write_names(axes: Axes, standing: Sequence[tuple[Point, float]]) -> None:
    """Each name beside its mark, tied to it by a line where it stands farther away or among other marks."""
    point_size = axes.figure.dpi / 72  # in pixels

    def spot(cost: float, accuracy: float) -> Spot:
        x, y = axes.transData.transform((cost, accuracy)) / point_size
        return Spot(float(x), float(y))

    names = [shorten(point.name, 40) for point, _ in standing]
    spots = [spot(cost, point.accuracy.value) for point, cost in standing]
    ends = [(spot(cost, point.accuracy.low), spot(cost, point.accuracy.high)) for point, cost in standing]
    bars = [Box(low.x - 1, low.y, high.x + 1, high.y) for low, high in ends]
    sizes = [_size_of(axes, name, point_size) for name in names]
    places = place_names(spots, sizes, bars, Box(*(float(edge) / point_size for edge in axes.bbox.extents)))
    for name, mark, place, (point, cost) in zip(names, spots, places, standing, strict=True):
        here, there = (cost, point.accuracy.value), place.box.middle
        axes.annotate(
            name, here, (there.x - mark.x, there.y - mark.y), textcoords="offset points", ha="center", va="center",
            fontsize=_FONT, color=INK, gid="name",
        ).set_in_layout(False)  # fmt: skip
        if place.tied:
            end = axes.transData.inverted().transform([edge * point_size for edge in place.box.nearest(mark)])
            (line,) = axes.plot(*zip(here, end, strict=True), color=FAINT, linewidth=0.6, zorder=1.5, gid="line")
            line.set_in_layout(False)


def _size_of(axes: Axes, name: str, point_size: float) -> tuple[float, float]:
    """Width and height of a name in points, with a little air."""
    probe = axes.text(0.5, 0.5, name, transform=axes.transAxes, fontsize=_FONT)
    extent = probe.get_window_extent()
    probe.remove()
    return extent.width / point_size + 3, extent.height / point_size + 1.5
