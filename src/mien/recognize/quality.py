"""Quality: what a face offers to be read: how many pixels, how sharp, how bright, how far turned.

Measured on the upright crop and on the detector's points, in .1 to .5 ms a face.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from mien.cards import Alignment
from mien.images import Pixels
from mien.recognize.align import placed
from mien.recognize.detector import Detection

Why = Literal["too small", "turned away", "not sure"]
# Where accuracy is some five points or more below that of other faces: docs/experiments.md, "Quality".
TOO_SMALL = 20  # pixels
LEANING, TURNED = 40, 15  # degrees
_SIDE = 48  # pixels at which sharpness and brightness are told, as FER2013's faces have
_NOSE = 0.5  # how far the tip of the nose stands before the line of the eyes, in eye distances


@dataclass(frozen=True)
class Quality:
    """Of one face. `size`: side, in pixels of the picture, of the square that the model sees: 2.7 eye distances.

    `sharpness`: of edges to all contrast, seen at 48 pixels; more is sharper, and noise counts as edges. `brightness`:
    mean gray, 0–255. `roll`: degrees by which the head leans, clockwise in the picture. `yaw`: degrees by which it is
    turned aside, positive to the right in the picture. Both are estimates from the detector's points, roll of the
    picture as it is, and None where the picture was taken as a face.
    """

    size: float
    sharpness: float
    brightness: float
    roll: float | None = None
    yaw: float | None = None

    @property
    def why(self) -> Why:
        """What makes an unsure answer likely here: the first of what holds."""
        if self.size < TOO_SMALL:
            return "too small"
        if abs(self.roll or 0.0) >= LEANING or abs(self.yaw or 0.0) >= TURNED:
            return "turned away"
        return "not sure"


def quality_of(crop: Pixels, place: Detection | None, alignment: Alignment) -> Quality:
    """Of an upright crop `(H, W)` or `(H, W, 3)` uint8; `place`: where it was found, None for a whole picture."""
    sharpness, brightness = sharpness_and_brightness(crop)
    if place is None:
        return Quality(round(math.sqrt(crop.shape[0] * crop.shape[1]), 1), sharpness, brightness)
    side, angle = placed(place, alignment)
    return Quality(round(side, 1), sharpness, brightness, round(math.degrees(angle), 1), round(yaw_of(place.points), 1))


def sharpness_and_brightness(crop: Pixels) -> tuple[float, float]:
    """Standard deviation of the Laplacian over that of the gray levels, 0 where there is no contrast; mean gray."""
    import cv2

    gray = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) if crop.ndim == 3 else crop
    shrinks = min(gray.shape[:2]) >= _SIDE
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    seen = np.asarray(cv2.resize(gray, (_SIDE, _SIDE), interpolation=how), dtype=np.float64)
    contrast = float(seen.std())
    edges = float(cv2.Laplacian(seen, cv2.CV_64F).std())
    return round(edges / contrast, 3) if contrast >= 1 else 0.0, round(float(seen.mean()), 1)


def yaw_of(points: npt.NDArray[np.float32]) -> float:
    """Degrees, positive to the right of the picture, of `points` (4, 2): eyes, nose, mouth.

    Seen from the front the tip of the nose lies in the middle between the eyes. It stands before their line, so that a
    turn by `yaw` moves it aside by its height times the sine, while the eyes draw together by the cosine.
    """
    eyes, nose = points[:2].astype(np.float64), points[2].astype(np.float64)
    across = eyes[1] - eyes[0]
    distance = float(np.hypot(*across))
    if distance < 1e-6:
        return 0.0
    aside = float((nose - eyes.mean(axis=0)) @ across) / distance**2
    return math.degrees(math.atan(aside / _NOSE))
