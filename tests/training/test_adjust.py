"""Logit adjustment: by hand, and as a training applies it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mien import FaceSet, Recipe, train
from mien.training.adjust import adjusted


def test_the_bias_loses_the_log_of_each_class_s_share() -> None:
    weights = {"last.weight": torch.eye(3), "last.bias": torch.tensor([0.5, 0.0, -1.0])}
    found = adjusted(weights, "last.bias", np.array([0, 0, 1, 2]), 0.5)
    expected = [0.5 - 0.5 * np.log(0.5), -0.5 * np.log(0.25), -1 - 0.5 * np.log(0.25)]
    np.testing.assert_allclose(found["last.bias"], expected, rtol=1e-6)
    assert torch.equal(found["last.weight"], torch.eye(3))
    assert torch.equal(weights["last.bias"], torch.tensor([0.5, 0.0, -1.0]))


def test_a_run_answers_with_it(faces: FaceSet, tmp_path: Path) -> None:
    recipe = Recipe.load("cnn-v1", ["epochs=1"])
    plain = train(recipe, faces, tmp_path / "plain", precision="float32")
    even = train(recipe.model_copy(update={"logit_adjustment": 1.0}), faces, tmp_path / "even", precision="float32")
    labels = faces.select("train").labels
    before = plain.predictions("val").probabilities / (np.bincount(labels, minlength=7) / len(labels))
    expected = before / before.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(even.predictions("val").probabilities, expected, atol=1e-5)
