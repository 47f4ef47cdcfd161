"""Marked pictures: a box where the face is, bars as long as the probabilities, nothing else changed."""

from __future__ import annotations

import numpy as np
import pytest

from mien.labels import FER7
from mien.recognize.annotate import PALETTE, annotate, color_of, headline
from mien.recognize.faces import Face

HAPPY = Face("a.jpg", "happy", {"angry": 0.1, "happy": 0.7, "sad": 0.2}, (60, 40, 80, 90), 0.9, unsure=False)


def test_box_and_bars_lie_where_they_should() -> None:
    plain = np.full((300, 400, 3), 90, dtype=np.uint8)
    marked = annotate(plain, [HAPPY])
    changed = (marked != plain).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert (rows.min(), columns.min(), columns.max()) == (40, 60, 139)
    assert not changed[45:125, 65:135].any(), "the face itself stays free"
    assert changed[130:170, 60:140].all(), "below it the panel"
    assert (plain == 90).all(), "the original is not drawn on"
    assert marked[40, 100].tolist() == [
        int(color_of("happy", ["angry", "happy", "sad"])[i : i + 2], 16) for i in (1, 3, 5)
    ]


def test_bars_are_as_long_as_the_probabilities() -> None:
    marked = annotate(np.zeros((300, 400, 3), dtype=np.uint8), [HAPPY]).astype(int)
    line = round(11 * 1.3)
    for row, share in enumerate((0.7, 0.2, 0.1)):  # the first says the emotion, and nothing else does
        y = 130 + row * line + 1  # above the letters
        bar = marked[y, 60:140]
        track = bar[-1]
        assert np.count_nonzero((bar != track).any(axis=1)) == pytest.approx(share * 80, abs=2)


@pytest.mark.parametrize("box", [(0, 0, 30, 30), (370, 270, 30, 30), (0, 0, 400, 300), (399, 299, 1, 1)])
@pytest.mark.parametrize("shape", [(300, 400), (300, 400, 3)])
def test_faces_at_the_edge_and_gray_pictures(box: tuple[int, int, int, int], shape: tuple[int, ...]) -> None:
    face = Face("a.jpg", "happy", HAPPY.probabilities, box, None, unsure=True)
    marked = annotate(np.full(shape, 90, dtype=np.uint8), [face], ["#12"])
    assert marked.shape == (300, 400, 3)
    assert (marked != 90).any(axis=2).sum() > 500


def luminance(color: np.ndarray) -> float:
    """Relative luminance of an sRGB color, as WCAG 2.1 defines it."""
    share = color / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("ground", [0, 255])
@pytest.mark.parametrize("place", range(len(PALETTE)))
def test_white_letters_can_be_read_on_every_bar(place: int, ground: int) -> None:
    """Contrast of at least 4.5 (WCAG 2.1, AA), whatever lies under the bar."""
    labels = [f"label {i}" for i in range(len(PALETTE))]
    face = Face("a.jpg", labels[place], {label: float(i == place) for i, label in enumerate(labels)},
                (60, 40, 80, 90), 0.9, unsure=False)  # fmt: skip
    marked = annotate(np.full((300, 400, 3), ground, dtype=np.uint8), [face])
    bar = marked[132, 136]  # right of the letters
    assert (luminance(np.array([255, 255, 255])) + 0.05) / (luminance(bar.astype(float)) + 0.05) >= 4.5


def test_no_face_leaves_the_picture_as_it_is() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert np.array_equal(annotate(image, []), image)


def test_words_and_colors() -> None:
    assert headline(HAPPY) == "happy 70 %"
    assert headline(Face("a", "sad", {"sad": 0.4}, (0, 0, 1, 1), None, unsure=True)) == "unsure (sad 40 %)"
    assert len({color_of(label, FER7.labels) for label in FER7.labels}) == 7
    assert color_of("i", "abcdefghi") == PALETTE[0]
