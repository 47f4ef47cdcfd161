"""Augmentation: random changes to a whole batch at once, on its device, from torch's generator.

Shapes: B images, C channels, S pixels, K classes; values 0–1.
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


def mix(images: torch.Tensor, targets: torch.Tensor, how: Augment) -> tuple[torch.Tensor, torch.Tensor]:
    """`(B, C, S, S)` images and their `(B, K)` targets, each mixed with another of the batch in one random share.

    mixup adds the images (Zhang et al. 2018, eq. 1), cutmix pastes a rectangle (Yun et al. 2019, eq. 1 and 2); with
    both on, each batch meets one of them with equal chance.
    """
    kinds = [kind for kind in ("mixup", "cutmix") if getattr(how, kind)]
    if not kinds:
        return images, targets
    kind = kinds[int(torch.randint(len(kinds), ()))]
    alpha = getattr(how, kind)
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    other = torch.randperm(len(images), device=images.device)
    if kind == "mixup":
        images = share * images + (1 - share) * images[other]
    else:
        images, share = _paste(images, images[other], share)
    return images, share * targets + (1 - share) * targets[other]


def _paste(images: torch.Tensor, others: torch.Tensor, share: float) -> tuple[torch.Tensor, float]:
    """A rectangle of about 1 - `share` of the area from `others`, cut off at the edge; and what share is left."""
    size = images.shape[-1]
    half = math.sqrt(1 - share) * size / 2
    centers = torch.rand(2) * size
    (top, left), (bottom, right) = (
        [min(max(round(float(center) + way * half), 0), size) for center in centers] for way in (-1, 1)
    )
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / size**2


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
