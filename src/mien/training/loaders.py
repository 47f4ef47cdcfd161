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
from mien.errors import InputError
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
    """Examples in the given order, a batch at a time. With several processes each takes its part of every batch.

    Raises `InputError` for fewer examples than processes.
    """

    examples: Examples
    preprocess: Preprocess
    batch_size: int  # of all processes together
    order: npt.NDArray[np.int64]  # (N,) indices into the examples
    rank: int = 0
    world: int = 1
    resident: Resident | None = None  # all of that on a GPU, to gather from there
    ahead: Ahead | None = None  # prepares pixels that are there

    def __post_init__(self) -> None:
        if len(self.order) < self.world:
            raise InputError(f"{len(self.order)} images are too few for {self.world} devices. Lower --devices")

    def __len__(self) -> int:
        return len(self._bounds()) - 1

    def __iter__(self) -> Iterator[Batch]:
        parts = [self.order[start:end][self.rank :: self.world] for start, end in pairwise(self._bounds())]
        if self.resident is not None:
            bounds = [0, *np.cumsum([len(part) for part in parts]).tolist()]
            yield from self.resident.batches(np.concatenate(parts), bounds, self.ahead)
            return
        for indices in parts:
            if self.examples.features is None:
                shown = torch.from_numpy(stored_pixels(self.examples.faces, indices, self.preprocess))
            else:
                shown = self.examples.features.gather(indices)
            yield shown, torch.from_numpy(self.examples.wanted[indices])

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Of each batch, over all processes."""
        return np.diff(self._bounds())

    def shares(self, weights_N: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """For each batch, how much the mean over this process's part counts in the mean over all parts.

        `weights_N`: of every example in a mean. It is 1 where all parts have the same weight: the parts of a batch
        differ by an image where they cannot be equal.
        """
        bounds = self._bounds()
        whole, own = (
            np.array([weights_N[self.order[start + first : end : step]].sum() for start, end in pairwise(bounds)])
            for first, step in ((0, 1), (self.rank, self.world))
        )
        return np.asarray(own * self.world / whole)

    def _bounds(self) -> list[int]:
        """Where batches begin and end. Batch norm needs two faces in each process: a last batch that has less joins the
        one before.
        """
        total = len(self.order)
        starts = list(range(0, total, self.batch_size))
        if len(starts) > 1 and total - starts[-1] < 2 * self.world:
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
