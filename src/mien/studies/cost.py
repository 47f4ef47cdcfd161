"""Cost: accuracy against training minutes, latency and parameters, in sentences and a numbered chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from mien.errors import InputError
from mien.evaluation.bootstrap import Estimate
from mien.evaluation.printed import figure_text, format_estimate
from mien.models.family import FAMILIES, Family
from mien.report.content import RunReport, StudyReport
from mien.report.families import asked_runs, called, kind, short_names
from mien.report.layout import Picture, Section
from mien.report.style import BLUE, GREEN, PURPLE, SKY, VERMILLION, WIDTH, share_axis, shorten, styled
from mien.report.words import listed
from mien.studies.results import device

# Color and shape, so that neither has to be told apart alone.
MARKS = ((BLUE, "o"), (SKY, "v"), (VERMILLION, "s"), (GREEN, "D"), (PURPLE, "^"))
SHORTEST = 0.01  # minutes: cards round to that, and a log axis has no zero


@dataclass(frozen=True)
class Point:
    """One model: its accuracy, and what it costs on each panel's axis."""

    name: str
    family: str
    accuracy: Estimate
    costs: tuple[float | None, ...]  # above 0; None where the model does not stand on a panel


def cost_section(report: StudyReport) -> Section:
    """A picture of all runs, and in words what more minutes buy. Nothing for a single run."""
    runs = report.runs
    title = "Accuracy against cost"
    if len(runs) < 2:
        return Section(title)
    split = "test" if all("test" in run.evaluations for run in runs) else "val"
    n = max(run.evaluations[split].scores.n for run in runs)
    text = f"{split.capitalize()} accuracy, n = {n:,}; bars are the 95 % intervals, axes of cost are logarithmic."
    points = [_minutes_sentence(runs)]
    if _one_device(runs):
        points.append(_frontier_sentence(runs, split))
    points += _question_costs(report)
    figure = accuracy_against_cost(_points(runs, split), split, _panels(runs), list(_family_names(runs).values()))
    alt = f"{split.capitalize()} accuracy of each run against its cost; the table of results has the numbers."
    return Section(title, text=(text,), points=tuple(points), pictures=(Picture.of("cost", figure, alt),))


@styled
def accuracy_against_cost(
    points: Sequence[Point], split: str, panels: Sequence[tuple[str, str]], families: Sequence[str]
) -> Figure:
    """Accuracy on `split` against costs on log axes, one panel (title, axis label) below the other.

    Bars are the 95 % intervals. Marks bear the numbers of the models in the list below the panels, counted from 1 in
    the order given. Colors and shapes follow the order of `families`, which the legend names.
    """
    if not points:
        raise InputError("accuracy against cost: no model to draw, expected at least one")
    names = [f"{i}  {shorten(point.name, 40)}" for i, point in enumerate(points, 1)]
    columns = max(1, min(len(names), 100 // (max(map(len, names)) + 6)))
    figure = Figure(figsize=(WIDTH, 0.6 + 2.9 * len(panels) + 0.19 * -(-len(names) // columns)))
    marks = {family: MARKS[i % len(MARKS)] for i, family in enumerate(families)}
    rows = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for i, (axes, (title, label)) in enumerate(zip(rows, panels, strict=True)):
        _scatter(axes, [(n, point, cost) for n, point in enumerate(points, 1) if (cost := point.costs[i])], marks)
        axes.set_title(title, fontsize=9.5)
        axes.set_xlabel(label)
        axes.set_ylabel(f"{split} accuracy")
    used = [family for family in families if any(point.family == family for point in points)]
    handles = [_mark(rows[0], marks[family]) for family in used]
    figure.legend(handles, used, loc="outside upper left", ncols=min(len(used), 3), handletextpad=0.2)
    listed_as = [_mark(rows[0], marks[point.family]) for point in points]
    figure.legend(listed_as, names, loc="outside lower left", ncols=columns, fontsize=8, handletextpad=0.2)
    return figure


def _scatter(axes: Axes, standing: Sequence[tuple[int, Point, float]], marks: dict[str, tuple[str, str]]) -> None:
    axes.set_xscale("log")
    for number, point, cost in standing:
        (color, _), value = marks[point.family], point.accuracy.value
        axes.plot([cost, cost], [point.accuracy.low, point.accuracy.high], color=color, linewidth=1.1, alpha=0.55)
        above = 3 + number / 1000  # a mark covers the number of one below it
        _mark(axes, marks[point.family], cost, value, size=11).set_zorder(above)
        axes.annotate(str(number), (cost, value), ha="center", va="center_baseline", fontsize=6.5, gid="number",
                      zorder=above)  # fmt: skip
    costs = [cost for _, _, cost in standing]
    if costs:
        room = max(1.25, (max(costs) / min(costs)) ** 0.12)
        axes.set_xlim(min(costs) / room, max(costs) * room)
    ends = [end for _, point, _ in standing for end in (point.accuracy.low, point.accuracy.high)]
    if ends:
        margin = max(0.01, 0.1 * (max(ends) - min(ends)))
        axes.set_ylim(min(ends) - margin, max(ends) + margin)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}" if x < 1e4 else f"{x:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.grid(True)
    share_axis(axes.yaxis)


def _mark(axes: Axes, mark: tuple[str, str], *at: float, size: float = 6) -> Line2D:
    """White inside, so that a number can be read on it; without a place, for a legend."""
    x, y = ([at[0]], [at[1]]) if at else ([], [])
    (line,) = axes.plot(x, y, mark[1], color=mark[0], markerfacecolor="white", markeredgewidth=1.3, markersize=size)
    return line


def _points(runs: Sequence[RunReport], split: str) -> list[Point]:
    timed, short = any(run.latency for run in runs), short_names(runs)
    names = _family_names(runs)
    return [
        Point(
            name=short[run.name],
            family=names[kind(run)],
            accuracy=run.evaluations[split].scores.accuracy,
            costs=(
                max(run.card.training.minutes, SHORTEST),
                (run.latency.ms_single if run.latency else None) if timed else run.card.parameters / 1e6,
            ),
        )
        for run in runs
    ]


def _family_names(runs: Sequence[RunReport]) -> dict[Family, str]:
    """For the legend: each family, with the backbones that stand for it. All of them in their order, so that a family
    has the same color in every report."""
    backbones: dict[Family, list[str]] = {name: [] for name in FAMILIES}
    for run in runs:
        found = backbones[kind(run)]
        if run.card.backbone and run.card.backbone not in found:
            found.append(run.card.backbone)
    return {name: f"{name}: {', '.join(found)}" if found else name for name, found in backbones.items()}


def _panels(runs: Sequence[RunReport]) -> list[tuple[str, str]]:
    where = "on different devices, so they do not compare" if not _one_device(runs) else f"on {device(runs[0])}"
    minutes = ("Against training", f"minutes of training, {where}")
    timed = [run.latency for run in runs if run.latency]
    if not timed:
        return [minutes, ("Against size", "parameters, millions")]
    devices = listed(list(dict.fromkeys(one.device for one in timed)))
    return [minutes, ("Against latency", f"milliseconds for one face, float32, on {devices}")]


def _minutes_sentence(runs: Sequence[RunReport]) -> str:
    if _one_device(runs):
        return f"All minutes were measured on {device(runs[0])}; other work on that machine counts in."
    places: dict[str, list[str]] = {}
    for run in runs:
        places.setdefault(device(run), []).append(run.name)
    words = "; ".join(f"on {place}: {', '.join(names)}" for place, names in places.items())
    return f"Minutes of different devices do not compare. They were measured {words}."


def _frontier_sentence(runs: Sequence[RunReport], split: str) -> str:
    """The runs that no other one beats in both minutes and accuracy."""
    best, frontier = -1.0, []
    for run in sorted(runs, key=lambda run: (run.card.training.minutes, -_accuracy(run, split))):
        if _accuracy(run, split) > best:
            best = _accuracy(run, split)
            frontier.append(f"{called(run)} ({run.card.training.minutes:,.1f} minutes, {figure_text(best)})")
    if len(frontier) == 1:
        return f"{frontier[0]} is both the quickest to train and the most accurate on {split}."
    which = "No run is" if len(frontier) == len(runs) else "All runs but these are"
    return f"{which} beaten by another in minutes and {split} accuracy at once: {', '.join(frontier)}."


def _question_costs(report: StudyReport) -> list[str]:
    """What the ViT of the study's question costs beside its CNN."""
    by_name = {run.name: run for run in report.runs}
    pairs = dict.fromkeys((other, names[-1]) for names in asked_runs(report) for other in names[:-1])
    return [_beside(by_name[other], by_name[vit]) for other, vit in pairs]


def _beside(other: RunReport, vit: RunReport) -> str:
    words = []
    if device(other) == device(vit):
        ours, theirs = (max(run.card.training.minutes, SHORTEST) for run in (vit, other))
        words.append(f"{_times(ours / theirs)} the training minutes ({ours:,.1f} against {theirs:,.1f})")
    if other.latency and vit.latency and other.latency.device == vit.latency.device:
        single, their_single = vit.latency.ms_single, other.latency.ms_single
        words.append(
            f"{_times(single / their_single)} the milliseconds for one face ({single:.3g}, {their_single:.3g})"
        )
    size, their_size = vit.card.parameters, other.card.parameters
    words.append(f"{_times(size / their_size)} the parameters ({size / 1e6:.2f} M against {their_size / 1e6:.2f} M)")
    ours_text, theirs_text = (format_estimate(run.final.scores.accuracy) for run in (vit, other))
    accuracy = f"{vit.final.split} accuracy {ours_text} against {theirs_text}, n = {vit.final.scores.n:,}"
    return f"Beside {called(other)}, {called(vit)} takes {listed(words)}, for {accuracy}."


def _times(ratio: float) -> str:
    return f"{ratio:,.0f} times" if ratio >= 10 else f"{ratio:.2g} times"


def _accuracy(run: RunReport, split: str) -> float:
    return run.evaluations[split].scores.accuracy.value


def _one_device(runs: Sequence[RunReport]) -> bool:
    return len({device(run) for run in runs}) == 1
