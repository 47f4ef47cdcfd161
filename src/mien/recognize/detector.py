"""Detector: the faces of a picture, each with a box, a score and four points.

Two frozen networks lie in the package, run by onnxruntime: CenterFace (Xu et al. 2019, arXiv:1911.03599), which finds
small faces too, and BlazeFace (Bazarevsky et al. 2019, arXiv:1907.05047; "back camera"), several times as fast.
Shapes: H, W of the picture; F faces; A places that a network looks at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from mien.errors import InputError, unknown_name
from mien.images import Pixels
from mien.recognize.session import CPU, open_session
from mien.recognize.vendored import read_vendored

DetectorName = Literal["default", "fast"]
DETECT_SIZE = 640  # long side, in pixels, at which CenterFace looks
SMALLEST_SIZE, LARGEST_SIZE = 64, 4096
_FILES = {"default": "centerface.onnx", "fast": "blazeface_back.onnx"}
_SCORES = {"default": 0.35, "fast": 0.65}  # below it nothing counts as a face
_OVERLAP = 0.3  # intersection over union above which two boxes are one face
_ENLARGED_TO = 192  # long side of smaller pictures: a face that fills 48 pixels is found, enlarged
_STRIDE = 4  # pixels of the input per cell of CenterFace's output
_SIDE = 256  # of BlazeFace's input
_POINTS = 4

Floats32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Detection:
    """One found face, in pixels of the picture, (x, y) from its upper left corner.

    `points` (4, 2): the eye that is left in the picture, the eye that is right in it, nose tip, middle of the mouth.
    """

    box: tuple[float, float, float, float]  # x, y, width, height; may reach beyond the picture
    score: float  # 0–1
    points: Floats32


@dataclass(frozen=True)
class _Found:
    """What a network says of one picture, before repeats are taken out."""

    corners: Floats32  # (A, 4) x0, y0, x1, y1
    scores: Floats32  # (A,)
    points: Floats32  # (A, 4, 2)


class Detector:
    """One detecting network, opened."""

    def __init__(
        self, name: str = "default", *, size: int = DETECT_SIZE, threads: int | None = None, provider: str = CPU
    ) -> None:
        """`name`: default (CenterFace) or fast (BlazeFace). `size`: long side in pixels at which `default` looks.

        Smaller is faster and misses small faces; smaller pictures are looked at as they are. `fast` always looks at
        256 pixels. `threads`: cores that one call may use; None leaves it to onnxruntime. `provider`: one of
        `mien.recognize.session.PROVIDERS`. Raises `InputError` for an unknown name or a size out of range.
        """
        if name not in get_args(DetectorName):
            raise unknown_name("detector", name, get_args(DetectorName))
        check_size(size)
        self.name, self.size = name, size
        content = read_vendored("detectors", _FILES[name])
        self._session = open_session(content, _FILES[name], threads=threads, provider=provider)
        self._input = self._session.get_inputs()[0].name
        self._look: Callable[[Pixels], _Found] = self._centerface if name == "default" else self._blazeface

    def __call__(self, image: Pixels) -> list[Detection]:
        """Faces of an upright picture, `(H, W)` or `(H, W, 3)` RGB uint8, best score first."""
        if min(image.shape[:2]) == 0:
            return []
        found = self._look(np.stack([image] * 3, axis=2) if image.ndim == 2 else image)
        kept = _distinct(found, _SCORES[self.name])
        return [
            Detection(
                box=(float(x0), float(y0), float(x1 - x0), float(y1 - y0)),
                score=float(found.scores[i]),
                points=found.points[i],
            )
            for i in kept
            for x0, y0, x1, y1 in [found.corners[i]]
        ]

    def _centerface(self, image: Pixels) -> _Found:
        """Peaks of a heat map; size, offset and landmarks stand beside each, (y, x) in this network's output."""
        side = min(self.size, max(*image.shape[:2], _ENLARGED_TO))
        shown, scale = _fitted(image, side, multiple=32)
        heat, sizes, offsets, marks = self._session.run(None, {self._input: _batch(shown)})
        rows, columns = np.nonzero(heat[0, 0] >= _SCORES["default"])
        height, width = np.exp(sizes[0][:, rows, columns]) * _STRIDE
        down, right = offsets[0][:, rows, columns]
        y0 = (rows + down + 0.5) * _STRIDE - height / 2
        x0 = (columns + right + 0.5) * _STRIDE - width / 2
        marks_A52 = marks[0][:, rows, columns].T.reshape(-1, 5, 2)[..., ::-1]
        points_A52 = np.stack([x0, y0], axis=1)[:, None] + marks_A52 * np.stack([width, height], axis=1)[:, None]
        mouth = points_A52[:, 3:].mean(axis=1, keepdims=True)
        return _Found(
            corners=(np.stack([x0, y0, x0 + width, y0 + height], axis=1) / scale).astype(np.float32),
            scores=heat[0, 0, rows, columns],
            points=(np.concatenate([points_A52[:, :3], mouth], axis=1) / scale).astype(np.float32),
        )

    def _blazeface(self, image: Pixels) -> _Found:
        """Boxes and six key points relative to fixed places (anchors); the ears, the last two, are not used."""
        shown, scale = _fitted(image, _SIDE, square=True)
        boxes, logits = self._session.run(None, {self._input: _batch(shown) / np.float32(127.5) - 1})
        scores = 1 / (1 + np.exp(-np.clip(logits[0, :, 0], -50, 50)))
        likely = scores >= _SCORES["fast"]
        anchors_A2 = _anchors()[likely]
        values_A82 = boxes[0][likely].reshape(-1, 8, 2) / _SIDE
        middles, sizes = values_A82[:, 0] + anchors_A2, values_A82[:, 1]
        points_A42 = values_A82[:, 2 : 2 + _POINTS] + anchors_A2[:, None]
        corners = np.concatenate([middles - sizes / 2, middles + sizes / 2], axis=1)
        return _Found(
            corners=(corners * _SIDE / scale).astype(np.float32),
            scores=scores[likely].astype(np.float32),
            points=(points_A42 * _SIDE / scale).astype(np.float32),
        )


def check_size(size: int) -> None:
    """Raise `InputError` for a side at which no detector looks."""
    if not SMALLEST_SIZE <= size <= LARGEST_SIZE:
        raise InputError(f"detect size {size}: expected {SMALLEST_SIZE} to {LARGEST_SIZE} pixels")


def _fitted(image: Pixels, side: int, *, multiple: int = 1, square: bool = False) -> tuple[Pixels, float]:
    """`image` at long side `side`, black added on the right and below, and the scale that it went through."""
    import cv2

    image, halved = _halved(image, side)
    height, width = image.shape[:2]
    scale = side / max(height, width)
    new_height, new_width = max(1, round(height * scale)), max(1, round(width * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(image, (new_width, new_height), interpolation=how)
    down, right = (side, side) if square else (_next(new_height, multiple), _next(new_width, multiple))
    canvas = np.zeros((down, right, 3), dtype=np.uint8)
    canvas[:new_height, :new_width] = small
    return canvas, scale * halved


def _halved(image: Pixels, side: int) -> tuple[Pixels, float]:
    """`image` at half its size as often as it stays over `side`, and its scale: OpenCV halves several times as fast."""
    import cv2

    scale = 1.0
    while max(image.shape[:2]) >= 2 * side and min(image.shape[:2]) >= 2:
        height, width = (length // 2 for length in image.shape[:2])
        even = image[: height * 2, : width * 2]
        image, scale = np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)), scale / 2
    return image, scale


def _next(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _batch(image: Pixels) -> Floats32:
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], dtype=np.float32)


@cache
def _anchors() -> Floats32:
    """Middles `(896, 2)` of the places that BlazeFace looks at, as shares of the picture: 16×16×2 and 8×8×6."""
    grids = []
    for cells, repeats in ((16, 2), (8, 6)):
        rows, columns = np.mgrid[:cells, :cells]
        middles = (np.stack([columns, rows], axis=2).reshape(-1, 2) + 0.5) / cells
        grids.append(np.repeat(middles, repeats, axis=0))
    return np.concatenate(grids).astype(np.float32)


def _distinct(found: _Found, score: float) -> list[int]:
    """Indices of faces, best first, without those that overlap a better one (non-maximum suppression)."""
    import cv2

    wide = np.concatenate([found.corners[:, :2], found.corners[:, 2:] - found.corners[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxes(wide.tolist(), found.scores.tolist(), score, _OVERLAP) if len(wide) else ()
    return [int(i) for i in np.asarray(kept).ravel()]
