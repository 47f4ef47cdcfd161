"""mien: facial emotion recognition. Train, evaluate and compare honestly, recognize offline.

Public names load when they are first used, so that `import mien` is quick and a light install needs no torch. What
needs an extra that is not installed says so by name when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mien.actions import adapt, calibrate, card, dossier, ensemble, explain
    from mien.data.faceset import FaceSet
    from mien.data.votes import Votes
    from mien.errors import InputError, MienError
    from mien.evaluation.compare import compare
    from mien.evaluation.evaluate import evaluate
    from mien.exports import export
    from mien.predictions import Predictions
    from mien.recipes.recipe import Recipe
    from mien.recognize.faces import Batch, Face, Faces
    from mien.recognize.recognizer import Recognizer
    from mien.studies.folds import cross_validate
    from mien.studies.runs import train
    from mien.studies.study import study
    from mien.studies.sweep import sweep
    from mien.training.run import Run
    from mien.training.targets import Sources
    from mien.uploads import push

    __version__: str

_HOMES = {
    "Batch": "mien.recognize.faces",
    "Face": "mien.recognize.faces",
    "Faces": "mien.recognize.faces",
    "FaceSet": "mien.data.faceset",
    "InputError": "mien.errors",
    "MienError": "mien.errors",
    "Predictions": "mien.predictions",
    "Recipe": "mien.recipes.recipe",
    "Recognizer": "mien.recognize.recognizer",
    "Sources": "mien.training.targets",
    "Run": "mien.training.run",
    "Votes": "mien.data.votes",
    "adapt": "mien.actions",
    "calibrate": "mien.actions",
    "card": "mien.actions",
    "compare": "mien.evaluation.compare",
    "cross_validate": "mien.studies.folds",
    "dossier": "mien.actions",
    "ensemble": "mien.actions",
    "evaluate": "mien.evaluation.evaluate",
    "explain": "mien.actions",
    "export": "mien.exports",
    "push": "mien.uploads",
    "study": "mien.studies.study",
    "sweep": "mien.studies.sweep",
    "train": "mien.studies.runs",
}
_OF_TRAIN = ("torch", "lightning", "torchmetrics", "transformers", "safetensors", "sklearn", "scipy", "jinja2", "onnx")

__all__ = [
    "Batch", "Face", "FaceSet", "Faces", "InputError", "MienError", "Predictions", "Recipe", "Recognizer", "Run",
    "Sources", "Votes",
    "adapt", "calibrate", "card", "compare", "cross_validate", "dossier", "ensemble", "evaluate", "explain", "export",
    "push",
    "study", "sweep", "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("mien")
    if name not in _HOMES:
        raise AttributeError(f"module 'mien' has no attribute '{name}'")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _OF_TRAIN:
            raise
        return _missing(name, error.name)


def _missing(name: str, package: str) -> Any:
    """Stands for a function whose extra is not installed: `help` and `hasattr` work, calling it names the extra."""
    from mien.errors import MissingExtraError

    def unavailable(*_: Any, **__: Any) -> Any:
        raise MissingExtraError(f"mien.{name} ({package} is missing)", "train")

    unavailable.__name__ = unavailable.__qualname__ = name
    unavailable.__doc__ = f"Needs the extra `train`: {package} is not installed."
    return unavailable


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
