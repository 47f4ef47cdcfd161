"""One run, whole: trained, its curves drawn, its model file written, whichever door it came through."""

from __future__ import annotations

from pathlib import Path

from mien.data.cache import Progress
from mien.data.faceset import FaceSet
from mien.exports import leave_onnx
from mien.recipes.recipe import Recipe
from mien.report.plots import curves
from mien.report.style import save
from mien.training.hardware import Hardware
from mien.training.resume import Existing
from mien.training.run import Run
from mien.training.targets import Sources
from mien.training.train import train as fit


def train(
    recipe: Recipe,
    faces: FaceSet,
    out: str | Path,
    sources: Sources | None = None,
    hardware: Hardware | None = None,
    existing: Existing = "refuse",
    progress: Progress | None = None,
) -> Run:
    """`mien.training.train.train`, then `report/curves.png` and `model.onnx` in the run folder.

    So `Recognizer(out)` works at once. A run is whole without its model file: why one could not be written is a line in
    the log. A further process of a distributed training ends with a run that is not finished.
    """
    run = fit(recipe, faces, out, sources, hardware, existing, progress)
    if run.finished:
        save(curves(run.history, recipe.name, run.card.training.best_epoch), curves_file(run))
        leave_onnx(run, faces)
    return run


def curves_file(run: Run) -> Path:
    return run.folder / "report" / "curves.png"
