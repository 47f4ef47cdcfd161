"""Aligned crops: eyes and mouth lie where the alignment says, whatever the angle and size of the face."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mien import FaceSet
from mien.cards import Alignment
from mien.images import Pixels
from mien.recognize.align import FER2013, measure_alignment, upright_crop
from mien.recognize.detector import Detection, Detector

WANTED = Alignment(eye_distance=0.4, eye_x=0.5, eye_y=0.35, eyes_to_mouth=0.4, faces=1)


def dots(points: np.ndarray, size: int = 400) -> Pixels:
    """A black picture with a white dot at each point."""
    image = np.zeros((size, size), dtype=np.uint8)
    for x, y in points:
        cv2.circle(image, (round(x * 16), round(y * 16)), 3 * 16, 255, -1, shift=4)
    return image


def centers(crop: Pixels) -> np.ndarray:
    """Middles of the dots as shares of the crop, from the top, then from the left."""
    count, _, _, middles = cv2.connectedComponentsWithStats((crop > 127).astype(np.uint8))
    found = (middles[1:count] + 0.5) / len(crop)
    return found[np.lexsort((found[:, 0], found[:, 1].round(1)))]


def face_at(points: np.ndarray) -> Detection:
    return Detection(box=(0, 0, 1, 1), score=1, points=points.astype(np.float32))


@pytest.mark.parametrize("angle", [0, 30, -75, 180])
@pytest.mark.parametrize("distance", [40, 90])
def test_eyes_and_mouth_come_to_their_places(angle: float, distance: float) -> None:
    upright = np.array([[-0.5, 0], [0.5, 0], [0, 0.5], [0, 1]]) * distance  # eye distance as far as the mouth
    turn = np.deg2rad(angle)
    points = upright @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + [200, 190]
    crop = upright_crop(dots(points[[0, 1, 3]]), face_at(points), WANTED)
    assert crop.shape == (distance / 0.4, distance / 0.4)
    np.testing.assert_allclose(centers(crop), [[0.3, 0.35], [0.7, 0.35], [0.5, 0.75]], atol=0.02)


def test_a_head_turned_aside_or_bent_is_cut_as_if_it_looked_ahead() -> None:
    aside = np.array([[180, 200], [220, 200], [0, 0], [200, 280]])  # eyes 40 apart, 80 above the mouth
    bent = np.array([[160, 200], [240, 200], [0, 0], [200, 240]])
    for points in (aside, bent):
        assert upright_crop(dots(points), face_at(points), WANTED).shape == (200, 200)


def test_upright_lies_between_what_eyes_and_mouth_say() -> None:
    points = np.array([[160, 200], [240, 200], [0, 0], [160, 240]])  # eyes level, the mouth 45 degrees to the left
    crop = upright_crop(dots(points[[0, 1, 3]]), face_at(points), WANTED)
    right, left, _ = centers(crop)  # from the top
    assert np.degrees(np.arctan2(right[1] - left[1], right[0] - left[0])) == pytest.approx(-22.5, abs=1)


def test_beyond_the_edge_the_last_pixels_are_repeated() -> None:
    points = np.array([[5, 5], [45, 5], [25, 25], [25, 45]])
    crop = upright_crop(np.full((60, 60, 3), 77, dtype=np.uint8), face_at(points), WANTED)
    assert crop.shape == (100, 100, 3)
    assert (crop == 77).all()


@pytest.mark.parametrize(("distance", "side"), [(2, 48), (3000, 1024), (0, 48)])
def test_the_crop_has_a_smallest_and_a_largest_side(distance: float, side: int) -> None:
    points = np.array([[0, 0], [distance, 0], [0, 0], [distance / 2, distance]])
    assert upright_crop(np.zeros((50, 50), dtype=np.uint8), face_at(points), WANTED).shape == (side, side)


def test_a_picture_wider_than_opencv_warps() -> None:
    points = np.array([[33_000, 20], [33_040, 20], [0, 0], [33_020, 60]])
    wide = np.zeros((100, 34_000), dtype=np.uint8)
    wide[:, 32_970:33_070] = dots(points[[0, 1, 3]] - np.array([32_970, 0]), 100)
    crop = upright_crop(wide, face_at(points), WANTED)
    np.testing.assert_allclose(centers(crop), [[0.3, 0.35], [0.7, 0.35], [0.5, 0.75]], atol=0.02)


def test_a_face_beyond_the_picture_is_a_crop_all_the_same() -> None:
    points = np.array([[-90, -20], [-50, -20], [0, 0], [-70, 20]])
    assert (upright_crop(np.full((30, 30), 5, dtype=np.uint8), face_at(points), WANTED) == 5).all()


def test_what_is_measured_is_how_the_faces_were_cut(portrait: Pixels) -> None:
    (face,) = Detector(threads=1)(portrait)
    crop = cv2.resize(upright_crop(portrait, face, FER2013), (48, 48), interpolation=cv2.INTER_AREA)
    seen = measure_alignment([np.asarray(crop)] * 30)
    assert seen is not None
    assert seen.faces == 30
    for key in ("eye_distance", "eye_x", "eye_y", "eyes_to_mouth"):
        assert getattr(seen, key) == pytest.approx(getattr(FER2013, key), abs=0.05), key


def test_a_turned_portrait_becomes_upright(portrait: Pixels) -> None:
    turn = cv2.getRotationMatrix2D((225, 120), 25, 1.0)
    turned = np.asarray(cv2.warpAffine(portrait, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE))
    look = Detector(threads=1)
    one, other = (look(image)[0] for image in (portrait, turned))
    tilts = []
    for image, face in ((portrait, one), (turned, other)):
        (again,) = look(np.pad(upright_crop(image, face, FER2013), [(60, 60), (60, 60), (0, 0)], mode="edge"))
        across = again.points[1] - again.points[0]
        tilts.append(abs(np.degrees(np.arctan2(across[1], across[0]))))
    assert max(tilts) < 7, "eyes level, but for what the detector's points are off"


def test_too_few_faces_are_no_measurement(portrait: Pixels) -> None:
    assert measure_alignment([]) is None
    assert measure_alignment([portrait[40:200, 140:300]] * 29) is None


def test_noise_is_given_up_early() -> None:
    looked_at = 0

    def noise():  # type: ignore[no-untyped-def]
        nonlocal looked_at
        for looked_at in range(1, 1000):
            yield np.random.default_rng(looked_at).integers(0, 256, (48, 48), dtype=np.uint8)

    assert measure_alignment(noise()) is None
    assert looked_at == 65


def test_drawn_faces_are_measured_without_an_error(drawn_faces: FaceSet) -> None:
    seen = measure_alignment(drawn_faces.images[:40])
    assert seen is None or 0.2 < seen.eye_y < 0.6


def test_tiny_faces_are_no_face_crops(portrait: Pixels) -> None:
    wide = np.full((400, 400, 3), 128, dtype=np.uint8)
    wide[180:220, 180:220] = cv2.resize(portrait[20:220, 120:320], (40, 40), interpolation=cv2.INTER_AREA)
    assert measure_alignment([wide] * 30, Detector(size=1200, threads=1)) is None
