"""Canvases: pictures with known faces, for what detectors find: faces of FER2013, enlarged, on backgrounds without any.

The faces are crops of 48 pixels, so a large one is soft. Backgrounds are gradients with noise and the two pictures
without people that scikit-learn brings. `canvases` mixes sizes, and turns the faces of half of them; `scenes` shows
given faces under one condition.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mien import FaceSet
from mien.images import Pixels

HEIGHT, WIDTH = 480, 640
SMALLEST, LARGEST = 20, 300  # side of a face in pixels
_TURN = 30.0  # degrees at most, either way
HEAD = 0.25  # of the side of a face, that its head reaches beyond it
_TRIES = 30  # places that are tried for a face before it is left out
_NOISE = 3.0  # of 255: what a camera adds to little light
_SHADED = (1.1, 0.1)  # light on both sides of a face that it falls on from one


@dataclass(frozen=True)
class Placed:
    """A face on a canvas: its number among the given ones, the middle and the side of its crop, its turn in degrees."""

    number: int
    x: float
    y: float
    side: int
    turn: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x, y, width and height of its crop, as if it were not turned."""
        return self.x - self.side / 2, self.y - self.side / 2, self.side, self.side


@dataclass(frozen=True)
class Canvas:
    image: Pixels  # (H, W, 3) RGB
    faces: tuple[Placed, ...]


@dataclass(frozen=True)
class Scene:
    """How faces are shown."""

    side: int = 96  # pixels
    turn: float = 0.0  # degrees, to the left or to the right by chance
    light: float = 1.0  # times what it is, over the whole canvas; noise comes after it
    shaded: bool = False  # light falls on each face from the left or the right, by chance
    blur: float = 0.0  # sigma, of the side of a face, over the whole canvas
    crowd: int = 4  # faces of a canvas

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the places for faces, at least `crowd` of them."""
        rows = round(np.sqrt(self.crowd * HEIGHT / WIDTH)) or 1
        return rows, -(-self.crowd // rows)


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
                paste(image, faces.gather(np.array([which]))[0], placed[-1])
        yield Canvas(image, tuple(placed))


def scenes(faces: FaceSet, scene: Scene, *, seed: int = 0) -> Iterator[Canvas]:
    """Each of these faces once, in their order, `scene.crowd` a canvas, each somewhere in a cell of a grid.

    The last canvas may have fewer. Every second turned face leans to the left.
    """
    rng = np.random.default_rng(seed)
    backgrounds = _photographs()
    for number, start in enumerate(range(0, len(faces), scene.crowd)):
        image = _background(rng, backgrounds, number)
        which = np.arange(start, min(start + scene.crowd, len(faces)))
        placed = tuple(_somewhere(rng, scene, cell, int(one)) for cell, one in enumerate(which))
        for one, crop in zip(placed, faces.gather(which), strict=True):
            paste(image, _shade(crop, one.number) if scene.shaded else crop, one, head=True)
        yield Canvas(_seen(rng, image, scene), placed)


def _somewhere(rng: np.random.Generator, scene: Scene, cell: int, number: int) -> Placed:
    rows, columns = scene.grid
    height, width = HEIGHT / rows, WIDTH / columns
    reach = scene.side * (1 + 2 * HEAD)  # no head covers another face
    free_x, free_y = max(width - reach, 0) / 2, max(height - reach, 0) / 2
    x = (cell % columns + 0.5) * width + float(rng.uniform(-free_x, free_x))
    y = (cell // columns + 0.5) * height + float(rng.uniform(-free_y, free_y))
    return Placed(number, x, y, scene.side, scene.turn if number % 2 else -scene.turn)


def _shade(crop: Pixels, number: int) -> Pixels:
    ramp = np.linspace(*(_SHADED if number % 2 else _SHADED[::-1]), crop.shape[1])
    return np.clip(crop * (ramp if crop.ndim == 2 else ramp[:, None]), 0, 255).astype(np.uint8)


def _seen(rng: np.random.Generator, image: Pixels, scene: Scene) -> Pixels:
    """Out of focus first, then too dark or too bright, then the camera's noise where it is not as light as it was."""
    if scene.blur:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), scene.blur * scene.side), dtype=np.uint8)
    if scene.light == 1:
        return image
    noisy = image * scene.light + rng.normal(0, _NOISE, image.shape)
    return np.clip(np.round(noisy), 0, 255).astype(np.uint8)


def _photographs() -> list[Pixels]:
    from sklearn.datasets import load_sample_images

    return [np.ascontiguousarray(image) for image in load_sample_images().images]


def background(rng: np.random.Generator, number: int) -> Pixels:
    """A picture without people, from the photographs alone unless three divides `number`."""
    return _background(rng, _photographs(), number)


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


def paste(image: Pixels, crop: Pixels, where: Placed, *, head: bool = False) -> None:
    """The crop, enlarged and turned, with an edge that fades over a twelfth of its side.

    `head`: in an oval that reaches a quarter of its side beyond the crop, which it fills with the crop's mirror image,
    so that there is something around the face, as in photos there always is. Detectors were taught on that: of 120 val
    faces of 96 pixels CenterFace misses 31 without and 5 with it.
    """
    colored = np.stack([crop] * 3, axis=2) if crop.ndim == 2 else crop
    own = colored.shape[0]
    around = round(own * HEAD) if head else 0
    colored = np.pad(colored, [(around, around), (around, around), (0, 0)], mode="reflect")
    mask = _oval(own + 2 * around) if head else _square(own)
    middle = (own - 1) / 2 + around
    matrix = cv2.getRotationMatrix2D((middle, middle), where.turn, where.side / own)
    matrix[:, 2] += (where.x - middle, where.y - middle)
    face, shown = (
        cv2.warpAffine(one, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
        for one in (colored.astype(np.float32), mask)
    )
    image[:] = np.round(shown[..., None] * face + (1 - shown[..., None]) * image).astype(np.uint8)


def _square(side: int) -> npt.NDArray[np.float32]:
    edge = max(side // 12, 1)
    mask = np.zeros((side, side), dtype=np.float32)
    mask[edge:-edge, edge:-edge] = 1
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), edge / 2), dtype=np.float32)


def _oval(side: int) -> npt.NDArray[np.float32]:
    """Higher than wide, fading over the outer quarter of its radius."""
    down, across = (np.mgrid[:side, :side] - (side - 1) / 2) / (side / 2)
    return np.clip((1 - np.hypot(across, 0.9 * down)) / 0.25, 0, 1).astype(np.float32)
