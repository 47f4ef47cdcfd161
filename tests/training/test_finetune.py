"""Fine-tuning from checkpoint to finished run: larger color faces, resuming, and what goes wrong."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mien import FaceSet, InputError, Recipe, Run, evaluate
from mien.data.draw import draw_set
from mien.errors import InterruptedRunError
from mien.training import module
from mien.training.hardware import Hardware
from mien.training.predict import predict
from mien.training.run import Epoch
from mien.training.train import train


@pytest.fixture(scope="module")
def color_faces(tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    folder = draw_set(tmp_path_factory.mktemp("color") / "faces", 84, seed=3, size=224, color=True)
    return FaceSet.open(folder, size=224)


def vit_recipe(checkpoint: Path, *overrides: str) -> Recipe:
    base = [f"model.backbone={checkpoint}", "data.preprocess.size=32", "epochs=3", "early_stopping=null"]
    return Recipe.load("vit-v1.6.7", [*base, "unfreeze={schedule: {2: 1, 3: 1}}", "optimizer.lr=1e-3", *overrides])


def numbers(run: Run) -> list[Epoch]:
    return [replace(row, seconds=0, images_per_second=0) for row in run.history]


@pytest.mark.slow
def test_color_faces_of_224_pixels_train_a_vit(color_faces: FaceSet, tiny_vit: Path, tmp_path: Path) -> None:
    assert color_faces.store.shape[1:] == (224, 224, 3)
    recipe = vit_recipe(tiny_vit, "data.preprocess.size=null", "data.augment.flip=0.5")
    run = train(recipe, color_faces, tmp_path / "vit")
    card = run.card
    assert card.preprocess.size == 32  # the checkpoint's own, because the recipe leaves it out
    assert (card.preprocess.mean, card.preprocess.std) == ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    assert card.backbone == "tiny-vit"
    assert run.recipe.preprocess == card.preprocess
    assert "transformers" in card.training.versions
    assert evaluate(run, color_faces, split="test").scores.n == 8


@pytest.mark.slow
def test_color_faces_of_224_pixels_train_a_cnn(color_faces: FaceSet, tmp_path: Path) -> None:
    color = ["data.preprocess={size: 48, color: rgb, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}", "epochs=2"]
    run = train(Recipe.load("cnn-v2", color), color_faces, tmp_path / "cnn")
    assert run.load_model()[0].in_channels == 3
    assert evaluate(run, color_faces, split="test").scores.n == 8


def test_the_model_rebuilds_from_the_folder_alone(drawn_faces: FaceSet, tiny_vit: Path, tmp_path: Path) -> None:
    checkpoint = Path(shutil.copytree(tiny_vit, tmp_path / "checkpoint"))
    run = train(vit_recipe(checkpoint), drawn_faces, tmp_path / "run")
    shutil.rmtree(checkpoint)
    moved = Run(Path(shutil.move(run.folder, tmp_path / "moved")))
    again = predict(moved, drawn_faces, "val", Hardware("cpu", "float32"))
    assert np.array_equal(again.probabilities, moved.predictions("val").probabilities)
    (moved.folder / "backbone.json").unlink()
    with pytest.raises(InputError, match=r"backbone\.json: missing or damaged"):
        moved.load_model()


def test_resumed_equals_uninterrupted_through_the_phases(
    drawn_faces: FaceSet, tiny_vit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = vit_recipe(tiny_vit)
    whole = train(recipe, drawn_faces, tmp_path / "whole")
    step = module.TrainingModule.training_step

    def stopping(self, batch, batch_idx):  # type: ignore[no-untyped-def]
        if self.current_epoch == 1 and batch_idx == 1:
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(module.TrainingModule, "training_step", stopping)
        with pytest.raises(InterruptedRunError):
            train(recipe, drawn_faces, tmp_path / "run")
    resumed = train(recipe, drawn_faces, tmp_path / "run", existing="resume")
    assert numbers(resumed) == numbers(whole)


def test_nan_in_a_later_epoch_keeps_the_state_before(
    drawn_faces: FaceSet, tiny_vit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = module.TrainingModule._logits

    def poisoned(self, shown, changes=None):  # type: ignore[no-untyped-def]
        return logits(self, shown, changes) * (float("nan") if self.current_epoch == 1 and self.training else 1.0)

    monkeypatch.setattr(module.TrainingModule, "_logits", poisoned)
    words = r"no longer a number in epoch 2, at learning rate 0\.001\. The state after epoch 1 is kept.*lr=0\.0001"
    with pytest.raises(InputError, match=words):
        train(vit_recipe(tiny_vit), drawn_faces, tmp_path / "run")
    assert len(Run(tmp_path / "run").history) == 1
    assert Run(tmp_path / "run").last_checkpoint.is_file()
    assert Run(tmp_path / "run").best_weights.is_file()


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 GB")],
)
def test_out_of_memory_says_which_setting_to_lower(
    error: Exception, drawn_faces: FaceSet, tiny_vit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self, batch, batch_idx):  # type: ignore[no-untyped-def]
        raise error

    monkeypatch.setattr(module.TrainingModule, "training_step", failing)
    with pytest.raises(InputError, match=r"out of memory\. Lower data\.batch_size \(now 32\) or .*batch_size=16"):
        train(vit_recipe(tiny_vit), drawn_faces, tmp_path / "run")


def test_a_checkpoint_without_mean_and_std_asks_for_them(save_checkpoint, drawn_faces: FaceSet, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    bare = save_checkpoint(tmp_path / "bare", "vit", preprocessor=False)
    with pytest.raises(InputError, match=r"nothing says data\.preprocess\.mean and data\.preprocess\.std.*--set"):
        train(vit_recipe(bare), drawn_faces, tmp_path / "run")
    given = ["data.preprocess.mean=[0.5,0.5,0.5]", "data.preprocess.std=[0.5,0.5,0.5]", "epochs=1"]
    assert train(vit_recipe(bare, *given), drawn_faces, tmp_path / "run").finished
