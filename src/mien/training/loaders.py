"""Loaders: which faces make up each batch. Pixels stay uint8 until they are on the device.

Shapes: N faces, B per batch, H and W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from mien.data.faceset import FaceSet
from mien.images import Pixels
from mien.preprocess import Preprocess
from mien.training.hardware import room

if TYPE_CHECKING:
    from mien.training.features import Features

# Pixels uint8 (B, H, W) or (B, H, W, 3), or features float32 (B, …); labels int64 (B,) or targets float32 (B, K).
Batch = tuple[torch.Tensor, torch.Tensor]
# Pixels of several batches, and the number of the first → what the network is given.
Ahead = Callable[[torch.Tensor, int], torch.Tensor]
_UPLOAD = 2048  # faces at a time
_AHEAD = 8  # batches that a GPU prepares at once: as many orders as for one


@dataclass(frozen=True, eq=False)
class Examples:
    """Faces of one split, and what a network is given in place of their pixels and labels."""

    faces: FaceSet
    features: Features | None = None  # of the network's frozen part, in place of pixels
    targets: npt.NDArray[np.float32] | None = None  # (N, K), in place of labels

    def __len__(self) -> int:
        return len(self.faces)

    @property
    def wanted(self) -> npt.NDArray[Any]:
        """`(N,)` labels or `(N, K)` targets."""
        return self.faces.labels if self.targets is None else self.targets


@dataclass(frozen=True, eq=False)
class Batches:
    """Examples in the given order, a batch at a time. With several processes each takes every `world`-th of them."""

    examples: Examples
    preprocess: Preprocess
    batch_size: int
    order: npt.NDArray[np.int64]  # (N,) indices into the examples
    rank: int = 0
    world: int = 1
    resident: Resident | None = None  # all of that on a GPU, to gather from there
    ahead: Ahead | None = None  # prepares pixels that are there

    def __post_init__(self) -> None:
        share = -(-len(self.order) // self.world)
        # Every process must take the same number of steps; the order wraps around to fill the last.
        mine = np.resize(self.order, share * self.world)[self.rank :: self.world]
        object.__setattr__(self, "order", mine)

    def __len__(self) -> int:
        return len(self._bounds()) - 1

    def __iter__(self) -> Iterator[Batch]:
        if self.resident is not None:
            yield from self.resident.batches(self.order, self._bounds(), self.ahead)
            return
        for start, end in pairwise(self._bounds()):
            indices = self.order[start:end]
            if self.examples.features is None:
                shown = torch.from_numpy(stored_pixels(self.examples.faces, indices, self.preprocess))
            else:
                shown = self.examples.features.gather(indices)
            yield shown, torch.from_numpy(self.examples.wanted[indices])

    def _bounds(self) -> list[int]:
        """Where batches begin and end. A last face by itself joins the batch before: batch norm needs two."""
        total = len(self.order)
        starts = list(range(0, total, self.batch_size))
        if len(starts) > 1 and total - starts[-1] == 1:
            starts.pop()
        return [*starts, total]


@dataclass(frozen=True, eq=False)
class Resident:
    """All faces of a split on one device, gathered there: FER2013 is 83 MB.

    A small network's batch comes sooner than a copy from the CPU, for which a GPU would have to end all it was told.
    """

    shown: torch.Tensor  # (M, …) uint8 pixels, or features as they are kept
    rows: npt.NDArray[np.int64]  # (N,) place of each face in `shown`
    wanted: torch.Tensor  # (N,) labels or (N, K) targets

    def batches(self, order: npt.NDArray[np.int64], bounds: list[int], ahead: Ahead | None) -> Iterator[Batch]:
        device = self.wanted.device
        rows, places = (torch.from_numpy(one).to(device) for one in (self.rows[order], order))  # once an epoch
        together = 1 if ahead is None else _AHEAD
        for first in range(0, len(bounds) - 1, together):
            some = bounds[first : first + together + 1]
            shown = self.shown.index_select(0, rows[some[0] : some[-1]])
            if ahead is not None:
                shown = ahead(shown, first)
            for start, end in pairwise(some):
                part = shown[start - some[0] : end - some[0]]
                yield (
                    part if part.dtype == torch.uint8 else part.float(),
                    self.wanted.index_select(0, places[start:end]),
                )


def resident_on(device: torch.device, examples: Examples, preprocess: Preprocess) -> Resident | None:
    """All examples on `device`, for every later epoch; None where that is no GPU or has no room for them."""
    faces, features, wanted = examples.faces, examples.features, torch.from_numpy(examples.wanted)
    if features is not None:
        # Features are computed on the GPU and stay there where they fit: `features.frozen_features`.
        kept = isinstance(features.store, torch.Tensor)
        return Resident(features.store, features.rows, wanted.to(device)) if kept else None
    side = min(max(faces.store.shape[1:3]), preprocess.size)
    if len(faces) * side * side * math.prod(faces.store.shape[3:]) > room(device):
        return None
    places = np.arange(len(faces))
    parts = [
        torch.from_numpy(stored_pixels(faces, some, preprocess)).to(device)
        for some in np.array_split(places, -(-len(places) // _UPLOAD))
    ]
    return Resident(torch.cat(parts), places, wanted.to(device))


def stored_pixels(faces: FaceSet, indices: npt.NDArray[np.int64], preprocess: Preprocess) -> Pixels:
    """Pixels of the faces at `indices`, shrunk where they are stored larger than the model's input.

    Enlarging is cheaper on the device: `prepare` does it.
    """
    pixels = faces.gather(indices)
    if max(pixels.shape[1:3]) <= preprocess.size:
        return pixels
    return np.stack([preprocess.pixels(image) for image in pixels])


def chance(seed: int, start: str, *place: int) -> np.random.SeedSequence:
    """Where random numbers come from at a `place` (epoch, step, process) of a training.

    `start`: digest (hexadecimal) of the weights that it began with, empty where they were fresh. Without it a training
    that goes on from another one with the same seed would repeat its batches and its dropout masks.
    """
    return np.random.SeedSequence([seed, *place, *([int(start, 16)] if start else [])])


def train_order(
    labels: npt.NDArray[np.int64], classes: int, balanced: bool, source: np.random.SeedSequence
) -> npt.NDArray[np.int64]:
    """`(N,)` indices for one epoch, from `source` alone.

    Plain: every face once, shuffled. Balanced: N draws with replacement, each class equally likely.
    """
    rng = np.random.default_rng(source)
    if not balanced:
        return rng.permutation(len(labels))
    weights = class_weights(labels, classes)[labels]
    return rng.choice(len(labels), size=len(labels), p=weights / weights.sum())


def class_weights(labels: npt.NDArray[np.int64], classes: int) -> npt.NDArray[np.float64]:
    """`(K,)` weights inverse to the class counts; their mean over the faces is 1."""
    counts = np.bincount(labels, minlength=classes)
    return len(labels) / (classes * np.maximum(counts, 1))
