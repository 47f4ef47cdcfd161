"""Explanations: pictures of faces under the map of what the answer hangs on, beside what the model says."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure

from mien.errors import InputError
from mien.explanation.explain import CAVEAT, Explanation, Method
from mien.images import to_gray
from mien.report.style import INK, VERMILLION, WIDTH, draw_probabilities, shorten, styled

_IN_ONE_COLUMN = 3  # faces at most; more stand in two
_MAP = LinearSegmentedColormap.from_list("heat", [to_rgba(VERMILLION, alpha) for alpha in (0, 0.2, 0.5, 0.85)])
_WAYS: dict[Method, str] = {
    "grad-cam": "Grad-CAM: places of the last convolution that speak for the class",
    "attention": "Attention: patches that speak for the class, through all layers",
    "occlusion": "Occlusion: places whose covering lowers the probability of the class; below, by how much at most",
}


@styled
def explained(shown: Sequence[tuple[str, Explanation]]) -> Figure:
    """Explained faces and their names: each as the model sees it, under its map, and all probabilities.

    The class that is explained is drawn in color, and told apart in the title where the model names another. Maps have
    a scale of their own. Raises `InputError` for no face.
    """
    if not shown:
        raise InputError("no face to draw, expected at least one")
    columns = 1 if len(shown) <= _IN_ONE_COLUMN else 2
    rows = math.ceil(len(shown) / columns)
    small = columns > 1
    classes = len(shown[0][1].probabilities)
    height = max(1.3, 0.4 + 0.145 * classes) if small else max(2.0, 0.5 + 0.21 * classes)
    figure = Figure(figsize=(WIDTH, height * rows + 0.85))
    figure.set_layout_engine("constrained", h_pad=0.07)  # what stands below a map keeps clear of the key
    grid = figure.add_gridspec(
        rows + 1,
        3 * columns,
        width_ratios=[1, 1, 1 if small else 1.4] * columns,
        height_ratios=[*[height] * rows, 0.09],
    )
    for i, (name, one) in enumerate(shown):
        panels = [figure.add_subplot(grid[i // columns, 3 * (i % columns) + j]) for j in range(3)]
        _draw_face(panels[0], one, shorten(f"{_told(one)} · {name}", 46 if small else 70), size=8.0 if small else 10.0)
        _draw_map(panels[1], one, size=7.0 if small else 8.5)
        draw_probabilities(panels[2], one.probabilities, one.label, size=7.0 if small else 8.5, end=1.45)
        panels[2].tick_params(axis="y", labelsize=7.0 if small else 8.5)
    _draw_key(figure.add_subplot(grid[rows, :2]))
    ways = [_WAYS[method] for method in dict.fromkeys(one.method for _, one in shown)]
    figure.supxlabel("\n".join([*(f"{way}." for way in ways), CAVEAT]), x=0.01, ha="left", fontsize=8, color=INK)
    return figure


def _told(one: Explanation) -> str:
    told = f"{one.label} {_percent(one.probability)}"
    if one.emotion == one.label:
        return told
    return f"{told} (says {one.emotion} {_percent(one.probabilities[one.emotion])})"


def _draw_face(axes: Axes, one: Explanation, title: str, size: float) -> None:
    axes.imshow(one.face, cmap="gray" if one.face.ndim == 2 else None, vmin=0, vmax=255)
    axes.set_axis_off()
    axes.set_title(title, fontsize=size)


def _draw_map(axes: Axes, one: Explanation, size: float) -> None:
    """The map over the face in gray, whose own colors would be taken for it."""
    axes.imshow(to_gray(one.face), cmap="gray", vmin=0, vmax=255)
    axes.imshow(one.heat, cmap=_MAP, vmin=0, vmax=1, interpolation="bilinear")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    if not one.heat.any():
        axes.set_xlabel("nothing speaks for it", fontsize=size)
    elif one.drop is not None:
        axes.set_xlabel(f"−{100 * one.drop:.0f} points at most", fontsize=size)


def _draw_key(axes: Axes) -> None:
    axes.imshow(np.linspace(0, 1, 256)[None], cmap=_MAP, aspect="auto", extent=(0, 1, 0, 1))
    axes.set_xticks([0, 1], ["nothing", "most in this face"], fontsize=8)
    first, last = axes.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")
