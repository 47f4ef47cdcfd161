"""mien: facial emotion recognition. Train, evaluate and compare honestly, recognize offline.

Public names load when they are first used, so that `import mien` is quick and a light install needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mien.data.faceset import FaceSet
    from mien.data.votes import Votes
    from mien.errors import InputError, MienError
    from mien.evaluation.runs import compare, evaluate
    from mien.export import to_onnx
    from mien.predictions import Predictions
    from mien.recipes.recipe import Recipe
    from mien.recognize.recognizer import Recognizer
    from mien.training.run import Run
    from mien.training.train import train

_HOMES = {
    "FaceSet": "mien.data.faceset",
    "InputError": "mien.errors",
    "MienError": "mien.errors",
    "Predictions": "mien.predictions",
    "Recipe": "mien.recipes.recipe",
    "Recognizer": "mien.recognize.recognizer",
    "Run": "mien.training.run",
    "Votes": "mien.data.votes",
    "compare": "mien.evaluation.runs",
    "evaluate": "mien.evaluation.runs",
    "to_onnx": "mien.export",
    "train": "mien.training.train",
}

__all__ = [
    "FaceSet", "InputError", "MienError", "Predictions", "Recipe", "Recognizer", "Run", "Votes",
    "compare", "evaluate", "to_onnx", "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mien' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
