"""Prepare: stored uint8 pixels to model input on the device, equal to `Preprocess` within 1/255.

Shapes: B images, H and W stored pixels, C channels, S = input size.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from mien.preprocess import Preprocess
from mien.recipes.sections import Augment
from mien.training.augment import augment
from mien.training.hardware import constant

# BT.601 in cv2's fixed point, so that gray values are the same to the last bit; float32 holds the products exactly.
_BT601, _ONE = (9798, 19235, 3735), 32768


def prepare(pixels: torch.Tensor, how: Preprocess, changes: Augment | None = None) -> torch.Tensor:
    """uint8 `(B, H, W)` or `(B, H, W, 3)`, H and W at most S → float32 `(B, C, S, S)`, normalized.

    `changes` are applied at input size, before normalizing; training alone passes them.
    """
    images = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
    images = images.float()
    if how.color == "gray" and images.shape[1] == 3:
        weights = constant(_BT601, images.device).view(1, 3, 1, 1)
        images = (((images * weights).sum(dim=1, keepdim=True) + _ONE // 2) / _ONE).floor()
    images = images / 255
    if images.shape[-2:] != (how.size, how.size):
        images = functional.interpolate(images, size=(how.size, how.size), mode="bilinear", align_corners=False)
    if how.color == "rgb" and images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    if changes is not None and changes.on:
        with torch.autocast(images.device.type, enabled=False):  # pictures keep float32's steps
            images = augment(images, changes)
    mean = constant(how.mean, images.device).view(1, -1, 1, 1)
    std = constant(how.std, images.device).view(1, -1, 1, 1)
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)
