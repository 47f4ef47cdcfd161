"""Canvases: pictures with known faces, for what detectors find: faces of FER2013, enlarged, on backgrounds without any.

The faces are crops of 48 pixels, so a large one is soft; half of the canvases have them turned. Backgrounds are
gradients with noise and the two pictures without people that scikit-learn brings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from mien import FaceSet
from mien.images import Pixels

HEIGHT, WIDTH = 480, 640
SMALLEST, LARGEST = 20, 300  # side of a face in pixels
_TURN = 30.0  # degrees at most, either way
_TRIES = 30  # places that are tried for a face before it is left out


@dataclass(frozen=True)
class Placed:
    """A face on a canvas: its number among the given ones, the middle and the side of its crop, its turn in degrees."""

    number: int
    x: float
    y: float
    side: int
    turn: float


@dataclass(frozen=True)
class Canvas:
    image: Pixels  # (H, W, 3) RGB
    faces: tuple[Placed, ...]


def canvases(faces: FaceSet, count: int, *, seed: int = 0) -> Iterator[Canvas]:
    """`count` canvases of one to six of these faces; every second has them turned."""
    rng = np.random.default_rng(seed)
    backgrounds = _photographs()
    for number in range(count):
        image = _background(rng, backgrounds, number)
        placed: list[Placed] = []
        for _ in range(rng.integers(1, 7)):
            side = round(float(np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST)))))
            turn = float(rng.uniform(-_TURN, _TURN)) if number % 2 else 0.0
            middle = _free(rng, placed, side)
            if middle is not None:
                which = int(rng.integers(0, len(faces)))
                placed.append(Placed(which, *middle, side, turn))
                _paste(image, faces.gather(np.array([which]))[0], placed[-1])
        yield Canvas(image, tuple(placed))


def _photographs() -> list[Pixels]:
    from sklearn.datasets import load_sample_images

    return [np.ascontiguousarray(image) for image in load_sample_images().images]


def _background(rng: np.random.Generator, photographs: list[Pixels], number: int) -> Pixels:
    if number % 3 == 0:
        corners = rng.integers(0, 256, (2, 2, 3)).astype(np.float32)
        smooth = cv2.resize(corners, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
        return np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)
    image = photographs[int(rng.integers(len(photographs)))]
    scale = float(rng.uniform(1.2, 2.5))
    large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    top = int(rng.integers(0, large.shape[0] - HEIGHT + 1))
    left = int(rng.integers(0, large.shape[1] - WIDTH + 1))
    return large[top : top + HEIGHT, left : left + WIDTH].copy()


def _free(rng: np.random.Generator, placed: list[Placed], side: int) -> tuple[float, float] | None:
    """Where a face of that side touches no other and stays inside, turned or not."""
    reach = 0.75 * side
    if 2 * reach >= HEIGHT:
        reach = HEIGHT / 2 - 1
    for _ in range(_TRIES):
        x, y = float(rng.uniform(reach, WIDTH - reach)), float(rng.uniform(reach, HEIGHT - reach))
        if all(np.hypot(x - one.x, y - one.y) > 0.75 * (side + one.side) for one in placed):
            return x, y
    return None


def _paste(image: Pixels, crop: Pixels, where: Placed) -> None:
    """The crop, enlarged and turned, with an edge that fades over a twelfth of its side."""
    colored = np.stack([crop] * 3, axis=2) if crop.ndim == 2 else crop
    own = colored.shape[0]
    edge = max(own // 12, 1)
    mask = np.zeros((own, own), dtype=np.float32)
    mask[edge:-edge, edge:-edge] = 1
    mask = cv2.GaussianBlur(mask, (0, 0), edge / 2)
    matrix = cv2.getRotationMatrix2D(((own - 1) / 2, (own - 1) / 2), where.turn, where.side / own)
    matrix[:, 2] += (where.x - (own - 1) / 2, where.y - (own - 1) / 2)
    face, shown = (
        cv2.warpAffine(one, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
        for one in (colored.astype(np.float32), mask)
    )
    image[:] = np.round(shown[..., None] * face + (1 - shown[..., None]) * image).astype(np.uint8)
