"""Hardware: which device trains, in which precision, found out rather than assumed; and what each device needs."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from mien.errors import InputError, unknown_name

if TYPE_CHECKING:
    from mien.training.processes import Launched

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MOST = -1, -3, 2**31 - 1  # of malloc.h, and the largest int
_MOST_THREADS = 4096  # that a checkpoint may ask for

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "float32", "bfloat16")
LIGHTNING_PRECISION: dict[str, Any] = {"float32": "32-true", "bfloat16": "bf16-mixed"}  # as its trainer calls them

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hardware:
    """Where and how to compute; `detect` finds it out."""

    device: Literal["cpu", "cuda", "mps"]
    precision: Literal["float32", "bfloat16"]
    devices: int = 1  # processes of a training, one device each
    graphs: bool = False  # record training steps, where that is cuda (`training.graphs`)
    launched: Launched | None = None  # those processes, where Lightning is not to start them

    @property
    def place(self) -> str:
        """The device of this process, e.g. `cuda:1`."""
        several = self.devices > 1 and self.device == "cuda"
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if several else self.device

    @property
    def name(self) -> str:
        """For cards and reports, e.g. `2 CPU cores`."""
        if self.device == "cuda":
            return torch.cuda.get_device_name()
        return f"{os.cpu_count()} CPU cores" if self.device == "cpu" else "Apple GPU (MPS)"


def keep_memory() -> None:
    """Let the C library keep what is freed, where it is glibc.

    A training step asks for the same large blocks again and again; given back in between they come as fresh pages each
    time, which costs a fifth of the step on a CPU (docs/experiments.md). It stays so for the rest of the process.
    Source: mallopt(3).
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    # An older glibc refuses more than 32 MiB; without either, the second setting would do harm.
    if mallopt is not None and (mallopt(_MMAP_THRESHOLD, _MOST) or mallopt(_MMAP_THRESHOLD, 32 * 2**20)):
        mallopt(_TRIM_THRESHOLD, _MOST)


def repeatable() -> None:
    """Make a GPU give the same numbers again where that is cheap: in convolutions, in float32 as such, and in products.

    torch's own switch (`use_deterministic_algorithms`) would also fill each new block of memory and sort each index,
    which a step of many small kernels pays for. What it adds is little: with these two alone the convolutional networks
    repeat, and a ViT that moves as a whole does not with it either (the backward pass of interpolated positions).
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the first product is made
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    torch.backends.cudnn.allow_tf32 = False  # on by default for convolutions: a thousandth of what they give


@contextmanager
def threads_of(checkpoint: Path) -> Iterator[None]:
    """Compute with as many threads as what was begun there: another number rounds sums otherwise.

    Nothing changes without a checkpoint, or with one of an older mien, which does not say.
    """
    own = torch.get_num_threads()
    begun = _threads_told(checkpoint, own) if checkpoint.is_file() else own
    if begun != own:
        logger.info("going on with %d threads, as the run was begun; this program would use %d", begun, own)
        torch.set_num_threads(begun)
    try:
        yield
    finally:
        if begun != own:
            torch.set_num_threads(own)


def _threads_told(checkpoint: Path, own: int) -> int:
    """Its weights are neither read nor kept: the training is about to load them itself."""
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    begun = saved.get("threads", own)
    if not isinstance(begun, int) or not 1 <= begun <= _MOST_THREADS:
        raise InputError(f"{checkpoint}: was begun with {begun!r} threads, which cannot be. Train again (--overwrite)")
    return begun


def room(device: str | torch.device) -> int:
    """Bytes that data may take on a GPU: a quarter of what is free, since several trainings may share it.

    None elsewhere: a CPU reads the memory map itself.
    """
    return torch.cuda.mem_get_info(device)[0] // 4 if torch.device(device).type == "cuda" else 0


@cache
def constant(values: tuple[float, ...] | tuple[tuple[float, ...], ...], device: torch.device) -> torch.Tensor:
    """float32 numbers on `device`, put there once: a GPU would finish all that it has to do before each such copy."""
    with torch.inference_mode(False):  # or training could not use what evaluation asked for first
        return torch.tensor(values, dtype=torch.float32, device=device)


def synchronize(device: str) -> None:
    """Wait until `device` has done what it was told; calls to a GPU return before that."""
    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()


def training_attention(device: str) -> AbstractContextManager[None]:
    """The quickest attention to train with on `device`, for the forward pass made within.

    torch's fused kernel for CPUs has a slow backward pass: at 65 tokens a quarter of a whole training step.
    """
    return sdpa_kernel(SDPBackend.MATH) if device == "cpu" else nullcontext()


def detect(device: str = "auto", precision: str = "auto", devices: int = 1, graphs: bool = True) -> Hardware:
    """Resolve `auto`: the best device present, and bfloat16 where that device computes in it natively.

    `graphs`: training steps are recorded where there is one GPU, of CUDA.

    Raises `InputError` for an unknown name, or a device that is not there.
    """
    if device not in DEVICES:
        raise unknown_name("device", device, DEVICES)
    if precision not in PRECISIONS:
        raise unknown_name("precision", precision, PRECISIONS)
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    chosen = next(name for name in ("cuda", "mps", "cpu") if present[name]) if device == "auto" else device
    if not present[chosen]:
        raise InputError(f"device '{chosen}' is not available here. Leave out --device, or use --device cpu")
    if precision == "auto":
        precision = "bfloat16" if _native_bfloat16(chosen) else "float32"
    return Hardware(chosen, precision, devices, graphs and chosen == "cuda" and devices == 1)  # type: ignore[arg-type]


def _native_bfloat16(device: str) -> bool:
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "cpu":
        # Without these instructions bfloat16 is emulated and slower than float32. An Intel processor without AMX has
        # them too, but trains a quarter slower with them than in float32 (docs/experiments.md); one of AMD's gains.
        found = torch.cpu.get_capabilities()
        intel = str(found.get("cpu_name", "")).startswith("Intel")
        return bool(found.get("amx_bf16", False) or (found.get("avx512_bf16", False) and not intel))
    return False
