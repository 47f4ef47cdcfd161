"""mien: facial emotion recognition. Train, evaluate and compare honestly, recognize offline.

Public names load when they are first used, so that `import mien` is quick and a light install needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mien.actions import calibrate, ensemble, explain
    from mien.data.faceset import FaceSet
    from mien.data.votes import Votes
    from mien.errors import InputError, MienError
    from mien.evaluation.compare import compare
    from mien.evaluation.evaluate import evaluate
    from mien.exports import export
    from mien.predictions import Predictions
    from mien.recipes.recipe import Recipe
    from mien.recognize.recognizer import Face, Recognizer
    from mien.training.run import Run
    from mien.training.train import train

_HOMES = {
    "calibrate": "mien.actions",
    "ensemble": "mien.actions",
    "explain": "mien.actions",
    "Face": "mien.recognize.recognizer",
    "FaceSet": "mien.data.faceset",
    "InputError": "mien.errors",
    "MienError": "mien.errors",
    "Predictions": "mien.predictions",
    "Recipe": "mien.recipes.recipe",
    "Recognizer": "mien.recognize.recognizer",
    "Run": "mien.training.run",
    "Votes": "mien.data.votes",
    "compare": "mien.evaluation.compare",
    "evaluate": "mien.evaluation.evaluate",
    "export": "mien.exports",
    "train": "mien.training.train",
}

__all__ = [
    "Face", "FaceSet", "InputError", "MienError", "Predictions", "Recipe", "Recognizer", "Run", "Votes",
    "calibrate", "compare", "ensemble", "evaluate", "explain", "export", "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mien' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
