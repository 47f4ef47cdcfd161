"""Detectors find the face of a real photo where a person sees it, at any size and place, and nothing where none is."""

from __future__ import annotations

from itertools import combinations

import cv2
import numpy as np
import pytest

from mien.errors import InputError
from mien.images import Pixels, to_gray
from mien.recognize.detector import Detection, Detector, _distinct, _Found

# Marked by hand in the portrait: the pupil left in the picture, the one right in it, the tip of the nose, the mouth.
POINTS = np.array([[203, 101], [249, 103], [225, 126], [223, 146]])
NAMES = ("default", "fast")


@pytest.fixture(scope="module", params=NAMES)
def detector(request: pytest.FixtureRequest) -> Detector:
    return Detector(request.param, threads=1)


def overlap(a: Detection, b: Detection) -> float:
    (ax, ay, aw, ah), (bx, by, bw, bh) = a.box, b.box
    both = max(0, min(ax + aw, bx + bw) - max(ax, bx)) * max(0, min(ay + ah, by + bh) - max(ay, by))
    return both / (aw * ah + bw * bh - both)


def test_the_face_of_the_portrait(detector: Detector, portrait: Pixels) -> None:
    (face,) = detector(portrait)
    assert face.score > 0.8
    np.testing.assert_allclose(face.points, POINTS, atol=6)
    x, y, width, height = face.box
    assert x < POINTS[:, 0].min() < POINTS[:, 0].max() < x + width
    assert y < POINTS[:, 1].min() < POINTS[:, 1].max() < y + height


def test_both_detectors_agree(portrait: Pixels) -> None:
    (one,), (other,) = (Detector(name, threads=1)(portrait) for name in NAMES)
    assert overlap(one, other) > 0.6


@pytest.mark.parametrize(("scale", "left", "top"), [(1.0, 300, 0), (0.6, 0, 211), (2.0, 7, 40), (5.003, 11, 3)])
def test_box_and_points_move_with_the_face(
    detector: Detector, portrait: Pixels, scale: float, left: int, top: int
) -> None:
    moved = cv2.copyMakeBorder(portrait, top, 0, left, 0, cv2.BORDER_CONSTANT, value=(90, 90, 90))
    moved = cv2.resize(moved, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    (face,) = detector(np.asarray(moved))
    np.testing.assert_allclose(face.points, (POINTS + np.array([left, top])) * scale, atol=8 * scale)


def test_gray_is_as_good_as_color(detector: Detector, portrait: Pixels) -> None:
    (face,) = detector(to_gray(portrait))
    np.testing.assert_allclose(face.points, POINTS, atol=6)


def test_several_faces(portrait: Pixels) -> None:
    faces = Detector(threads=1)(np.concatenate([portrait, portrait[:, ::-1], portrait], axis=1))
    assert len(faces) == 3
    assert all(overlap(a, b) == 0 for a, b in combinations(faces, 2))
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (700, 3, 3), (90, 160, 3), (0, 5, 3)])
def test_pictures_of_any_shape(detector: Detector, shape: tuple[int, ...]) -> None:
    assert detector(np.full(shape, 128, dtype=np.uint8)) == []


def test_overlapping_boxes_are_one_face() -> None:
    corners = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [9, 9, 19, 19], [0, 0, 10, 10]], dtype=np.float32)
    found = _Found(corners, np.array([0.6, 0.9, 0.7, 0.2], dtype=np.float32), np.zeros((4, 4, 2), dtype=np.float32))
    assert _distinct(found, 0.5) == [1, 2]  # the first overlaps the better second, the last is too unlikely


def test_other_names_and_sizes_are_refused() -> None:
    with pytest.raises(InputError, match=r"unknown detector 'fats'\. Did you mean 'fast'"):
        Detector("fats")
    with pytest.raises(InputError, match="detect size 20: expected 64 to 4096 pixels"):
        Detector(size=20)


def test_a_smaller_look_misses_small_faces(portrait: Pixels) -> None:
    small = np.zeros((1024, 1024, 3), dtype=np.uint8)
    small[:128, :128] = cv2.resize(portrait, (128, 128), interpolation=cv2.INTER_AREA)  # a face of 23 pixels
    assert len(Detector(size=1024, threads=1)(small)) == 1
    assert Detector(size=128, threads=1)(small) == []
