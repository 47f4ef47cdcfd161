"""Augmentation: random changes to a whole batch at once, on its device, from torch's generator.

Shapes: B images, C channels, S pixels; values 0–1.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from mien.recipes.sections import Augment


def augment(images: torch.Tensor, how: Augment) -> torch.Tensor:
    """`(B, C, S, S)` float in, the same out, each image changed by its own random numbers."""
    if how.flip or how.shift or how.rotate or how.scale:
        images = _affine(images, how)
    return _erase(images, how.erase) if how.erase else images


def _affine(images: torch.Tensor, how: Augment) -> torch.Tensor:
    """Flip, rotation, scale and shift in one resampling (bilinear, edges repeated)."""
    count, device = len(images), images.device
    angle = _between(count, math.radians(how.rotate), device)
    zoom = 1 + _between(count, how.scale, device)
    mirror = torch.where(torch.rand(count, device=device) < how.flip, -1.0, 1.0)
    # affine_grid maps output places to input places in a frame of -1…1, so a shift by a side is 2.
    across, down = 2 * _between(count, how.shift, device), 2 * _between(count, how.shift, device)
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    matrix = torch.stack([cos * mirror, -sin, across, sin * mirror, cos, down], dim=1).view(count, 2, 3)
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _erase(images: torch.Tensor, chance: float) -> torch.Tensor:
    """Paint one rectangle of random place, shape and gray into some images (Zhong et al. 2020, Random Erasing)."""
    count, _, size, _ = images.shape
    device = images.device
    area = torch.empty(count, device=device).uniform_(0.02, 0.2) * size * size
    ratio = torch.exp(_between(count, math.log(3.0), device))
    height, width = torch.sqrt(area * ratio).clamp(1, size), torch.sqrt(area / ratio).clamp(1, size)
    top, left = torch.rand(count, device=device) * (size - height), torch.rand(count, device=device) * (size - width)
    place = torch.arange(size, device=device).view(1, -1)
    rows = (place >= top.view(-1, 1)) & (place < (top + height).view(-1, 1))
    columns = (place >= left.view(-1, 1)) & (place < (left + width).view(-1, 1))
    hit = (torch.rand(count, device=device) < chance).view(-1, 1, 1)
    box = (rows[:, :, None] & columns[:, None, :] & hit)[:, None]
    return torch.where(box, torch.rand(count, 1, 1, 1, device=device), images)


def _between(count: int, limit: float, device: torch.device) -> torch.Tensor:
    """`(count,)` uniform numbers from -limit to limit."""
    return torch.empty(count, device=device).uniform_(-limit, limit)
