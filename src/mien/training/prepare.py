"""Prepare: stored uint8 pixels to model input on the device, equal to `Preprocess` within 1/255; with augmentation.

Augmentation is random changes to a whole batch at once, from torch's generator. Shapes: B images, H and W stored
pixels, C channels, S = input size, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch
from torch.nn import functional

from mien.preprocess import Preprocess
from mien.recipes.sections import Augment
from mien.training.hardware import constant

# BT.601 in cv2's fixed point, so that gray values are the same to the last bit; float32 holds the products exactly.
_BT601, _ONE = (9798, 19235, 3735), 32768
_GAMMA = 0.4  # largest logarithm of the exponent, either way
_BLUR = (0.006, 0.04)  # sigma, as a share of the side
_RESOLUTION = (0.25, 0.67)  # pixels that are left, as a share of the side
_NOISE = 0.15  # largest standard deviation, as a share of white
_JPEG = (5, 50)  # quality, of 100
_GRAINS = 48  # of noise, at most, across and down: those of a small face stay as coarse where it is enlarged
_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56), (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip


def prepare(pixels: torch.Tensor, how: Preprocess, changes: Augment | None = None) -> torch.Tensor:
    """uint8 `(B, H, W)` or `(B, H, W, 3)`, H and W at most S → float32 `(B, C, S, S)`, normalized.

    `changes` are applied at input size, before normalizing; training alone passes them.
    """
    images = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
    images = images.float()
    if how.color == "gray" and images.shape[1] == 3:
        images = (to_gray(images) + 0.5).floor()
    images = resized(images / 255, how)
    if changes is not None and changes.on:
        with _without_autocast(images.device.type):  # pictures keep float32's steps
            images = augment(images, changes)
    return normalized(images, how)


def resized(images: torch.Tensor, how: Preprocess) -> torch.Tensor:
    """`(B, C, H, W)` → `(B, C, S, S)`."""
    if images.shape[-2:] == (how.size, how.size):
        return images
    return functional.interpolate(images, size=(how.size, how.size), mode="bilinear", align_corners=False)


def normalized(images: torch.Tensor, how: Preprocess) -> torch.Tensor:
    """`(B, 1 or C, S, S)` of 0 to 1 → `(B, C, S, S)` as a network takes it. Last, since all channels change alike."""
    if how.color == "rgb" and images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    normal = (images - of_channels(how.mean, images.device)) / of_channels(how.std, images.device)
    return normal.contiguous(memory_format=torch.channels_last)


def of_channels(values: tuple[float, ...], device: torch.device) -> torch.Tensor:
    """A number for each channel, to be laid over a batch."""
    return constant(values, device).view(1, -1, 1, 1)


def to_gray(images: torch.Tensor) -> torch.Tensor:
    """`(B, 3, S, S)` → `(B, 1, S, S)`."""
    weights = constant(_BT601, images.device).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True) / _ONE


def _without_autocast(device: str) -> AbstractContextManager[object]:
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


def augment(images: torch.Tensor, how: Augment) -> torch.Tensor:
    """`(B, C, S, S)` float in, the same out, each image changed by its own random numbers.

    First where things are, then what a camera or a file does to them, in that order, then what hides a part.
    """
    if how.flip or how.shift or how.rotate or how.scale:
        images = _affine(images, how)
    for chance, change in (
        (how.gamma, _gamma),
        (how.blur, _blur),
        (how.resolution, _resolution),
        (how.noise, _noise),
        (how.jpeg, _jpeg),
    ):
        if chance:
            images = _some(images, chance, change)
    return _erase(images, how.erase) if how.erase else images


def mix(images: torch.Tensor, targets: torch.Tensor, how: Augment) -> tuple[torch.Tensor, torch.Tensor]:
    """`(B, C, S, S)` images and their `(B, K)` targets, each mixed with another of the batch in one random share.

    Source: mixup, Zhang et al. 2018, eq. 1.
    """
    if not how.mixup:
        return images, targets
    share = float(torch.distributions.Beta(how.mixup, how.mixup).sample())
    other = torch.randperm(len(images), device=images.device)
    return share * images + (1 - share) * images[other], share * targets + (1 - share) * targets[other]


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


def _some(images: torch.Tensor, chance: float, change: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Each image is changed with this chance. How many are is drawn on the CPU, so that no GPU is waited for."""
    count = int((torch.rand(len(images)) < chance).sum())
    if not count:
        return images
    rows = torch.randperm(len(images), device=images.device)[:count]
    return images.index_copy(0, rows, change(images[rows]).clamp(0, 1))


def _gamma(images: torch.Tensor) -> torch.Tensor:
    exponent = torch.exp(_between(len(images), _GAMMA, images.device)).view(-1, 1, 1, 1)
    return images.clamp(0, 1) ** exponent


def _blur(images: torch.Tensor) -> torch.Tensor:
    """Gaussian, of an own sigma for each image; at the edge the kernel is what is left of it, scaled to 1."""
    size, device = images.shape[-1], images.device
    sigma = torch.empty(len(images), device=device).uniform_(*_BLUR).view(-1, 1, 1) * size
    place = torch.arange(size, device=device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * ((place.view(-1, 1) - place) / sigma) ** 2)
    return _both_ways(images, kernel / kernel.sum(dim=2, keepdim=True))


def _resolution(images: torch.Tensor) -> torch.Tensor:
    """Fewer pixels (each the mean of its area), enlarged again (bilinear), of an own number for each image."""
    table = _coarser(images.shape[-1], images.device)
    return _both_ways(images, table[torch.randint(len(table), (len(images),), device=images.device)])


@cache
def _coarser(size: int, device: torch.device) -> torch.Tensor:
    """`(sides, S, S)`: what takes a row of pixels to fewer of them and back, for each number that may be left."""
    matrices = []
    for side in range(math.ceil(_RESOLUTION[0] * size), math.floor(_RESOLUTION[1] * size) + 1):
        edge = torch.arange(side + 1) * (size / side)
        pixel = torch.arange(size)
        upper = torch.minimum(edge[1:, None], pixel + 1.0)
        overlap = (upper - torch.maximum(edge[:-1, None], pixel.float())).clamp(min=0) * (side / size)
        enlarged = functional.interpolate(overlap.T[None], size=size, mode="linear", align_corners=False)[0]
        matrices.append(enlarged.T)
    return torch.stack(matrices).to(device)


def _both_ways(images: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """`(B, S, S)` matrices along the rows and the columns of their images."""
    return matrix[:, None] @ images @ matrix[:, None].transpose(2, 3)


def _noise(images: torch.Tensor) -> torch.Tensor:
    """Gaussian, the same in all colors."""
    count, _, size, _ = images.shape
    deviation = torch.empty(count, 1, 1, 1, device=images.device).uniform_(0, _NOISE)
    grains = torch.randn(count, 1, min(size, _GRAINS), min(size, _GRAINS), device=images.device)
    return images + deviation * functional.interpolate(grains, size=(size, size), mode="nearest")


def _jpeg(images: torch.Tensor) -> torch.Tensor:
    """What baseline JPEG loses in a gray picture: cosine coefficients of blocks of 8 pixels, rounded to a table.

    A color picture loses the same in each of its channels. Source: ITU-T T.81, annex A.3 and K.1; quality as in the
    library of the Independent JPEG Group.
    """
    count, channels, size, _ = images.shape
    device = images.device
    low, high = _JPEG
    quality = torch.randint(low, high + 1, (count, 1, 1, 1, 1, 1), device=device).float()
    table = constant(_LUMINANCE, device)
    steps = ((table * (5000 / quality) + 50) / 100).floor().clamp(1, 255)
    wave = _cosines(device)
    more = -size % 8
    whole = functional.pad(images, (0, more, 0, more), mode="replicate") * 255 - 128
    side = (size + more) // 8
    blocks = whole.view(count, channels, side, 8, side, 8).transpose(3, 4)
    rounded = ((wave @ blocks @ wave.T) / steps).round() * steps
    back = (wave.T @ rounded @ wave).transpose(3, 4).reshape(count, channels, size + more, size + more)
    return ((back + 128).round() / 255)[:, :, :size, :size]


@cache
def _cosines(device: torch.device) -> torch.Tensor:
    """`(8, 8)` orthonormal cosine transform, type II."""
    place = torch.arange(8, dtype=torch.float32)
    wave = torch.cos(math.pi / 8 * (place + 0.5) * place.view(-1, 1)) * math.sqrt(2 / 8)
    wave[0] = math.sqrt(1 / 8)
    return wave.to(device)


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
