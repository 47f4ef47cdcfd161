"""Labels of every script in pictures: what the font has is drawn; other letters stand as codes, and it is said."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from mien.letters import drawable
from mien.recognize import annotate
from mien.recognize.faces import Face
from mien.report import style


def marked(label: str) -> np.ndarray:
    said = {label: 0.9, "sad": 0.1}
    face = Face("p", label, said, (10, 10, 60, 60), 0.9, unsure=False)
    return annotate.annotate(np.full((160, 200, 3), 90, dtype=np.uint8), [face])


def test_accents_greek_and_cyrillic_are_drawn_as_they_are() -> None:
    for text in ("fröhlich", "χαρά", "веселье", "happy"):
        assert drawable(text) == text
    assert drawable("fro\u0308hlich") == "fröhlich"
    pictures = [marked(label) for label in ("ö", "я", "χ", "愤")]
    for first in range(4):  # boxes would all look the same
        for second in range(first):
            assert not np.array_equal(pictures[first], pictures[second])


def test_what_is_missing_stands_as_its_code_and_is_said(caplog: pytest.LogCaptureFixture) -> None:
    assert drawable("喜び!") == "U+559C U+3073 !"
    assert "喜び (cjk, hiragana) cannot be drawn" in caplog.text
    assert np.array_equal(marked("愤ö"), marked("U+6124 ö"))


def test_charts_draw_without_a_warning() -> None:
    from matplotlib.figure import Figure

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = Figure()
        style.draw_probabilities(figure.add_subplot(), {"愤怒": 0.7, "fröhlich": 0.3}, "愤怒")
        style.png_bytes(figure)
