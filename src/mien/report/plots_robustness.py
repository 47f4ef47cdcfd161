"""Robustness pictures: accuracy under each corruption, and what the corruptions look like.

Shapes: S = 5 severities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mien.cards import Alignment
from mien.errors import InputError
from mien.evaluation.corruptions import CORRUPTIONS, SEVERITIES, WORDS, Corruption, corrupt
from mien.evaluation.robustness import CorruptionScore, Robustness
from mien.images import Pixels
from mien.recognize.align import FER2013
from mien.report.style import MODELS, WIDTH, Share, draw_crop, shorten, styled

COLUMNS = 5  # panels side by side
MARKS = ("o", "s", "D", "^", "v", "P")  # beside the colors, so that neither has to be told apart alone


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
    for found, color, mark in zip(models.values(), MODELS, MARKS, strict=False):
        for axes, score in zip(panels, found.corruptions, strict=False):
            line = _draw(axes, found.clean.value, score, color, mark)
        handles.append(line)
    for axes, score in zip(panels, first.corruptions, strict=False):
        axes.set_title(title(score.corruption), fontsize=9)
        axes.set_xticks(SEVERITIES)
        axes.set_ylim(0, _top(models))
        axes.yaxis.set_major_formatter(Share())
        axes.yaxis.grid(True)
        axes.set_axisbelow(True)
    figure.supxlabel("severity", fontsize=9)
    of = "" if first.n == first.of else f" of {first.of:,}"
    figure.supylabel(f"{first.split} accuracy, n = {first.n:,}{of}", fontsize=9)
    handles.append(panels[0].plot([], [], color="black", linewidth=0.9, linestyle=(0, (4, 3)))[0])
    legend = figure.legend(handles, [str(i) for i in range(len(handles))], loc="outside upper left", ncols=4)
    for entry, name in zip(legend.get_texts(), [*models, "without corruption"], strict=True):
        entry.set_text(shorten(name))  # set here, because matplotlib drops legend entries that begin with "_"
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
