"""Cuts: whether a look at a film shows another shot than the look before, by small gray pictures of the two.

They are of one shot where they are alike as a whole, at the best of a few shifts, which a moving camera needs; or where
half of their parts are, each at its own shift, which is so when light falls from elsewhere or something comes before
the camera. Alike is told by correlation, which neither more light nor more contrast changes. The boundaries were
measured: docs/experiments.md, "Cuts". Shapes: B parts of a small picture, P pixels of a part, S shifts.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mien.images import Pixels

WIDTH, HEIGHT = 32, 24  # of a small picture, whatever the shape of the film
_WHOLE_SAME, _PART_SAME = 0.5, 0.7  # correlations from which two looks, or a part of them, are the same
_WHOLE_SHIFTS = (4, 3)  # small pixels, across and down, an eighth of the picture
_PART_SHIFTS = (3, 2)
_PARTS = 4  # in a row, and as many rows
_FAINT = 9.0  # squared gray levels: what differs by less within a part is noise
_FLAT = 4.0  # standard deviation, of 255, below which a picture is black or white and says nothing

Floats = npt.NDArray[np.float64]


class Cuts:
    """Sees the looks of one film, one after another."""

    def __init__(self) -> None:
        self._before: Floats | None = None

    def __call__(self, image: Pixels) -> bool:
        """Whether `image` `(H, W)` or `(H, W, 3)` uint8 begins another shot.

        An empty picture, as between two shots, is passed over: the next one is compared with that before it.
        """
        now = small(image)
        if now.std() < _FLAT:
            return False
        before, self._before = self._before, now
        return before is not None and is_cut(before, now)


def small(image: Pixels) -> Floats:
    """The picture in gray, `(HEIGHT, WIDTH)`, 0–255: means of its parts."""
    import cv2

    shrunk = np.asarray(cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA))
    gray = cv2.cvtColor(shrunk, cv2.COLOR_RGB2GRAY) if shrunk.ndim == 3 else shrunk
    return np.asarray(gray, dtype=np.float64)


def is_cut(before: Floats, now: Floats) -> bool:
    """Whether two small pictures are of two shots."""
    return _of_whole(before, now) < _WHOLE_SAME and float(np.median(_of_parts(before, now))) < _PART_SAME


def _of_whole(before: Floats, now: Floats) -> float:
    """The largest correlation of what two small pictures share, over all shifts."""
    across, down = _WHOLE_SHIFTS
    shifts = [(x, y) for y in range(-down, down + 1) for x in range(-across, across + 1)]
    return max(_correlation(_shifted(before, x, y), _shifted(now, -x, -y)) for x, y in shifts)


def _shifted(picture: Floats, x: int, y: int) -> Floats:
    """What is left of it when it is shifted by (x, y)."""
    return picture[max(y, 0) : HEIGHT + min(y, 0), max(x, 0) : WIDTH + min(x, 0)]


def _correlation(one: Floats, other: Floats) -> float:
    a, b = one - one.mean(), other - other.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size else 0.0


def _of_parts(before: Floats, now: Floats) -> Floats:
    """`(B,)`: of each part of `before`, the largest correlation with what lies there, or near there, in `now`."""
    across, down = _PART_SHIFTS
    height, width = HEIGHT // _PARTS, WIDTH // _PARTS
    wide = np.pad(now, [(down, down), (across, across)], mode="edge")
    seen_BSP = np.lib.stride_tricks.sliding_window_view(wide, (height + 2 * down, width + 2 * across))
    seen_BSP = seen_BSP[::height, ::width].reshape(_PARTS * _PARTS, height + 2 * down, width + 2 * across)
    seen_BSP = np.lib.stride_tricks.sliding_window_view(seen_BSP, (height, width), axis=(1, 2))
    seen_BSP = seen_BSP.reshape(_PARTS * _PARTS, -1, height * width)
    parts_BP = before.reshape(_PARTS, height, _PARTS, width).transpose(0, 2, 1, 3).reshape(_PARTS * _PARTS, -1)
    a_B1P = (parts_BP - parts_BP.mean(axis=1, keepdims=True))[:, None]
    b_BSP = seen_BSP - seen_BSP.mean(axis=2, keepdims=True)
    sizes_BS = ((a_B1P**2).sum(axis=2) + _FAINT) * ((b_BSP**2).sum(axis=2) + _FAINT)
    return np.asarray(((a_B1P * b_BSP).sum(axis=2) / np.sqrt(sizes_BS)).max(axis=1), dtype=np.float64)
