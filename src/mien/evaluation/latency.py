"""Latency: how long trained networks take per face, timed side by side in one process.

Shapes: B images, C channels, S pixels.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from mien.errors import InputError
from mien.files import write_whole
from mien.preprocess import Preprocess

if TYPE_CHECKING:
    import torch
    from torch import nn

SECONDS = 0.2  # of calls per network, size of batch and round; a single call where that takes longer
MOST_CALLS = 50  # of those


@dataclass(frozen=True)
class Latency:
    """Median milliseconds per face of a network's forward pass in float32, from normalized images on `device`."""

    ms_single: float  # at one face a call
    ms_batch: float  # at `batch` faces a call
    batch: int
    device: str  # for people, e.g. `2 CPU cores`

    def __post_init__(self) -> None:
        if not all(math.isfinite(ms) and ms > 0 for ms in (self.ms_single, self.ms_batch)) or self.batch < 1:
            raise ValueError(f"expected milliseconds above 0 and a batch of at least 1, got {self}")


def time_networks(
    networks: Mapping[str, tuple[nn.Module, Preprocess]], *, device: str = "cpu", rounds: int = 5, batch: int = 32
) -> dict[str, Latency]:
    """Time every network (name → network and its preprocessing, which says the size of an image).

    In each round every network has its turn with one face and with `batch` faces a call, and every second round goes
    through them backwards, so that what slows the machine for a while or for good slows all of them. The networks are
    left in eval mode, in float32, on `device`. Raises `InputError` for a device that is not there.
    """
    import torch

    from mien.training.hardware import detect

    if rounds < 1 or batch < 1:
        raise InputError(f"latency: expected at least 1 round and 1 face, got {rounds} rounds and batches of {batch}")
    place = torch.device(detect(device, "float32").device)
    calls = {
        (name, size): _call(network, preprocess, size, place)
        for name, (network, preprocess) in networks.items()
        for size in dict.fromkeys((1, batch))
    }
    seconds: dict[tuple[str, int], list[float]] = {key: [] for key in calls}
    with torch.inference_mode():
        for call in calls.values():  # kernels are chosen and memory is asked for in the first calls
            call()
            call()
        for i in range(rounds):
            for key in list(calls)[:: -1 if i % 2 else 1]:
                seconds[key] += _turn(calls[key])
    return {
        name: Latency(
            ms_single=1e3 * median(seconds[name, 1]),
            ms_batch=1e3 * median(seconds[name, batch]) / batch,
            batch=batch,
            device=_device_name(place),
        )
        for name in networks
    }


def save_latencies(path: Path, latencies: Mapping[str, Latency]) -> None:
    """Write them as JSON, by name, whole or not at all."""
    write_whole(path, json.dumps({name: asdict(latency) for name, latency in latencies.items()}, indent=2) + "\n")


def load_latencies(path: Path) -> dict[str, Latency]:
    """What `save_latencies` wrote; nothing when the file is missing. Raises `InputError` for a damaged one."""
    if not path.is_file():
        return {}
    try:
        return TypeAdapter(dict[str, Latency]).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise InputError(
            f"{path}: not a file of latencies that this version reads ({error}). Remove it; the next study times anew"
        ) from error


def _call(network: nn.Module, preprocess: Preprocess, size: int, place: torch.device) -> Callable[[], None]:
    """A forward pass over `size` images, at the end of which the device has finished."""
    import torch

    from mien.training.hardware import synchronize

    network.to(device=place, dtype=torch.float32, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    shape = (size, preprocess.channels, preprocess.size, preprocess.size)
    images_BCSS = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    images_BCSS = images_BCSS.to(place).contiguous(memory_format=torch.channels_last)

    def call() -> None:
        network(images_BCSS)
        synchronize(place.type)

    return call


def _turn(call: Callable[[], None]) -> list[float]:
    """Seconds of every call of one turn."""
    seconds: list[float] = []
    while not seconds or (sum(seconds) < SECONDS and len(seconds) < MOST_CALLS):
        start = perf_counter()
        call()
        seconds.append(perf_counter() - start)
    return seconds


def _device_name(place: torch.device) -> str:
    import torch

    from mien.training.hardware import Hardware

    threads, cores = torch.get_num_threads(), os.cpu_count()
    if place.type == "cpu" and threads != cores:
        return f"{threads} of {cores} CPU cores"
    return Hardware(place.type, "float32").name  # type: ignore[arg-type]
