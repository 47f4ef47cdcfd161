"""Features: what the frozen lower part of a backbone gives for each face, computed once and kept.

On a GPU they stay in its memory where they fit there, otherwise in a memory map.

Shapes: N faces, B per batch; what is kept of a face has any shape.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mien.data.cache import Progress, cache_folder, new_array
from mien.data.faceset import FaceSet
from mien.files import write_whole
from mien.models.pretrained import PretrainedClassifier
from mien.preprocess import Preprocess
from mien.scratch import scratch_folder
from mien.training.hardware import Hardware, room, synchronize
from mien.training.loaders import stored_pixels
from mien.training.prepare import prepare

KEPT_BYTES = 2**30  # larger stores are removed when their run is finished
_BATCH = 64
_TOLERANCE = 1e-3  # of the largest logit, between the network as a whole and in two parts

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Features:
    """Outcome of the lowest `depth` blocks for some faces."""

    depth: int
    path: Path | None  # None: on a GPU
    store: Any  # memory map (N, …): float32, or int16 holding the bits of bfloat16; or a tensor on a GPU
    rows: npt.NDArray[np.int64]
    seconds: float  # that it took to compute, in whichever run that was

    def select(self, mask: npt.NDArray[np.bool_]) -> Features:
        return replace(self, rows=self.rows[mask])

    def gather(self, indices: npt.NDArray[np.int64]) -> torch.Tensor:
        """Of the faces at `indices` (B,), as float32 `(B, …)`."""
        if isinstance(self.store, torch.Tensor):
            return self.store[torch.from_numpy(self.rows[indices]).to(self.store.device)].float()
        stored = torch.from_numpy(np.ascontiguousarray(self.store[self.rows[indices]]))
        return stored if stored.dtype == torch.float32 else stored.view(torch.bfloat16).float()

    def discard(self) -> None:
        """Remove a store that is too large to lie about."""
        if self.path is not None and self.store.nbytes > KEPT_BYTES:
            self.path.unlink(missing_ok=True)
            _seconds_file(self.path).unlink(missing_ok=True)


def frozen_features(
    network: PretrainedClassifier,
    depth: int,
    faces: FaceSet,
    preprocess: Preprocess,
    hardware: Hardware,
    *,
    progress: Progress | None = None,
) -> Features | None:
    """The outcome of the lowest `depth` blocks for all `faces`, from an earlier run's store or computed now.

    In bfloat16 runs tokens are rounded to bfloat16, which takes half the room; pooled features stay float32. None, with
    a line in the log, where it would not help: the network cannot be split there, or the disk lacks the room.
    """
    network = network.to(hardware.place).eval()
    example = prepare(torch.from_numpy(stored_pixels(faces, np.arange(min(2, len(faces))), preprocess)), preprocess)
    example = example.to(hardware.place)
    outcome = split_at(network, depth, example)
    if outcome is None:
        logger.warning("the backbone cannot be split after block %d: frozen blocks are computed in every epoch", depth)
        return None
    halved = hardware.precision == "bfloat16" and outcome.ndim > 2
    shape, kind = (len(faces), *outcome.shape[1:]), np.dtype(np.int16 if halved else np.float32)
    frozen = _Frozen(network, depth, faces, preprocess, hardware)
    # Of several processes the first one computes, before it starts the others: they read what it has written.
    if hardware.devices == 1 and math.prod(shape) * kind.itemsize < room(hardware.device):
        began = time.perf_counter()
        kept = torch.empty(shape, dtype=torch.bfloat16 if halved else torch.float32, device=hardware.device)
        for indices, hidden in frozen.outcomes(progress):
            kept[indices[0] : indices[-1] + 1] = hidden
        synchronize(hardware.device)
        return Features(depth, None, kept, np.arange(len(faces)), time.perf_counter() - began)
    path = cache_folder() / f"features-{_key(network, depth, faces, preprocess, hardware)}.npy"
    if not _is_whole(path):
        size = math.prod(shape) * kind.itemsize
        path.parent.mkdir(parents=True, exist_ok=True)
        if size > 0.9 * shutil.disk_usage(path.parent).free:
            logger.warning(
                "%s: %.1f GB are needed to keep the outcome of frozen blocks; they are computed in every epoch",
                path,
                size / 1e9,
            )
            return None
        _fill(path, shape, kind, frozen, progress)
    store = np.load(path, mmap_mode="r", allow_pickle=False)
    return Features(depth, path, store, np.arange(len(faces)), _told_of(path)[0])


def _is_whole(path: Path) -> bool:
    """Whether a store is what was written: its checksum stands beside it. Otherwise it is computed anew."""
    if not (path.is_file() and _seconds_file(path).is_file()):
        return False
    try:
        with path.open("rb") as file:
            whole = hashlib.file_digest(file, "sha256").hexdigest() == _told_of(path)[1]
    except (OSError, ValueError):
        whole = False
    if not whole:
        logger.warning("%s: is not what was kept; the frozen blocks are computed again", path)
    return whole


def _told_of(path: Path) -> tuple[float, str]:
    """Seconds that a store took, and its checksum. `ValueError` where they are not both there."""
    seconds, checksum = _seconds_file(path).read_text(encoding="utf-8").split()
    return float(seconds), checksum


def _seconds_file(path: Path) -> Path:
    return path.with_suffix(".seconds")


def split_at(network: PretrainedClassifier, depth: int, images: torch.Tensor) -> torch.Tensor | None:
    """What the frozen part gives, or None if the two parts together are not the network."""
    with torch.no_grad():
        try:
            hidden = network.frozen_part(images, depth)
            parts, whole = network.moving_part(hidden, depth), network(images)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # each architecture has its own way to fail without its lower blocks
            logger.debug("split at %d: %s", depth, error)
            return None
    close = (parts - whole).abs().max() <= _TOLERANCE * whole.abs().max().clamp(min=1)
    return hidden if bool(close) else None


@dataclass(frozen=True, eq=False)
class _Frozen:
    """The lowest `depth` blocks of a network, and the faces that they see."""

    network: PretrainedClassifier
    depth: int
    faces: FaceSet
    preprocess: Preprocess
    hardware: Hardware

    def outcomes(self, progress: Progress | None) -> Iterator[tuple[npt.NDArray[np.int64], torch.Tensor]]:
        """Faces, some at a time and in order, and what they give."""
        logger.info("frozen blocks: the lowest %d, once for %d faces", self.depth, len(self.faces))
        device, halved = self.hardware.device, self.hardware.precision == "bfloat16"
        for start in range(0, len(self.faces), _BATCH):
            indices = np.arange(start, min(start + _BATCH, len(self.faces)))
            pixels = torch.from_numpy(stored_pixels(self.faces, indices, self.preprocess)).to(self.hardware.place)
            with torch.no_grad(), torch.autocast(device, torch.bfloat16, halved):
                hidden = self.network.frozen_part(prepare(pixels, self.preprocess), self.depth)
            yield indices, hidden
            if progress:
                progress("frozen blocks", int(indices[-1]) + 1, len(self.faces))


def _fill(path: Path, shape: tuple[int, ...], kind: np.dtype[Any], frozen: _Frozen, progress: Progress | None) -> None:
    began = time.perf_counter()
    with scratch_folder(path) as folder:
        part = folder / path.name
        store = new_array(part, shape, kind)
        for indices, hidden in frozen.outcomes(progress):
            store[indices] = _bits(hidden, kind)
        store.flush()
        size = store.nbytes
        del store  # Windows renames no file that is mapped
        part.replace(path)
    seconds = time.perf_counter() - began
    with path.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    write_whole(_seconds_file(path), f"{seconds:.3f} {checksum}\n")
    logger.info("frozen blocks: done in %.0f s, %.0f MB kept", seconds, size / 1e6)


def _bits(hidden: torch.Tensor, kind: np.dtype[Any]) -> npt.NDArray[Any]:
    if kind == np.int16:
        return hidden.to(torch.bfloat16).contiguous().view(torch.int16).cpu().numpy()
    return hidden.float().cpu().numpy()


def _key(network: PretrainedClassifier, depth: int, faces: FaceSet, preprocess: Preprocess, hardware: Hardware) -> str:
    """Of everything that decides the outcome."""
    digest = hashlib.blake2b(digest_size=16)
    for name, value in network.backbone.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    settings = (network.backbone.kind, depth, preprocess.model_dump_json(), hardware.device, hardware.precision)
    # Processes that share a machine have fewer threads than the first one had when it was alone.
    threads = torch.get_num_threads() if hardware.device == "cpu" and hardware.devices == 1 else None
    versions = (torch.__version__, metadata.version("transformers"))
    digest.update(repr((*settings, threads, *versions, faces.store.shape[1:])).encode())
    digest.update(json.dumps(network.backbone.config, sort_keys=True, default=str).encode())
    digest.update("\n".join(faces.hashes).encode())
    return digest.hexdigest()
