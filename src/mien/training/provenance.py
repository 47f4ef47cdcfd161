"""Provenance: what a card tells of the program that trained: packages, and the commit of our own sources."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from mien.recipes.recipe import Recipe
from mien.recipes.sections import Pretrained

_PACKAGES = ("mien", "torch", "lightning", "torchmetrics", "numpy", "opencv-python-headless", "pillow")


def versions(recipe: Recipe) -> dict[str, str]:
    """Of what is installed; mien itself may run from a checkout that is not."""
    packages = (*_PACKAGES, "transformers") if isinstance(recipe.model, Pretrained) else _PACKAGES
    found = {}
    for name in packages:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def commit_here() -> str | None:
    """Commit of the checkout that this code runs from, with `+` when its sources were changed since.

    A copy without git has what `MIEN_COMMIT` says.
    """
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return os.environ.get("MIEN_COMMIT") or None
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=root, capture_output=True, text=True, check=True
        )
        changes = subprocess.run(
            ["git", "status", "--porcelain", "src"], cwd=root, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + "+" * bool(changes.stdout.strip())
