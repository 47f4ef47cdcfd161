"""Checkpoint files: what a training needs to go on, and the best weights so far."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from safetensors.torch import save
from torch import nn

from mien.errors import InputError
from mien.files import write_whole

LIGHTNING_PRECISION: dict[str, Any] = {"float32": "32-true", "bfloat16": "bf16-mixed"}


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's own format. Its writer goes through the system's temporary folder, which may be another disk."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        buffer = io.BytesIO()  # torch's own writer hides a full disk behind another error
        torch.save(checkpoint, buffer)
        write_whole(Path(path), buffer.getbuffer())


def check_checkpoint(path: Path, precision: str) -> None:
    """Raise `InputError` unless `path` is a whole checkpoint of plain state, no code, of a training in `precision`."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise InputError(
            f"{path}: cannot be read as a checkpoint. Delete the run's folder and train again (--overwrite)"
        ) from error
    begun = {named: ours for ours, named in LIGHTNING_PRECISION.items()}.get(found.get("precision"))
    if begun != precision:
        raise InputError(
            f"{path}: was begun in precision {begun}, this would go on in {precision}: other numbers than an "
            f"uninterrupted run. Resume it with --precision {begun}"
        )


def save_weights(network: nn.Module, path: Path) -> None:
    """State dict as safetensors, on the CPU and contiguous, whole or not at all."""
    write_whole(path, save({key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}))
