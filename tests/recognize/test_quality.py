"""Quality: size, sharpness, brightness and turn of a face, and why an answer is unsure."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mien import Recognizer
from mien.images import Pixels
from mien.recognize.align import FER2013
from mien.recognize.detector import Detection
from mien.recognize.faces import Face
from mien.recognize.quality import Quality, quality_of, sharpness_and_brightness, yaw_of

DEPTH = 0.5  # of the nose before the eyes, in eye distances


def head(yaw: float, roll: float = 0, distance: float = 60) -> np.ndarray:
    """Eyes, nose and mouth of a head in space, turned by `yaw`, then leaned by `roll` degrees, seen from the front."""
    x, y, z = np.array([[-0.5, 0, 0], [0.5, 0, 0], [0, 0.55, DEPTH], [0, 1, 0]]).T * distance
    turn, lean = np.deg2rad(yaw), np.deg2rad(roll)
    across = x * np.cos(turn) + z * np.sin(turn)
    return np.stack([across * np.cos(lean) - y * np.sin(lean), across * np.sin(lean) + y * np.cos(lean)], axis=1) + 200


def found(points: np.ndarray) -> Detection:
    return Detection(box=(0, 0, 1, 1), score=1, points=points.astype(np.float32))


@pytest.mark.parametrize("yaw", [-50, -15, 0, 20, 60])
@pytest.mark.parametrize("roll", [-70, 0, 30])
def test_the_turn_of_a_head_is_told_from_its_points(yaw: float, roll: float) -> None:
    assert yaw_of(head(yaw, roll).astype(np.float32)) == pytest.approx(yaw, abs=0.1)
    crop = np.full((48, 48), 100, np.uint8)
    assert quality_of(crop, found(head(0, roll)), FER2013).roll == pytest.approx(roll, abs=0.1)


def test_the_size_is_that_of_what_the_model_sees() -> None:
    crop = np.full((48, 48), 100, np.uint8)
    eyes_lead = head(0, distance=80)
    eyes_lead[3] = (200, 220)
    assert quality_of(crop, found(eyes_lead), FER2013).size == pytest.approx(80 / FER2013.eye_distance, abs=0.1)
    whole = quality_of(np.full((40, 90, 3), 7, np.uint8), None, FER2013)
    assert whole == Quality(size=60.0, sharpness=0.0, brightness=7.0)


@pytest.mark.parametrize("side", [48, 200])
def test_what_is_blurred_is_less_sharp_and_what_is_dark_less_bright(portrait: Pixels, side: int) -> None:
    face = cv2.resize(portrait[60:260, 130:330], (side, side), interpolation=cv2.INTER_AREA)
    sharp, bright = sharpness_and_brightness(face)
    softer = [sharpness_and_brightness(cv2.GaussianBlur(face, (0, 0), sigma * side / 48))[0] for sigma in (0.7, 1.5, 3)]
    assert sharp > softer[0] > softer[1] > softer[2] > 0
    assert bright == pytest.approx(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).mean(), abs=1)
    dimmed = sharpness_and_brightness((face * 0.5).astype(np.uint8))
    assert dimmed == pytest.approx((sharp, bright / 2), rel=0.03)  # half the light is as sharp


def face(quality: Quality | None, *, unsure: bool = True) -> Face:
    return Face("a", "sad", {"happy": 0.4, "sad": 0.6}, (0, 0, 9, 9), 0.9, unsure, quality)


@pytest.mark.parametrize(
    ("quality", "why"),
    [
        (Quality(19.9, 0.8, 100, 0, 70), "too small"),
        (Quality(20, 0.8, 100, 0, 20), "turned away"),
        (Quality(20, 0.8, 100, 39.9, -20), "turned away"),
        (Quality(200, 0.8, 100, -40, 0), "turned away"),
        (Quality(200, 0.8, 100, 39.9, 14.9), "not sure"),
        (Quality(200, 0.8, 100), "not sure"),
        (None, "not sure"),
    ],
)
def test_an_unsure_answer_has_a_reason(quality: Quality | None, why: str) -> None:
    assert face(quality).why_unsure == why
    assert face(quality, unsure=False).why_unsure is None
    assert Face.from_dict("a", face(quality).as_dict()) == face(quality)


def test_faces_of_an_older_journal_are_read() -> None:
    older = {name: value for name, value in face(None).as_dict().items() if name not in ("quality", "why_unsure")}
    assert Face.from_dict("a", older) == face(None)


@pytest.mark.parametrize("detector", ["default", "fast"])
def test_a_face_in_a_picture_has_its_quality(portrait: Pixels, detector: str) -> None:
    recognizer = Recognizer("mien-tiny", detector=detector)  # type: ignore[arg-type]
    (large,) = recognizer(portrait)
    turned = cv2.warpAffine(portrait, cv2.getRotationMatrix2D((256, 150), -25, 1), (512, 512))
    (leaning,) = recognizer(np.asarray(turned, np.uint8))
    half = np.asarray(cv2.resize(portrait, (256, 256), interpolation=cv2.INTER_AREA))
    (smaller,) = recognizer((half * 0.5).astype(np.uint8))
    assert large.quality
    assert leaning.quality
    assert smaller.quality
    assert large.quality.roll is not None
    assert leaning.quality.roll is not None
    assert leaning.quality.roll - large.quality.roll == pytest.approx(25, abs=8)
    assert smaller.quality.size == pytest.approx(large.quality.size / 2, rel=0.1)
    assert smaller.quality.brightness == pytest.approx(large.quality.brightness / 2, rel=0.1)
    (whole,) = Recognizer("mien-tiny", detector="none")(portrait)
    assert whole.quality
    assert (whole.quality.size, whole.quality.roll, whole.quality.yaw) == (512, None, None)
