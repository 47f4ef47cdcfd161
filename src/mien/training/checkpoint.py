"""Checkpoint files, each written whole or not at all: to a new name, then renamed."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from safetensors.torch import save_file
from torch import nn

from mien.errors import InputError


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's own format. Its writer goes through the system's temporary folder, which may be another disk."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        try:
            with part.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)


def check_checkpoint(path: Path) -> None:
    """Raise `InputError` unless `path` is a whole checkpoint that holds plain state and no code."""
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise InputError(
            f"{path}: cannot be read as a checkpoint. Delete the run's folder and train again (--overwrite)"
        ) from error


def save_weights(network: nn.Module, path: Path) -> None:
    """State dict as safetensors, on the CPU and contiguous, whole or not at all."""
    part = path.with_name(path.name + ".part")
    try:
        save_file({key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
