"""Robustness: what a model withstands, or several side by side, in sentences, tables and pictures.

Shapes: S = 5 severities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mien.cards import Alignment
from mien.errors import InputError
from mien.evaluation.bootstrap import Estimate
from mien.evaluation.corruptions import CORRUPTIONS, SEVERITIES, STRENGTHS, Corruption, corrupt
from mien.evaluation.evidence import Evidence
from mien.evaluation.printed import figure_text, format_estimate
from mien.evaluation.robustness import LOST, CorruptionScore, Robustness
from mien.images import Pixels
from mien.recognize.align import FER2013
from mien.report.layout import Cell, Picture, Section, Table
from mien.report.style import MODELS, WIDTH, draw_crop, name_lines, share_axis, shorten, styled
from mien.report.words import listed, n_of

WORDS: Mapping[Corruption, str] = {  # in a sentence
    "blur": "blur",
    "noise": "noise",
    "brightness": "brightness",
    "contrast": "low contrast",
    "jpeg": "JPEG",
    "resolution": "low resolution",
    "rotation": "rotation",
    "shift": "shift",
    "eyes": "covered eyes",
    "mouth": "covered mouth",
}
COLUMNS = 5  # panels side by side
DRAWN = 4  # models in the picture beside a table of all
_MARKS = ("o", "s", "D", "^", "v", "P")  # beside the colors, so that neither has to be told apart alone
_TEXT = (
    "Strengths are relative to the crop, so that they mean the same at every size; JPEG alone harms small crops more. "
    "They were chosen by eye: 1 can hardly be seen, bars apart; 5 is hard for people too. Five severities and "
    "the mean over them are the idea of Hendrycks and Dietterich (ICLR 2019, arXiv:1903.12261), the strengths are "
    "ours, so figures compare between models here and not with other papers."
)
_UNITS: Mapping[Corruption, tuple[int, str]] = {  # what a strength is multiplied with, and how it is said
    "blur": (100, "sigma {} % of the side"),
    "noise": (100, "deviation {} % of white"),
    "brightness": (100, "± {} % of white"),
    "contrast": (100, "{} % are left"),
    "jpeg": (1, "quality {}"),
    "resolution": (1, "{} pixels a side"),
    "rotation": (1, "± {} degrees"),
    "shift": (100, "{} % of the side"),
    "eyes": (100, "bar of {} % of the way to the mouth"),
    "mouth": (100, "bar of {} % of the way to the eyes"),
}


def robustness_section(found: Robustness) -> Section:
    """Accuracy under every corruption and severity, on the faces that `found` speaks of."""
    alt = f"Accuracy on {found.split} over severity, a panel for each corruption; the table has the numbers."
    figure = accuracy_by_severity({"this model": found})
    return Section(
        "Robustness",
        text=(_TEXT,),
        points=robustness_sentences(found),
        tables=(_table(found),),
        pictures=(Picture.of("robustness", figure, alt),),
    )


def robustness_side_by_side(found: Mapping[str, Evidence]) -> Section:
    """Mean accuracy under each corruption and model; empty where it was not measured."""
    known: dict[str, Robustness] = {name: one.robustness for name, one in found.items() if one.robustness}
    if not known:
        return Section("Robustness")
    first = next(iter(known.values()))
    rows = [
        (
            Cell(title(score.corruption)),
            *(_left(one.corruptions[i].mean, one.corruptions[i].drop) for one in known.values()),
        )
        for i, score in enumerate(first.corruptions)
    ]
    rows.append((Cell("all"), *(_left(one.mean, one.drop) for one in known.values())))
    missing = [name for name in found if name not in known]
    points = [f"{name}: {' '.join(robustness_sentences(one))}" for name, one in known.items()]
    points += [f"Not measured, which needs the weights: {listed(missing)}."] if missing else []
    note = f"Mean accuracy over five severities on {first.split}, n = {first.n:,}; below it what is lost against clean "
    note += "faces, a paired interval. Strengths are ours, so figures compare models here and not with other papers."
    drawn = dict(list(known.items())[:DRAWN])
    picture = Picture.of("robustness", accuracy_by_severity(drawn), "Accuracy by severity.")
    return Section(
        "Robustness",
        points=tuple(points),
        tables=(Table(("Corruption", *known), tuple(rows), note),),
        pictures=(picture,),
    )


def robustness_sentences(found: Robustness) -> tuple[str, ...]:
    """What the model withstands and what not, in sentences."""
    count = n_of(found.n, found.of) + ("" if found.n == found.of else ", drawn evenly")
    clean, mean, drop = (format_estimate(one) for one in (found.clean, found.mean, found.drop))
    opening = f"Mean accuracy over {len(found.corruptions)} corruptions at five severities: {mean} on {found.split}, "
    opening += f"{count}; without corruption {clean}, so {drop} is lost."
    return opening, _extremes(found), _quarters(found)


@styled
def accuracy_by_severity(models: Mapping[str, Robustness]) -> Figure:
    """Accuracy over severity, one panel a corruption, one line a model (name → robustness on the same faces).

    Bands are 95 % intervals, dashed lines the accuracy without corruption. Raises `InputError` for no model, more than
    six, or models on different faces.
    """
    first = _comparable(models)
    rows = -(-len(first.corruptions) // COLUMNS)
    figure = Figure(figsize=(WIDTH, 0.8 + 1.55 * rows + 0.2 * (len(models) > 3)))
    panels = figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
    for unused in panels[len(first.corruptions) :]:
        unused.set_axis_off()
    handles: list[Artist] = []
    for found, color, mark in zip(models.values(), MODELS, _MARKS, strict=False):
        for axes, score in zip(panels, found.corruptions, strict=False):
            line = _draw(axes, found.clean.value, score, color, mark)
        handles.append(line)
    for axes, score in zip(panels, first.corruptions, strict=False):
        axes.set_title(title(score.corruption), fontsize=9)
        axes.set_xticks(SEVERITIES)
        axes.set_ylim(0, _top(models))
        share_axis(axes.yaxis)
    figure.supxlabel("severity", fontsize=9)
    figure.supylabel(f"{first.split} accuracy, {n_of(first.n, first.of)}", fontsize=9)
    handles.append(panels[0].plot([], [], color="black", linewidth=0.9, linestyle=(0, (4, 3)))[0])
    name_lines(figure, handles, [*map(shorten, models), "without corruption"], columns=4)
    return figure


@styled
def examples(face: Pixels, alignment: Alignment = FER2013, seed: int = 0) -> Figure:
    """One face crop, `(H, W)` gray or `(H, W, 3)` RGB uint8, as it is and under every corruption and severity."""
    side = WIDTH / (len(CORRUPTIONS) + 0.8)
    figure = Figure(figsize=(WIDTH, side * (1 + len(SEVERITIES)) * face.shape[0] / face.shape[1] + 0.5))
    figure.set_layout_engine("constrained", w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)
    grid = figure.subplots(1 + len(SEVERITIES), len(CORRUPTIONS), squeeze=False)
    for column, corruption in zip(grid.T, CORRUPTIONS, strict=True):
        shown = [face, *(corrupt(face, corruption, s, alignment=alignment, seed=seed) for s in SEVERITIES)]
        for axes, image in zip(column, shown, strict=True):
            draw_crop(axes, image)
        column[0].set_title(title(corruption).replace(" ", "\n"), fontsize=8, loc="center", fontweight="normal")
    for axes, name in zip(grid[:, 0], ("clean", *map(str, SEVERITIES)), strict=True):
        axes.set_ylabel(name, fontsize=8, rotation=0, ha="right", va="center")
    figure.supylabel("severity", fontsize=8)
    return figure


def title(corruption: Corruption) -> str:
    """The corruption as a heading.

    >>> title("jpeg"), title("eyes")
    ('JPEG', 'Covered eyes')
    """
    words = WORDS[corruption]
    return words[:1].upper() + words[1:]


def _comparable(models: Mapping[str, Robustness]) -> Robustness:
    """The first of them."""
    if not 1 <= len(models) <= len(MODELS):
        raise InputError(f"robustness: {len(models)} models to draw, expected 1 to {len(MODELS)}")
    (first_name, first), *others = models.items()
    for name, other in others:
        if _faces(other) != _faces(first):
            raise InputError(
                f"robustness: {first_name} was measured on {_text(first)}, {name} on {_text(other)}. Measure both on "
                "the same faces"
            )
    return first


def _faces(found: Robustness) -> tuple[object, ...]:
    return found.split, found.n, found.of, found.seed, [score.corruption for score in found.corruptions]


def _text(found: Robustness) -> str:
    return f"{found.n} of {found.of} faces of {found.split} with seed {found.seed}"


def _draw(axes: Axes, clean: float, score: CorruptionScore, color: str, mark: str) -> Artist:
    axes.axhline(clean, color=color, linewidth=0.9, linestyle=(0, (4, 3)))
    lows, highs = [one.low for one in score.accuracy], [one.high for one in score.accuracy]
    axes.fill_between(SEVERITIES, lows, highs, color=color, alpha=0.18, linewidth=0)
    (line,) = axes.plot(SEVERITIES, [one.value for one in score.accuracy], color=color, marker=mark, markersize=3.2)
    return line


def _top(models: Mapping[str, Robustness]) -> float:
    ends: Sequence[float] = [
        end for found in models.values() for score in found.corruptions
        for end in (found.clean.value, *(one.high for one in score.accuracy))
    ]  # fmt: skip
    return min(1.02, max(0.1, 1.08 * max(ends)))


def _table(found: Robustness) -> Table:
    header = ("Corruption", *(f"Severity {severity}" for severity in SEVERITIES), "Mean", "Lost")
    rows = [
        (
            Cell(title(score.corruption), _strengths(score.corruption)),
            *map(_cell, score.accuracy),
            _cell(score.mean),
            _cell(score.drop),
        )
        for score in found.corruptions
    ]
    rows.append((Cell("all"), Cell("", span=len(SEVERITIES)), _cell(found.mean), _cell(found.drop)))
    note = f"Accuracy on {found.split}, {n_of(found.n, found.of)}, below it the 95 % bootstrap interval over faces; "
    note += f"without corruption {format_estimate(found.clean)}. Lost: that minus the mean, a paired interval. "
    note += f"Seed {found.seed}."
    return Table(header, tuple(rows), note)


def _strengths(corruption: Corruption) -> str:
    factor, text = _UNITS[corruption]
    return text.format(", ".join(f"{factor * strength:g}" for strength in STRENGTHS[corruption]))


def _cell(estimate: Estimate) -> Cell:
    return Cell(figure_text(estimate.value), _brackets(estimate))


def _brackets(estimate: Estimate) -> str:
    return f"[{figure_text(estimate.low)}, {figure_text(estimate.high)}]"


def _left(mean: Estimate, drop: Estimate) -> Cell:
    return Cell(format_estimate(mean), f"lost {format_estimate(drop)}")


def _extremes(found: Robustness) -> str:
    """The largest three drops and the smallest."""
    ordered = sorted(found.corruptions, key=lambda score: -score.drop.value)
    if ordered[0].drop.value <= 0:
        return "No corruption takes anything in the mean over its severities."
    drops = [f"{WORDS[score.corruption]} {format_estimate(score.drop)}" for score in ordered]
    return f"In the mean over severities most is lost to {', '.join(drops[:3])}; least to {drops[-1]}."


def _quarters(found: Robustness) -> str:
    """Where a quarter of the clean accuracy is lost."""
    by_severity: dict[int | None, list[str]] = {}
    for score in found.corruptions:
        by_severity.setdefault(found.lost_a_quarter(score), []).append(WORDS[score.corruption])
    safe = by_severity.pop(None, [])
    if not by_severity:
        return "No corruption takes a quarter of the clean accuracy, not even at severity 5."
    where = "; ".join(f"{severity} of {', '.join(names)}" for severity, names in sorted(by_severity.items()))
    left, never = figure_text(LOST * found.clean.value), f"; not even at 5 of {', '.join(safe)}" if safe else ""
    return f"A quarter of the clean accuracy is lost, {left} or less are left, from severity {where}{never}."
