"""Faces beside their probabilities: the values that were given, in the order of the labels."""

from __future__ import annotations

import numpy as np
import pytest

from mien.errors import InputError
from mien.recognize.faces import Face
from mien.report.faces import closeup, recognized

FACE = Face("x/a photo.jpg", "happy", {"sad": 0.25, "happy": 0.7, "$x": 0.05}, (0, 0, 48, 60), None, unsure=False)


@pytest.mark.parametrize("shape", [(60, 48), (60, 48, 3)])
def test_face_and_values_are_shown(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    picture, bars = recognized([(image, FACE)]).axes
    assert np.array_equal(picture.images[0].get_array(), image)
    assert not picture.patches, "a box around the whole picture says nothing"
    assert [bar.get_width() for bar in bars.patches] == [0.25, 0.7, 0.05]
    assert [text.get_text() for text in bars.texts] == ["25.0%", "70.0%", "5.0%"]
    assert [text.get_fontweight() for text in bars.texts] == ["normal", "bold", "normal"]
    assert [label.get_text() for label in bars.yaxis.get_ticklabels()] == ["sad", "happy", "$x"]
    assert bars.get_title(loc="left") == "happy 70 % · a photo.jpg"


def test_a_face_in_a_picture_is_shown_with_what_is_around_it() -> None:
    image = np.zeros((300, 400), np.uint8)
    face = Face("a.png", "happy", FACE.probabilities, (100, 10, 50, 40), 0.9, unsure=True)
    part, moved = closeup(image, face)
    assert (part.shape, moved.box) == ((10 + 40 + 30, 30 + 50 + 30), (30, 10, 50, 40))
    axes = recognized([(part, moved), (image, face)]).axes
    assert len(axes) == 4
    assert [box.get_xy() for box in axes[0].patches] == [(29.5, 9.5)] * 2
    assert axes[1].get_title(loc="left") == "unsure (happy 70 %) · a.png"


def test_other_pixels_and_nothing_are_refused() -> None:
    for image in (np.zeros((4, 4), np.float32), np.zeros((4, 4, 4), np.uint8)):
        with pytest.raises(InputError, match="expected"):
            recognized([(image, FACE)])  # type: ignore[list-item]
    with pytest.raises(InputError, match="no face to draw"):
        recognized([])
