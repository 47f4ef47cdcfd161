"""A run of another seed that is put beside the others is all that a claim about recipes takes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np

from mien import FaceSet, Run, evaluate
from mien.predictions import Predictions
from mien.studies.gather import gather, keep_data


def seeded(run: Run, folder: Path, recipe: str, seed: int, right: float) -> None:
    """The run as if it were of another recipe and seed, and right on this share of the images."""
    copy = Run(Path(shutil.copytree(run.folder, folder)))
    told = copy.recipe.model_copy(update={"name": recipe, "seed": seed, "describe": f"as {seed} says it"})
    (folder / "recipe.yaml").write_text(told.to_yaml())
    card = copy.card
    card.model_copy(update={"recipe": recipe, "training": card.training.model_copy(update={"seed": seed})}).save(
        folder / "card.json"
    )
    for split in ("val", "test"):
        kept = copy.predictions(split)
        guess = np.where(np.arange(len(kept)) < right * len(kept), kept.labels, (kept.labels + 1) % 7)
        said = np.eye(7, dtype=np.float32)[guess]
        Predictions(**{**kept.__dict__, "probabilities": said}).save(copy.predictions_file(split))


def test_a_folder_of_another_seed_joins_its_recipe(trained_run: Run, drawn_faces: FaceSet, tmp_path: Path) -> None:
    for split in ("val", "test"):
        evaluate(trained_run, drawn_faces, split)
    results = tmp_path / "results"
    seeded(trained_run, results / "one", "first", 0, 0.5)
    seeded(trained_run, results / "two", "second", 0, 0.8)
    keep_data(results, drawn_faces)
    assert gather(results, "Title", []).seeds is None
    seeded(trained_run, results / "one-s1", "first", 1, 0.5)
    seeded(trained_run, results / "any-name", "second", 7, 0.9)
    found = gather(results, "Title", []).seeds
    assert found is not None
    assert {one.recipe: len(one.accuracies) for one in found.recipes} == {"first": 2, "second": 2}
    assert found.split == "test"
    seeded(trained_run, results / "two-again", "second", 0, 0.1)  # repeated, it does not count twice
    again = gather(results, "Title", []).seeds
    assert again is not None
    assert {one.recipe: len(one.accuracies) for one in again.recipes} == {"first": 2, "second": 2}


def test_the_same_photos_are_looked_for_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    soft = [cv2.GaussianBlur(rng.normal(size=(48, 48)), (0, 0), 1.5) for _ in range(12)]
    pictures = [np.clip(128 + 40 * one / one.std(), 0, 255).astype(np.uint8) for one in soft]
    # Test: the third of train again, mirrored; a new one; the first of val again, darker; a new one.
    told = {"train": pictures[:6], "val": [pictures[6], pictures[7]],
            "test": [pictures[2][:, ::-1], pictures[8], pictures[6] // 2 + 20, pictures[9]]}  # fmt: skip
    for split, images in told.items():
        folder = tmp_path / "data" / split / "happy"
        folder.mkdir(parents=True)
        for i, image in enumerate(images):
            cv2.imwrite(str(folder / f"{i}.png"), image)
    (tmp_path / "data" / "train" / "sad").mkdir()
    cv2.imwrite(str(tmp_path / "data" / "train" / "sad" / "0.png"), pictures[10])
    faces = FaceSet.open(tmp_path / "data", labels=["happy", "sad"])
    keep_data(tmp_path, faces)
    file = tmp_path / "data.json"
    written = json.loads(file.read_text())
    assert written["near"] == {"val": [], "test": [0, 2]}
    stamp = file.stat().st_mtime_ns
    keep_data(tmp_path, faces)
    assert file.stat().st_mtime_ns == stamp
    del written["near"]  # as an earlier mien left it
    file.write_text(json.dumps(written))
    keep_data(tmp_path, faces)
    assert json.loads(file.read_text())["near"]["test"] == [0, 2]
