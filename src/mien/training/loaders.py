"""Loaders: which faces make up each batch. Pixels stay uint8 until they are on the device.

Shapes: N faces, B per batch, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from mien.data.faceset import FaceSet
from mien.images import Pixels
from mien.preprocess import Preprocess

Batch = tuple[torch.Tensor, torch.Tensor]  # pixels uint8 (B, H, W) or (B, H, W, 3); labels int64 (B,)


@dataclass(frozen=True, eq=False)
class Batches:
    """Faces in the given order, a batch at a time. With several processes each takes every `world`-th face."""

    faces: FaceSet
    preprocess: Preprocess
    batch_size: int
    order: npt.NDArray[np.int64]  # (N,) indices into faces
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        share = -(-len(self.order) // self.world)
        # Every process must take the same number of steps; the order wraps around to fill the last.
        mine = np.resize(self.order, share * self.world)[self.rank :: self.world]
        object.__setattr__(self, "order", mine)

    def __len__(self) -> int:
        return -(-len(self.order) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, len(self.order), self.batch_size):
            indices = self.order[start : start + self.batch_size]
            pixels = self._fit(self.faces.gather(indices))
            yield torch.from_numpy(pixels), torch.from_numpy(self.faces.labels[indices])

    def _fit(self, pixels: Pixels) -> Pixels:
        """Shrink what is stored larger than the model's input; enlarging is cheaper on the device."""
        if max(pixels.shape[1:3]) <= self.preprocess.size:
            return pixels
        return np.stack([self.preprocess.pixels(image) for image in pixels])


def train_order(
    labels: npt.NDArray[np.int64], classes: int, balanced: bool, seed: int, epoch: int
) -> npt.NDArray[np.int64]:
    """`(N,)` indices for one epoch, from (seed, epoch) alone.

    Plain: every face once, shuffled. Balanced: N draws with replacement, each class equally likely.
    """
    rng = np.random.default_rng([seed, epoch])
    if not balanced:
        return rng.permutation(len(labels))
    weights = class_weights(labels, classes)[labels]
    return rng.choice(len(labels), size=len(labels), p=weights / weights.sum())


def class_weights(labels: npt.NDArray[np.int64], classes: int) -> npt.NDArray[np.float64]:
    """`(K,)` weights inverse to the class counts; their mean over the faces is 1."""
    counts = np.bincount(labels, minlength=classes)
    return len(labels) / (classes * np.maximum(counts, 1))
