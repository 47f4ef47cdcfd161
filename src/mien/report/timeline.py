"""Timeline: the course of each face of a video, a row each: the shown emotion over the probabilities, over time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mien.recognize.annotate import color_of
from mien.recognize.summary import FaceSummary, Summary
from mien.recognize.track import LOST_S
from mien.report.style import FAINT, PALE, WIDTH, shorten, styled

MOST = 8  # faces in one picture
SHORTEST_S = 1.0  # for which a face must be seen to be drawn, where any is; a shorter band says little
LIMIT = f"A face that is out of sight for more than {LOST_S:g} s comes back with a new number: nobody is identified."
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)  # seconds between ticks
_TICKS = 8
_BAND = (1.08, 1.30)  # where the shown emotion stands above the probabilities

Floats = npt.NDArray[np.float64]


@styled
def timeline(summary: Summary, name: str, *, most: int = MOST) -> Figure:
    """The longest seen faces, at most `most`, each seen for `SHORTEST_S` or more where any is, in order of appearance;
    `name` of the video is the title.

    The thin band tells the emotion that was shown, the area below it the smoothed probabilities, stacked in the order
    of the labels to 1. Where a face is not seen there is nothing.
    """
    drawn = [face for face in summary.faces if face.course]
    drawn = [face for face in drawn if face.seen_s >= SHORTEST_S - 1e-6] or drawn
    chosen = sorted(sorted(drawn, key=lambda face: -face.seen_s)[:most], key=lambda face: face.face_id)
    rows = max(1, len(chosen))
    figure = Figure(figsize=(WIDTH, 1.15 + 0.95 * rows))
    panels = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    for axes, face in zip(panels, chosen, strict=False):
        _draw_face(axes, face, summary)
    if not chosen:
        panels[0].text(0.5, 0.5, "no face was found", transform=panels[0].transAxes, ha="center", color=FAINT)
        panels[0].set_yticks([])
    for axes in panels:
        _draw_time(axes, summary.end_s, label=axes is panels[-1])
    left_out = len(summary.faces) - len(chosen)
    figure.suptitle(_title(name, left_out), x=0.01, ha="left", fontsize=10.5, fontweight="bold")
    if chosen:
        _draw_legend(figure, summary.labels)
        panels[-1].annotate(
            LIMIT, (0, 0), (0, -30), xycoords="axes fraction", textcoords="offset points", fontsize=7, color=FAINT,
            va="top",
        )  # fmt: skip
    return figure


def clock(seconds: float) -> str:
    """`1:05` for 65 seconds, `1:01:01` for an hour, a minute and a second.

    >>> clock(65), clock(3661), clock(0.4)
    ('1:05', '1:01:01', '0:00')
    """
    minutes, rest = divmod(int(seconds + 1e-9), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def duration(seconds: float) -> str:
    """A length of time.

    >>> duration(7.84), duration(65)
    ('7.8 s', '1:05 min')
    """
    return f"{seconds:.1f} s" if seconds < 60 else f"{clock(seconds)} {'h' if seconds >= 3600 else 'min'}"


def _title(name: str, left_out: int) -> str:
    rest = f" (and {left_out:,} more {'face' if left_out == 1 else 'faces'}, seen more briefly)" if left_out > 0 else ""
    return shorten(name, 80 - len(rest)) + rest


def _draw_face(axes: Axes, face: FaceSummary, summary: Summary) -> None:
    labels, width = summary.labels, summary.bin_s
    for first, values_B2K in _stretches(face):
        seconds_B1 = values_B2K[:, 0].sum(axis=1, keepdims=True)
        probs_BK = values_B2K[:, 1] / seconds_B1
        edges = (first + np.arange(len(values_B2K) + 1)) * width
        # Seen for a part of a bin only where it comes and goes.
        edges[-1] = edges[-2] + seconds_B1[-1, 0]
        edges[0] = edges[1] - seconds_B1[0, 0]
        tops_BK = np.cumsum(probs_BK, axis=1)
        shown_B = values_B2K[:, 0].argmax(axis=1)
        for k, label in enumerate(labels):
            low = tops_BK[:, k - 1] if k else np.zeros(len(tops_BK))
            color = color_of(label, labels)
            axes.fill_between(edges, _held(low), _held(tops_BK[:, k]), step="post", color=color, linewidth=0)
            spans = [(edges[b], edges[b + 1] - edges[b]) for b in np.flatnonzero(shown_B == k)]
            axes.broken_barh(spans, (_BAND[0], _BAND[1] - _BAND[0]), color=color, linewidth=0)
    best = max(face.shares, key=face.shares.__getitem__)
    changes = f"{face.changes:,} {'change' if face.changes == 1 else 'changes'}"
    title = f"face {face.face_id}: {best} {face.shares[best]:.0%} of {duration(face.seen_s)}, {changes}"
    axes.set_title(title.replace("%", " %"), fontsize=8.5, fontweight="normal", pad=3)
    axes.set_ylim(0, _BAND[1])
    axes.set_yticks([0, 0.5, 1, sum(_BAND) / 2], ["0", ".5", "1", "shown"], fontsize=7.5)
    axes.yaxis.get_major_ticks()[-1].tick1line.set_visible(False)
    axes.spines["left"].set_bounds(0, 1)
    axes.set_ylabel("p", rotation=0, fontsize=8, y=0.36)


def _stretches(face: FaceSummary) -> list[tuple[int, Floats]]:
    """Bins without a gap between them: number of the first one, and values `(B, 2, K)`."""
    places = np.array(sorted(face.course))
    parts = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
    return [(int(part[0]), np.stack([face.course[int(place)] for place in part])) for part in parts]


def _held(values_B: Floats) -> Floats:
    """With the last one twice, for steps between edges."""
    return np.append(values_B, values_B[-1])


def _draw_time(axes: Axes, end_s: float, *, label: bool) -> None:
    axes.set_xlim(0, max(end_s, 1.0))
    step = next((step for step in _STEPS if end_s / step <= _TICKS), None)
    if step is None:
        axes.xaxis.set_major_locator(MaxNLocator(_TICKS))
    else:
        axes.set_xticks(np.arange(0, end_s + 1e-9, step).tolist())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: clock(seconds)))
    axes.spines["bottom"].set_color(PALE)
    axes.tick_params(axis="x", labelbottom=label)
    if label:
        axes.set_xlabel("time (h:mm:ss)" if end_s >= 3600 else "time (m:ss)")


def _draw_legend(figure: Figure, labels: Sequence[str]) -> None:
    patches = [Patch(color=color_of(label, labels)) for label in labels]
    figure.legend(
        patches, [shorten(label, 14) for label in labels], loc="outside lower left", ncols=min(len(labels), 8),
        handlelength=1.0, handleheight=1.0, columnspacing=1.4,
    )  # fmt: skip
