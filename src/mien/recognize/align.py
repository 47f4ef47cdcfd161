"""Align: the face of a picture as an upright crop, cut like the faces that a classifier was trained on.

Which cut that is, a card says (`Alignment`): where the eyes lie in its train faces and how far from the mouth.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from mien.cards import Alignment
from mien.images import Pixels
from mien.recognize.detector import Detection, Detector

# `measure_alignment` of 2,048 train faces of FER2013, for models whose card says nothing.
FER2013 = Alignment(eye_distance=0.3746, eye_x=0.5, eye_y=0.4031, eyes_to_mouth=0.3616, faces=2048)
_SMALLEST, _LARGEST = 48, 1024  # side of a crop in pixels
LOOK = 192  # side at which faces of a data set are looked at
_FEWEST = 30  # found faces that make a measurement
_FIRST = 64  # faces after which a set without real faces is given up


def upright_crop(image: Pixels, face: Detection, alignment: Alignment) -> Pixels:
    """The square crop around `face`, turned upright; gray or RGB as `image`.

    Upright is the mean of what the line of the eyes and the line from them to the mouth say. The size is the larger of
    what eye distance and distance to the mouth ask for: a head turned aside shortens the first, a head bent down the
    second. Beyond the edge of the picture its last pixels are repeated. As many pixels as the picture has there, at
    least 48 and at most 1,024 a side.
    """
    import cv2

    side, angle = placed(face, alignment)
    middle = face.points[:2].astype(np.float64).mean(axis=0)
    crop = int(np.clip(round(side), _SMALLEST, _LARGEST))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) * crop / side
    shift = np.array([alignment.eye_x, alignment.eye_y]) * crop - turn @ middle
    part, corner = _around(image, turn, shift, crop)
    matrix = np.column_stack([turn, shift + turn @ corner])
    moved = cv2.warpAffine(part, matrix, (crop, crop), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, dtype=np.uint8)


def upright_crops(image: Pixels, detector: Detector, alignment: Alignment) -> tuple[list[Detection], list[Pixels]]:
    """The faces of a picture from left to right, and each of them cut out upright."""
    faces = sorted(detector(image), key=lambda face: face.box[0])
    return faces, [upright_crop(image, face, alignment) for face in faces]


def placed(face: Detection, alignment: Alignment) -> tuple[float, float]:
    """Side of the crop in pixels of the picture, and the angle in radians by which the head leans, clockwise."""
    eyes, mouth = face.points[:2].astype(np.float64), face.points[3].astype(np.float64)
    across, down = eyes[1] - eyes[0], mouth - eyes.mean(axis=0)
    side = max(float(np.hypot(*across)) / alignment.eye_distance, float(np.hypot(*down)) / alignment.eyes_to_mouth, 1.0)
    return side, float(np.angle(_direction(across[0], across[1]) + _direction(down[1], -down[0])))


def _around(
    image: Pixels, turn: npt.NDArray[np.float64], shift: npt.NDArray[np.float64], crop: int
) -> tuple[Pixels, npt.NDArray[np.int64]]:
    """The part of `image` that a crop is made of, and its upper left corner (x, y): OpenCV warps 32,767 pixels."""
    ends = (np.array([[0, 0], [crop, 0], [0, crop], [crop, crop]]) - shift) @ np.linalg.inv(turn).T
    last = np.array(image.shape[1::-1]) - 1
    x0, y0 = np.clip(np.floor(ends.min(axis=0)) - 2, 0, last).astype(np.int64)
    x1, y1 = np.clip(np.ceil(ends.max(axis=0)) + 2, (x0, y0), last).astype(np.int64)
    return image[y0 : y1 + 1, x0 : x1 + 1], np.array([x0, y0])


def _direction(x: float, y: float) -> complex:
    """Of length 1, so that directions can be averaged; 0 for none."""
    return complex(x, y) / (np.hypot(x, y) or 1.0)


def measure_alignment(faces: Iterable[Pixels], detector: Detector | None = None) -> Alignment | None:
    """Where eyes and mouth lie in face crops (medians); None where too few hold a face that is found, or tiny ones.

    `faces`: crops `(H, W)` or `(H, W, 3)` uint8, in random order. Each is enlarged and framed before it is looked at.
    """
    look = detector or Detector(size=LOOK)
    found: list[npt.NDArray[np.float64]] = []
    seen = 0
    for seen, image in enumerate(faces, start=1):
        if seen == _FIRST + 1 and len(found) < _FIRST // 4:
            return None
        face = _largest(look(_framed(image)))
        if face is not None:
            found.append(_fractions(face, image.shape[:2]))
    if len(found) < _FEWEST:
        return None
    distance, x, y, mouth = (round(float(value), 4) for value in np.median(found, axis=0))
    try:
        return Alignment(eye_distance=distance, eye_x=x, eye_y=y, eyes_to_mouth=mouth, faces=seen)
    except ValidationError:  # pictures with faces in them, but no face crops
        return None


def recut(image: Pixels, alignment: Alignment, detector: Detector | None = None) -> Pixels | None:
    """A face crop of a data set cut anew, as `upright_crop` cuts faces from photos; None where no face is found."""
    face = _largest((detector or Detector(size=LOOK))(_framed(image)))
    if face is None:
        return None
    frame = np.array([image.shape[1] // 4, image.shape[0] // 4], dtype=np.float32)
    return upright_crop(image, replace(face, points=face.points - frame), alignment)


def _framed(image: Pixels) -> Pixels:
    """With a black frame of a quarter on each side: the detector was taught on faces with something around them."""
    down, right = image.shape[0] // 4, image.shape[1] // 4
    return np.pad(image, [(down, down), (right, right), (0, 0)][: image.ndim])


def _largest(faces: list[Detection]) -> Detection | None:
    return max(faces, key=lambda face: face.box[2] * face.box[3], default=None)


def _fractions(face: Detection, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Eye distance, eye middle (x, y) and distance of eyes and mouth, as shares of the crop of `shape` (H, W)."""
    size = np.array([shape[1], shape[0]], dtype=np.float64)
    points = (face.points.astype(np.float64) - size // 4) / size
    middle = points[:2].mean(axis=0)
    return np.array([np.hypot(*(points[1] - points[0])), *middle, np.hypot(*(points[3] - middle))])
