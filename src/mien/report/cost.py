"""Cost: accuracy against training minutes, latency and parameters."""

from __future__ import annotations

from collections.abc import Sequence

from mien.evaluation.evaluate import figure_text, format_estimate
from mien.models.family import FAMILIES, Family
from mien.report import plots_cost
from mien.report.content import RunReport, StudyReport
from mien.report.families import asked_runs, called, kind, short_names
from mien.report.layout import Picture, Section
from mien.report.results import device
from mien.report.wording import listed

SHORTEST = 0.01  # minutes: cards round to that, and a log axis has no zero


def accuracy_against_cost(report: StudyReport) -> Section:
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
    figure = plots_cost.accuracy_against_cost(
        _points(runs, split), split, _panels(runs), list(_family_names(runs).values())
    )
    alt = f"{split.capitalize()} accuracy of each run against its cost; the table of results holds the numbers."
    return Section(title, text=(text,), points=tuple(points), pictures=(Picture.of("cost", figure, alt),))


def _points(runs: Sequence[RunReport], split: str) -> list[plots_cost.Point]:
    timed, short = any(run.latency for run in runs), short_names(runs)
    names = _family_names(runs)
    return [
        plots_cost.Point(
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
