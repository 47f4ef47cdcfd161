"""Occlusion: which parts of a face a classifier's answer depends on, from its answers alone. Needs no torch.

Shapes: N faces, K classes, H and W pixels, P patches.

Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 4.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from mien.errors import InputError
from mien.images import Pixels
from mien.model import Classify

SHARE = 0.2  # of the side of a face, covered at once
_BATCH = 64


def occlusion(
    classify: Classify, face: Pixels, label: int, *, share: float = SHARE
) -> tuple[npt.NDArray[np.float32], float]:
    """How far the probability of class `label` drops when a part of `face` is covered: `(H, W)`, and the largest drop.

    A square patch of `share` of the shorter side moves over the face by half of itself; it is gray, or of the mean
    color. A pixel has the mean drop (−1 to 1; negative where covering helps) of the patches that cover it, the largest
    drop is of one patch. Raises `InputError` for a share that is not above 0 and below 1.
    """
    if not 0 < share < 1:
        raise InputError(f"share {share:g} of a face to cover: expected above 0, below 1")
    places = list(_places(face.shape[0], face.shape[1], share))
    before = classify([face])[0, label]
    drop_P = before - _covered(classify, face, places, label)
    sum_HW, count_HW = np.zeros(face.shape[:2]), np.zeros(face.shape[:2])
    for place, drop in zip(places, drop_P, strict=True):
        sum_HW[place] += drop
        count_HW[place] += 1
    return np.asarray(sum_HW / count_HW, dtype=np.float32), float(drop_P.max())


def _covered(
    classify: Classify, face: Pixels, places: Sequence[tuple[slice, slice]], label: int
) -> npt.NDArray[np.float32]:
    """`(P,)` the probability of `label` with each place covered."""
    gray = np.rint(face.mean(axis=(0, 1))).astype(np.uint8)
    answers = []
    for start in range(0, len(places), _BATCH):
        shown = [face.copy() for _ in places[start : start + _BATCH]]
        for image, place in zip(shown, places[start:], strict=False):
            image[place] = gray
        answers.append(classify(shown)[:, label])
    return np.concatenate(answers)


def _places(height: int, width: int, share: float) -> Iterator[tuple[slice, slice]]:
    """Patches that cover all pixels; the last of a row or column ends with the face."""
    side = max(1, round(share * min(height, width)))
    for y in _starts(height, side):
        for x in _starts(width, side):
            yield slice(y, y + side), slice(x, x + side)


def _starts(length: int, side: int) -> list[int]:
    return [*range(0, length - side, max(1, side // 2)), length - side]
