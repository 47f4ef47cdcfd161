"""A run looks the same whichever door it came through: Python and a sweep leave what the command line leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

import mien
from mien import FaceSet, Recipe, Recognizer, Run
from mien.studies.grid import combinations
from mien.studies.sweep import sweep

pytestmark = pytest.mark.slow

SHORT = ["epochs=1", "early_stopping=null"]
WHOLE = ("card.json", "model.safetensors", "model.onnx", "history.csv", "report/curves.png", "predictions/val.npz")


def assert_whole(run: Run, drawn_faces: FaceSet) -> None:
    missing = [name for name in WHOLE if not (run.folder / name).is_file()]
    assert not missing
    assert Recognizer(run.folder, detector="none")(drawn_faces.images[0])[0].emotion in run.card.labels


def test_by_python(drawn_faces: FaceSet, tmp_path: Path) -> None:
    said: list[tuple[str, int, int]] = []
    show = lambda *step: said.append(step)  # noqa: E731
    run = mien.train(Recipe.load("cnn-v1", SHORT), drawn_faces, tmp_path / "run", progress=show)
    assert_whole(run, drawn_faces)
    assert said[0][0].startswith("training: epoch 1/1, loss ")
    assert said[-1][1:] == (4, 4)


def test_by_a_sweep(drawn_faces: FaceSet, tmp_path: Path) -> None:
    found = sweep(combinations("cnn-v1", ["seed=0"], SHORT), lambda size: drawn_faces, tmp_path)
    assert_whole(Run(tmp_path / found.rows[0].run), drawn_faces)


def test_a_finished_run_gets_what_it_lacks(drawn_faces: FaceSet, tmp_path: Path) -> None:
    recipe = Recipe.load("cnn-v1", SHORT)
    run = mien.train(recipe, drawn_faces, tmp_path / "run")
    (run.folder / "model.onnx").unlink()
    with pytest.raises(mien.InputError, match="is not empty"):
        mien.train(recipe, drawn_faces, run.folder)
    assert_whole(mien.train(recipe, drawn_faces, run.folder, existing="resume"), drawn_faces)
