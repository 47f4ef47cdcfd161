"""Explained faces: each with its map and its bars, and what the maps are said to show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mien.errors import InputError
from mien.explanation.explain import CAVEAT, Explanation
from mien.images import Pixels
from mien.report.explanations import explained

LABELS = ("angry", "fear", "happy", "$x")


def pixels(*shape: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def made_up(seed: int = 0) -> Explanation:
    heat = np.random.default_rng(seed).random((24, 24)).astype(np.float32)
    probabilities = dict(zip(LABELS, (0.25, 0.05, 0.6, 0.1), strict=True))
    return Explanation("grad-cam", "happy", probabilities, pixels(24, 24, seed=seed), heat / heat.max())


@pytest.mark.parametrize("count", [1, 3, 4, 12])
def test_each_face_has_a_map_and_bars_of_its_own(count: int) -> None:
    shown = [(f"{i}.png", made_up(i)) for i in range(count)]
    figure = explained(shown)
    assert len(figure.axes) == 3 * count + 1, "a face, its map and its bars, and one key"
    figure.canvas.draw()
    for i, (name, one) in enumerate(shown):
        face, heat, bars = figure.axes[3 * i : 3 * i + 3]
        assert face.get_title(loc="left") == f"happy 60 % · {name}"
        assert np.array_equal(face.images[0].get_array(), one.face)
        assert [image.get_array().shape for image in heat.images] == [(24, 24), (24, 24)]
        assert np.array_equal(heat.images[1].get_array(), one.heat)
        assert heat.images[1].get_clim() == (0, 1), "the key says so"
        assert [bar.get_width() for bar in bars.patches] == list(one.probabilities.values())
        assert [text.get_text() for text in bars.texts] == ["25.0%", "5.0%", "60.0%", "10.0%"]
        assert [label.get_text() for label in bars.get_yticklabels()] == list(LABELS)
        places = [axes.get_position() for axes in (face, heat, bars)]
        assert places[0].x1 <= places[1].x0 < places[1].x1 <= places[2].x0, "from left to right, nothing over another"
    tops = [axes.get_position().y0 for axes in figure.axes[: 3 * count : 3]]
    columns = {round(axes.get_position().x0, 3) for axes in figure.axes[: 3 * count : 3]}
    assert len(columns) == (1 if count <= 3 else 2)
    assert tops == sorted(tops, reverse=True), "in the order given"


def test_the_class_that_is_explained_stands_out_and_what_the_model_says_is_told() -> None:
    figure = explained([("a photo.jpg", replace(made_up(), label="fear"))])
    face, _, bars, _ = figure.axes
    assert face.get_title(loc="left") == "fear 5 % (says happy 60 %) · a photo.jpg"
    colors = [bar.get_facecolor() for bar in bars.patches]
    assert len(set(colors)) == 2
    assert colors.count(colors[1]) == 1
    assert [text.get_fontweight() for text in bars.get_yticklabels()] == ["normal", "bold", "normal", "normal"]


def test_below_a_map_stands_what_its_colors_do_not_say() -> None:
    covered = replace(made_up(), method="occlusion", drop=0.345)
    nothing = replace(covered, heat=np.zeros((24, 24), np.float32), drop=-0.01)
    figure = explained([("a", made_up()), ("b", covered), ("c", nothing)])
    below = [figure.axes[i].get_xlabel() for i in (1, 4, 7)]
    assert below == ["", "−34 points at most", "nothing speaks for it"]
    first, second, last = figure.get_supxlabel().splitlines()
    assert first.startswith("Grad-CAM: ")
    assert second.startswith("Occlusion: ")
    assert last == CAVEAT


def test_a_face_in_color_lies_gray_under_its_map() -> None:
    one = replace(made_up(), face=pixels(24, 24, 3))
    face, heat, *_ = explained([("a", one)]).axes
    assert face.images[0].get_array().shape == (24, 24, 3)
    assert heat.images[0].get_array().shape == (24, 24)


def test_long_names_are_shortened_and_no_face_is_refused() -> None:
    title = explained([("x" * 100, made_up())]).axes[0].get_title(loc="left")
    assert len(title) == 70
    assert title.endswith("…")
    with pytest.raises(InputError, match="no face to draw"):
        explained([])
