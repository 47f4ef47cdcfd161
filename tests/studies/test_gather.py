"""A run of another seed that is put beside the others is all that a claim about recipes takes."""

from __future__ import annotations

import shutil
from pathlib import Path

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
