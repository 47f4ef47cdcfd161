"""Style: how every picture looks and is saved, and the parts that several of them share.

No pyplot, so nothing here needs a display or keeps global state. Colors are the color-blind-safe palette of Okabe and
Ito, https://jfly.uni-koeln.de/color (2008).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from mien.errors import InputError
from mien.files import write_whole
from mien.letters import drawable
from mien.outputs import MARK

if TYPE_CHECKING:
    from mien.evaluation.bootstrap import Estimate
    from mien.images import Pixels
    from mien.training.run import Epoch

BLUE, VERMILLION, GREEN, ORANGE, SKY, PURPLE = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7"
MODELS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION)
INK, FAINT, PALE = "#222222", "#767676", "#C8CDD2"
WIDTH = 7.2  # inches, the text width of a page
LONGEST = 24  # characters of a name that are drawn
DPI = 200  # of a PNG

_STYLE: Mapping[Any, Any] = {
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same picture on every machine
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#E4E7EA",
    "grid.linewidth": 0.7,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.7,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.wspace": 0.06,
    "figure.constrained_layout.hspace": 0.06,
}
_P = ParamSpec("_P")
_R = TypeVar("_R")


def styled(draw: Callable[_P, _R]) -> Callable[_P, _R]:
    """`draw`, under the style of all pictures; the caller's own matplotlib settings are neither used nor changed."""

    @wraps(draw)
    def styled(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(_STYLE)
            return draw(*args, **kwargs)

    return styled


def save(figure: Figure, path: Path) -> None:
    """Write a PNG, whole or not at all; its folder is made when it is missing."""
    write_whole(path, png_bytes(figure))


@styled  # ticks come to be, and read the style, when a figure is drawn
def png_bytes(figure: Figure) -> bytes:
    """The figure as a PNG on white."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.08, metadata={"Software": MARK})
    return buffer.getvalue()


def check_history(history: Sequence[Epoch], name: str) -> None:
    if not history:
        raise InputError(f"{name}: no epoch to draw. Its history.csv is empty")


def draw_line(axes: Axes, history: Sequence[Epoch], key: str, color: str, label: str | None = None) -> None:
    marker = "o" if len(history) <= 5 else None  # a line through one or two epochs can hardly be seen
    values = [getattr(row, key) for row in history]
    axes.plot([row.epoch for row in history], values, color=color, label=label, marker=marker, markersize=3.5)


def draw_epochs(axes: Axes, last: int, label: bool = True) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    margin = max(0.1, 0.03 * last)
    axes.set_xlim(1 - min(0.9, margin), last + margin)  # epochs count from 1, so no tick at 0
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.grid(True)
    axes.set_axisbelow(True)
    if label:
        axes.set_xlabel("epoch")


def draw_estimate(
    axes: Axes, figure: Estimate, at: float, mark: tuple[str, str], *, upright: bool = False, label: str = ""
) -> None:
    """A dot with its interval in `mark` (color, marker), at a height, or upright at a place from the left."""
    color, marker = mark
    ends, where = [figure.low, figure.high], [at, at]
    axes.plot(*((where, ends) if upright else (ends, where)), color=color, linewidth=1.6, solid_capstyle="butt")
    point = ([at], [figure.value]) if upright else ([figure.value], [at])
    axes.plot(*point, marker, color=color, markersize=5.5, zorder=3, label=label or None)


def share_axis(*axes: Axis) -> None:
    """Axes of shares: ticks without the zero before the point, and a grid behind what is drawn."""
    for axis in axes:
        axis.set_major_formatter(Share())
        axis.grid(True)
        axis.axes.set_axisbelow(True)


def name_lines(figure: Figure, handles: Sequence[Artist], names: Sequence[str], columns: int) -> None:
    """A legend above the panels. Names are set afterwards: matplotlib drops those that begin with "_"."""
    legend = figure.legend(handles, [str(i) for i in range(len(handles))], loc="outside upper left", ncols=columns)
    for entry, name in zip(legend.get_texts(), names, strict=True):
        entry.set_text(name)


def draw_ring(axes: Axes, x: float, y: float, color: str) -> None:
    axes.plot([x], [y], "o", color="white", markeredgecolor=color, markeredgewidth=1.6, markersize=6, zorder=5)


class Share(ScalarFormatter):
    """As many digits as the ticks need, without the zero before the point."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        text = super().__call__(x, pos)
        return "0" if x == 0 else text.removeprefix("0") if text.startswith("0.") else text


def shorten(name: str, longest: int = LONGEST) -> str:
    line = drawable(" ".join(name.split()))
    return line if len(line) <= longest else line[: longest - 1] + "…"


def draw_probabilities(
    axes: Axes, probabilities: Mapping[str, float], shown: str, *, size: float = 8.5, end: float = 1.18
) -> None:
    """A bar for each class with its percentage, `size` points high, beside it; the class `shown` in color and bold.

    The axis ends at `end`: the whole of 0–1, and room for the numbers.
    """
    labels = list(probabilities)
    which = labels.index(shown)
    colors = [BLUE if i == which else PALE for i in range(len(labels))]
    drawn = axes.barh(range(len(labels)), list(probabilities.values()), height=0.68, color=colors)
    numbers = axes.bar_label(drawn, [f"{value:.1%}" for value in probabilities.values()], padding=3, fontsize=size)
    numbers[which].set_fontweight("bold")
    axes.set_yticks(range(len(labels)), [shorten(label) for label in labels])
    axes.get_yticklabels()[which].set_fontweight("bold")
    axes.invert_yaxis()
    axes.set_xlim(0, end)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def draw_crop(axes: Axes, image: Pixels) -> None:
    """A face crop, `(H, W)` gray or `(H, W, 3)` RGB uint8, pixel by pixel and without a frame."""
    axes.imshow(image, cmap="gray" if image.ndim == 2 else None, vmin=0, vmax=255, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
