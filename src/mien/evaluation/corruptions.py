"""Corruptions: what goes wrong with face crops outside of data sets, each at five severities.

The idea (common corruptions at five severities, the mean over them) is that of Hendrycks and Dietterich, ICLR 2019,
arXiv:1903.12261; the choice and the strengths are ours, for faces of 48 pixels, so figures compare with those of other
papers by their order at most. Strengths are relative to the crop, so that they mean the same at 48 and at 224 pixels;
JPEG alone, whose blocks have 8 pixels, harms small crops more.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from mien.cards import Alignment
from mien.errors import InputError, unknown_name
from mien.images import Pixels, pixel_hash
from mien.recognize.align import FER2013

Corruption = Literal[
    "blur", "noise", "brightness", "contrast", "jpeg", "resolution", "rotation", "shift", "eyes", "mouth"
]
CORRUPTIONS: tuple[Corruption, ...] = get_args(Corruption)
SEVERITIES = (1, 2, 3, 4, 5)
STRENGTHS: Mapping[Corruption, tuple[float, float, float, float, float]] = {
    "blur": (0.01, 0.02, 0.03, 0.04, 0.05),  # sigma of a Gaussian, as a share of the sides
    "noise": (0.01, 0.02, 0.04, 0.07, 0.10),  # standard deviation of a Gaussian, as a share of white; grains as below
    "brightness": (0.08, 0.16, 0.24, 0.32, 0.40),  # added or taken away, by image, as a share of white
    "contrast": (0.75, 0.5, 0.35, 0.25, 0.15),  # what is left of the distance to the mean gray
    "jpeg": (60, 35, 20, 12, 7),  # quality, of 100
    "resolution": (36, 30, 24, 18, 12),  # pixels a side that are left; a crop of fewer stays as it is
    "rotation": (5, 10, 20, 30, 40),  # degrees to the left or to the right, by image
    "shift": (0.04, 0.08, 0.12, 0.16, 0.20),  # share of the sides, in a direction by image
    "eyes": (0.15, 0.3, 0.45, 0.6, 0.8),  # height of a bar in the mean color, as a share of the way from eyes to mouth
    "mouth": (0.15, 0.3, 0.45, 0.6, 0.8),  # the same
}
GRAINS = 48  # of noise, across and down: at 224 pixels a grain has several, or shrinking the crop would average it away
_BAR_WIDTHS = {"eyes": 2.0, "mouth": 1.6}  # in eye distances: over both eyes, over a laughing mouth


def corrupt(
    image: Pixels,
    corruption: Corruption,
    severity: int,
    *,
    identity: str | None = None,
    alignment: Alignment = FER2013,
    seed: int = 0,
) -> Pixels:
    """A copy of a face crop, `(H, W)` gray or `(H, W, 3)` RGB uint8, with `corruption` at `severity` 1 to 5.

    Chance (noise, brighter or darker, left or right, where to) depends on `seed`, the corruption and `identity` alone,
    a hash of the crop by default: so on no order, and a crop is turned the same way at every severity. `alignment` says
    where eyes and mouth lie. Beyond an edge its pixels are repeated. Raises `InputError` for anything else.
    """
    _check(image, corruption, severity)
    strength = STRENGTHS[corruption][severity - 1]
    chance = _chance(f"{seed}|{corruption}|{pixel_hash(image) if identity is None else identity}")
    crop = np.ascontiguousarray(image)
    match corruption:
        case "blur":
            return _blurred(crop, strength)
        case "noise":
            return _noisy(crop, strength, chance)
        case "brightness":
            return _rounded(crop + np.float32(255 * _signed(strength, chance)))
        case "contrast":
            return _paler(crop, strength)
        case "jpeg":
            return compressed(crop, int(strength))
        case "resolution":
            return _coarser(crop, int(strength))
        case "rotation":
            return _turned(crop, _signed(strength, chance))
        case "shift":
            return _shifted(crop, strength, 2 * math.pi * chance / 2**64)
        case "eyes" | "mouth":
            return _covered(crop, corruption, strength, alignment)


def _check(image: Pixels, corruption: str, severity: int) -> None:
    if corruption not in CORRUPTIONS:
        raise unknown_name("corruption", corruption, CORRUPTIONS)
    if severity not in SEVERITIES:
        raise InputError(f"severity {severity} of {corruption}: expected 1 to 5")
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)) or not image.size:
        raise InputError(f"crop is {image.shape} {image.dtype}, expected (H, W) gray or (H, W, 3) RGB, uint8")


def _chance(text: str) -> int:
    """An even draw of 64 bits that `text` decides."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _signed(strength: float, chance: int) -> float:
    return strength if chance % 2 else -strength


def _rounded(values: npt.NDArray[np.float32]) -> Pixels:
    return np.rint(values).clip(0, 255).astype(np.uint8)


def _blurred(crop: Pixels, share: float) -> Pixels:
    import cv2

    height, width = crop.shape[:2]
    blurred = cv2.GaussianBlur(
        crop, (0, 0), sigmaX=share * width, sigmaY=share * height, borderType=cv2.BORDER_REPLICATE
    )
    return np.asarray(blurred, dtype=np.uint8)


def _noisy(crop: Pixels, share: float, chance: int) -> Pixels:
    """The same noise in all three colors, so that a model that sees gray meets as much of it."""
    import cv2

    grains = np.random.default_rng(chance).standard_normal((GRAINS, GRAINS), dtype=np.float32)
    noise = cv2.resize(grains, crop.shape[1::-1], interpolation=cv2.INTER_NEAREST) * np.float32(255 * share)
    return _rounded(crop + (noise if crop.ndim == 2 else noise[..., None]))


def _paler(crop: Pixels, left: float) -> Pixels:
    mean = np.float32(crop.mean())
    return _rounded(mean + (crop - mean) * np.float32(left))


def compressed(crop: Pixels, quality: int) -> Pixels:
    import cv2

    turned = crop if crop.ndim == 2 else crop[..., ::-1]  # OpenCV's order of colors
    _, data = cv2.imencode(".jpg", turned, [cv2.IMWRITE_JPEG_QUALITY, quality])
    back = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE if crop.ndim == 2 else cv2.IMREAD_COLOR)
    assert back is not None  # it was just encoded
    return np.ascontiguousarray(back if crop.ndim == 2 else back[..., ::-1], dtype=np.uint8)


def _coarser(crop: Pixels, side: int) -> Pixels:
    import cv2

    height, width = crop.shape[:2]
    small = cv2.resize(crop, (min(side, width), min(side, height)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _turned(crop: Pixels, degrees: float) -> Pixels:
    """About the middle; a positive angle turns to the left."""
    import cv2

    height, width = crop.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    turned = cv2.warpAffine(crop, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(turned, dtype=np.uint8)


def _shifted(crop: Pixels, share: float, direction: float) -> Pixels:
    """By whole pixels: a shift that is nothing else, while half a pixel would blur."""
    height, width = crop.shape[:2]
    across, down = round(share * width * math.cos(direction)), round(share * height * math.sin(direction))
    rows = (np.arange(height) - down).clip(0, height - 1)
    columns = (np.arange(width) - across).clip(0, width - 1)
    return np.asarray(crop[rows[:, None], columns])


def _covered(crop: Pixels, part: Literal["eyes", "mouth"], share: float, alignment: Alignment) -> Pixels:
    """A bar in the mean color over a part of the face; at least one row and one column of pixels."""
    height, width = crop.shape[:2]
    middle = alignment.eye_y + (alignment.eyes_to_mouth if part == "mouth" else 0)
    rows = _range(middle, share * alignment.eyes_to_mouth, height)
    columns = _range(alignment.eye_x, _BAR_WIDTHS[part] * alignment.eye_distance, width)
    covered = crop.copy()
    covered[rows, columns] = np.rint(crop.mean(axis=(0, 1)))
    return covered


def _range(middle: float, length: float, pixels: int) -> slice:
    """The pixels of a side that lie `length` around `middle`, both shares of it."""
    start = min(max(round((middle - length / 2) * pixels), 0), pixels - 1)
    return slice(start, max(round((middle + length / 2) * pixels), start + 1))
