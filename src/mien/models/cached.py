"""Cached: pre-trained networks that are on this machine already, so that a recipe can begin with them offline."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cached:
    """A checkpoint of the Hugging Face hub in its cache: `model.backbone=NAME` takes it."""

    name: str
    megabytes: float
    folder: str


def cached_backbones() -> list[Cached]:
    """Those that are whole enough to be opened (config and safetensors), sorted by name. Asks no server."""
    found = []
    for folder in sorted(hub_cache().glob("models--*")):
        usable = [
            snapshot
            for snapshot in sorted((folder / "snapshots").glob("*"))
            if (snapshot / "config.json").is_file() and list(snapshot.glob("*.safetensors"))
        ]
        if usable:
            size = sum(file.stat().st_size for file in usable[-1].iterdir() if file.is_file())
            name = folder.name.removeprefix("models--").replace("--", "/")
            found.append(Cached(name, round(size / 1e6, 1), str(usable[-1])))
    return found


def hub_cache() -> Path:
    """Where huggingface_hub keeps what it has downloaded; by the variables that it reads, without importing it."""
    if place := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(place).expanduser()
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(home).expanduser() / "hub"
