"""mien compare over seeds: recipes by their runs, as a person asks for it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mien import FaceSet, Run, evaluate


@pytest.fixture(scope="module")
def runs(trained_folder: Path, drawn_faces: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One trained run under four names: two seeds of two recipes, each with some answers changed."""
    home = tmp_path_factory.mktemp("seeds")
    evaluate(Run(Path(shutil.copytree(trained_folder, home / "first"))), drawn_faces, "test")
    folders = []
    for i, (epochs, seed) in enumerate([(3, 0), (3, 1), (4, 0), (4, 1)]):
        run = Run(Path(shutil.copytree(home / "first", home / f"e{epochs}-s{seed}")))
        recipe = run.recipe.model_copy(update={"epochs": epochs, "seed": seed})
        (run.folder / "recipe.yaml").write_text(recipe.to_yaml())
        kept = run.predictions("test")
        turned = kept.probabilities.copy()
        turned[: i + 1] = np.roll(turned[: i + 1], 1, axis=1)
        replace(kept, probabilities=turned).save(run.predictions_file("test"))
        folders.append(run.folder)
    return folders


def test_recipes_over_their_seeds(runs: list[Path], mien) -> None:
    told = mien("compare", *runs, "--seeds")
    assert told.code == 0, told.err
    assert "accuracy over seeds on test (n=14)" in told.out
    assert "the interval covers the chance of seeds and of images" in told.out
    found = json.loads(mien("compare", *runs, "--seeds", "--json").out)
    assert [len(one["accuracies"]) for one in found["recipes"]] == [2, 2]
    assert len({one["recipe"] for one in found["recipes"]}) == 2  # both are named cnn-v1: told apart by a run


def test_a_lonely_run_is_told(runs: list[Path], mien) -> None:
    refused = mien("compare", *runs[:3], "--seeds")
    assert refused.code == 2
    assert "expected at least two recipes with 2 runs each" in refused.err
    assert "--seeds 0,1,2" in refused.err


def test_one_training_named_twice(runs: list[Path], mien, tmp_path: Path) -> None:
    again = shutil.copytree(runs[0], tmp_path / "again")
    refused = mien("compare", *runs, again, "--seeds")
    assert refused.code == 2
    assert "with the same seed are one training" in refused.err


def test_pairs_are_corrected_and_every_figure_is_compared(runs: list[Path], mien) -> None:
    told = mien("compare", *runs[:3])
    assert told.code == 0
    assert "exact McNemar, Holm over 3 pairs" in told.out
    for figure in ("accuracy", "macro f1", "mean class accuracy", "nll"):
        assert figure in told.out
