"""Preprocess: pixels to model input, against cv2 and numpy by hand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from mien.images import Pixels
from mien.preprocess import Preprocess, resize

GRAY = Preprocess(size=48, color="gray", mean=(0.5,), std=(0.25,))
RGB = Preprocess(size=32, color="rgb", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def picture(*shape: int) -> Pixels:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)


def test_halving_averages_blocks() -> None:
    image = picture(64, 96)
    blocks = image.reshape(32, 2, 48, 2).mean(axis=(1, 3))
    assert np.abs(resize(image, (32, 48)) - blocks).max() <= 0.5


def test_doubling_interpolates_between_pixel_centers() -> None:
    row = np.array([[0, 100]], dtype=np.uint8)
    assert resize(row, (1, 4)).tolist() == [[0, 25, 75, 100]]


def test_one_side_up_and_one_down_is_bilinear() -> None:
    image = picture(100, 20)
    assert np.array_equal(resize(image, (48, 48)), cv2.resize(image, (48, 48), interpolation=cv2.INTER_LINEAR))


def test_the_right_size_is_left_alone() -> None:
    image = picture(32, 32, 3)
    assert resize(image, (32, 32)) is image


@pytest.mark.parametrize("shape", [(20, 30), (48, 48), (100, 70), (100, 70, 3), (20, 31, 3)])
def test_gray_input(shape: tuple[int, ...]) -> None:
    image = picture(*shape)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
    how = cv2.INTER_AREA if min(shape[:2]) >= 48 else cv2.INTER_LINEAR
    expected = (cv2.resize(gray, (48, 48), interpolation=how) / 255 - 0.5) / 0.25
    (values,) = GRAY([image])
    assert values.shape == (1, 48, 48)
    assert values.dtype == np.float32
    assert np.allclose(values[0], expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(20, 30), (100, 70), (100, 70, 3), (20, 31, 3)])
def test_rgb_input(shape: tuple[int, ...]) -> None:
    image = picture(*shape)
    three = image if image.ndim == 3 else np.dstack([image] * 3)
    how = cv2.INTER_AREA if min(shape[:2]) >= 32 else cv2.INTER_LINEAR
    small = cv2.resize(three, (32, 32), interpolation=how)
    (values,) = RGB([image])
    assert values.shape == (3, 32, 32)
    for channel in range(3):
        expected = (small[..., channel] / 255 - RGB.mean[channel]) / RGB.std[channel]
        assert np.allclose(values[channel], expected, atol=1e-5)


def test_a_batch_is_its_pictures_one_by_one() -> None:
    images = [picture(20, 30), picture(100, 70, 3), picture(32, 32)]
    assert np.array_equal(RGB(images), np.concatenate([RGB([image]) for image in images]))
    assert RGB(iter(images)).shape == (3, 3, 32, 32)


def test_json_round_trip() -> None:
    assert Preprocess.model_validate_json(RGB.model_dump_json()) == RGB


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": [0.5] * 3}, "mean needs 1 numbers for color 'gray', got 3"),
        ({"std": []}, "std needs 1 numbers"),
        ({"color": "rgb"}, "mean needs 3 numbers"),
        ({"std": [0.0]}, "std must be above 0"),
        ({"mean": [float("nan")]}, "finite"),
        ({"std": [float("inf")]}, "finite"),
        ({"size": 7}, "greater than or equal to 8"),
        ({"color": "bgr"}, "'gray' or 'rgb'"),
        ({"crop": 1}, "Extra inputs"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Preprocess.model_validate(GRAY.model_dump() | change)
