"""Search: many short runs in one figure, and the loss against the learning rate.

Shapes: S steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from mien.errors import InputError
from mien.report.style import (
    BLUE,
    FAINT,
    MODELS,
    PALE,
    WIDTH,
    Share,
    check_history,
    draw_epochs,
    draw_line,
    draw_ring,
    name_lines,
    shorten,
    styled,
)

if TYPE_CHECKING:
    from mien.training.run import Epoch

_DASHES = ("solid", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))  # when the colors are used up


@styled
def sweep_curves(runs: Sequence[tuple[str, Sequence[Epoch], int | None]]) -> Figure:
    """Val loss beside val accuracy, a line per run (settings, history, best epoch), named in the order given.

    The loss is on a log axis where it spans more than a factor of ten. Rings mark the best epochs.
    """
    if not runs:
        raise InputError("sweep: no run to draw, expected at least one")
    names = [shorten(name, 48) for name, _, _ in runs]
    columns = min(len(runs), max(1, 100 // (max(map(len, names)) + 8)))
    figure = Figure(figsize=(WIDTH, 3.0 + 0.19 * math.ceil(len(runs) / columns)))
    loss, accuracy = figure.subplots(1, 2)
    for i, (name, history, best_epoch) in enumerate(runs):
        check_history(history, name)
        color, dashes = MODELS[i % len(MODELS)], _DASHES[i // len(MODELS) % len(_DASHES)]
        best = next((row for row in history if row.epoch == best_epoch), None)
        for axes, key in ((loss, "val_loss"), (accuracy, "val_accuracy")):
            draw_line(axes, history, key, color)
            axes.get_lines()[-1].set(linestyle=dashes, zorder=3 - i / len(runs))  # the first lies on top
            if best is not None:
                draw_ring(axes, best.epoch, getattr(best, key), color)
                axes.get_lines()[-1].set_zorder(5 - i / len(runs))
    handles = [line for line in loss.get_lines() if line.get_linestyle() != "None"]
    name_lines(figure, handles, names, columns)
    for axes in (loss, accuracy):
        draw_epochs(axes, max(row.epoch for _, history, _ in runs for row in history))
    loss.set_ylabel(f"val loss (nats{_widen(loss, [row.val_loss for _, history, _ in runs for row in history])})")
    accuracy.set_ylabel("val accuracy")
    accuracy.yaxis.set_major_formatter(Share())
    return figure


@styled
def learning_rates(
    rates: npt.NDArray[np.float64],
    losses: npt.NDArray[np.float64],
    smoothed: npt.NDArray[np.float64],
    title: str,
    suggestion: float | None = None,
) -> Figure:
    """Loss `(S,)` of each step of a search against its learning rate `(S,)`, plain and smoothed; `suggestion` marked.

    The axis ends above the smoothed loss before it diverges; what is higher is left out.
    """
    finite = np.isfinite(losses)
    if not finite.any():
        raise InputError(f"{title}: no loss of the learning rate search is a number")
    figure = Figure(figsize=(WIDTH, 3.2))
    axes = figure.subplots()
    axes.plot(rates, losses, color=PALE, linewidth=1.0, label="each batch")
    axes.plot(rates, smoothed, color=BLUE, label="smoothed")
    axes.set_xscale("log")
    _plain_ticks(axes.xaxis, (1.0,))
    axes.set_xlim(rates[0], rates[-1])
    opening = losses[finite][: max(len(rates) // 6, 1)]
    low, high = float(losses[finite].min()), float(opening.max())
    margin = 0.25 * (high - low) or 0.5
    axes.set_ylim(max(low - margin, 0), high + margin)
    if suggestion is not None:
        axes.axvline(suggestion, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0.5)
        there = int(np.abs(np.log(rates / suggestion)).argmin())
        draw_ring(axes, suggestion, float(smoothed[there]), BLUE)
    said = "no suggestion: no fall stands out from the noise" if suggestion is None else f"suggestion {suggestion:g}"
    axes.set_title(f"{shorten(title, 50)}: {said}", fontsize=9.5)
    axes.set_xlabel("learning rate (log axis)")
    axes.set_ylabel("train loss (nats)")
    axes.yaxis.grid(True)
    axes.legend()
    return figure


def _widen(axes: Axes, losses: Sequence[float]) -> str:
    """Make the axis of losses that span more than a factor of ten a log one, cut far above their median; say so."""
    drawn = [loss for loss in losses if 0 < loss < math.inf]
    if not drawn or max(drawn) <= 10 * min(drawn):
        return ""
    top = 10 * float(np.median(drawn))
    axes.set_yscale("log")
    _plain_ticks(axes.yaxis, (1.0, 2.0, 5.0) if min(top, max(drawn)) < 1000 * min(drawn) else (1.0,))
    if max(drawn) <= top:
        return ", log axis"
    axes.set_ylim(min(drawn) / 1.2, top)
    return ", log axis, cut off above"


def _plain_ticks(axis: Axis, steps: tuple[float, ...]) -> None:
    """Ticks of a log axis, at `steps` of each power of ten; matplotlib's own labels are formulas."""
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axis.set_minor_formatter(NullFormatter())
