"""What computing frozen work once is worth: vit-v1.3-frozen over 10 epochs, with and without the store, side by side.

    python benchmarks/frozen_features.py --data fer2013.zip --backbone ../shared/models/dinov2-small

Both trainings are the same but for the store, which is computed anew within the timed run. Times are of training alone:
the epochs, and the store where there is one.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np

from mien import FaceSet, Recipe
from mien.models.build import complete
from mien.training.train import train


def part(faces: FaceSet, count: int) -> FaceSet:
    """Every so manieth face of train and val, about `count` in all."""
    seen = faces.select("train", "val")
    chosen = np.arange(0, len(seen), max(len(seen) // count, 1))
    keys = ("rows", "labels", "names", "splits", "hashes", "shapes", "blank")
    return replace(seen, **{key: getattr(seen, key)[chosen] for key in keys})


def minutes(recipe: Recipe, faces: FaceSet, store: bool) -> float:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MIEN_CACHE"] = folder  # an empty one: nothing is found of an earlier run
        if store:
            run = train(recipe, faces, Path(folder) / "run")
        else:
            with mock.patch("mien.training.train.frozen_depth", return_value=None):
                run = train(recipe, faces, Path(folder) / "run")
        history = run.history
        print(f"  {'with' if store else 'without'} the store: last val loss {history[-1].val_loss:.4f}, "
              f"{run.card.training.minutes:.2f} minutes")  # fmt: skip
        return run.card.training.minutes


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", required=True)
    options.add_argument("--backbone", required=True)
    options.add_argument("--size", type=int, default=112)
    options.add_argument("--faces", type=int, default=800)
    options.add_argument("--epochs", type=int, default=10)
    given = options.parse_args()
    changes = [f"model.backbone={given.backbone}", f"data.preprocess.size={given.size}", f"epochs={given.epochs}"]
    recipe = complete(Recipe.load("vit-v1.3-frozen", changes))
    faces = part(FaceSet.open(given.data, size=given.size), given.faces)
    print(f"{recipe.name}, {given.backbone}, {given.size} px, {len(faces)} faces, {given.epochs} epochs")
    without = minutes(recipe, faces, store=False)
    with_store = minutes(recipe, faces, store=True)
    print(f"{without / with_store:.1f} times as fast with the store")


if __name__ == "__main__":
    main()
