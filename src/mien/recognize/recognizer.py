"""Face: what is said of one face in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Face:
    """One recognized face. `probabilities` are 0–1, sum to 1, and stand in the model's label order."""

    source: str
    emotion: str
    probabilities: dict[str, float]
    box: tuple[int, int, int, int]  # x, y, width, height in pixels of the upright picture


def read_probabilities(
    source: str, labels: Sequence[str], probabilities: npt.NDArray[np.float32], shape: tuple[int, int]
) -> Face:
    """A face that fills its picture of `shape` (height, width), from a classifier's `(K,)` probabilities."""
    values = {label: float(p) for label, p in zip(labels, probabilities, strict=True)}
    return Face(
        source=source,
        emotion=max(values, key=values.__getitem__),
        probabilities=values,
        box=(0, 0, shape[1], shape[0]),
    )
