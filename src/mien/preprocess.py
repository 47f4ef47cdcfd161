"""Preprocess: the one contract from pixels to model input, used by training, evaluation and recognition alike.

Shapes: N images, C channels (1 or 3), S = size in pixels. numpy and cv2 only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from mien.images import Pixels, to_gray


class Preprocess(BaseModel):
    """How a face becomes model input. Stored in the card beside the weights."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    size: int = Field(ge=8, le=1024, description="side of the square input, in pixels")
    color: Literal["gray", "rgb"] = Field(description="channels that the model sees")
    mean: tuple[float, ...] = Field(description="subtracted from values scaled to 0–1, one number per channel")
    std: tuple[float, ...] = Field(description="divides after that, one number per channel")

    @property
    def channels(self) -> int:
        return 1 if self.color == "gray" else 3

    @model_validator(mode="after")
    def _one_number_per_channel(self) -> Preprocess:
        check_channels(self.color, self.mean, self.std)
        return self

    def pixels(self, image: Pixels) -> Pixels:
        """`(H, W)` or `(H, W, 3)` uint8 → `(S, S)` for gray, `(S, S, 3)` for rgb, uint8."""
        if self.color == "gray":
            return resize(to_gray(image), (self.size, self.size))
        small = resize(image, (self.size, self.size))
        return np.repeat(small[..., None], 3, axis=2) if small.ndim == 2 else small

    def __call__(self, images: Iterable[Pixels]) -> npt.NDArray[np.float32]:
        """Pictures of any size, gray or RGB → `(N, C, S, S)` float32, normalized."""
        faces = [self.pixels(image) for image in images]
        values = np.array(faces, np.float32).reshape(len(faces), self.size, self.size, self.channels) / np.float32(255)
        normal = (values - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray(normal.transpose(0, 3, 1, 2), dtype=np.float32)


def check_channels(color: str, mean: tuple[float, ...] | None, std: tuple[float, ...] | None) -> None:
    """Raise `ValueError` unless mean and std, where given, have one number per channel and std is above 0."""
    channels = 1 if color == "gray" else 3
    for key, values in (("mean", mean), ("std", std)):
        if values is not None and len(values) != channels:
            raise ValueError(f"{key} needs {channels} numbers for color '{color}', got {len(values)}")
    if std and min(std) <= 0:
        raise ValueError("std must be above 0")


def resize(image: Pixels, shape: tuple[int, int]) -> Pixels:
    """Resize to `shape` = (height, width): area averaging when shrinking, bilinear otherwise; aspect is not kept."""
    if image.shape[:2] == shape:
        return image
    import cv2

    height, width = shape
    shrinks = image.shape[0] >= height and image.shape[1] >= width
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=how), dtype=np.uint8)
