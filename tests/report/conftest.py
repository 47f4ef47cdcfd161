"""Made-up but plausible runs, scored by the real evaluation, for the tests of pictures and pages."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from mien.card import Card, Training
from mien.evaluation.compare import compare_predictions
from mien.evaluation.evaluate import score
from mien.labels import FER7
from mien.predictions import Predictions, pool
from mien.recipes.recipe import Recipe
from mien.report.content import DataReport, RunReport, StudyReport
from mien.training.run import Epoch

PRIVATE_TEST = (491, 55, 528, 879, 626, 594, 416)  # images per class, FER7 order
FEW = (49, 5, 53, 88, 63, 59, 42)
Skills = Mapping[str, float]


def made_up_history(epochs: int, best: float, turn: int) -> list[Epoch]:
    """Val loss falls until epoch `turn` and rises after it; val accuracy rises to about `best`."""
    return [
        Epoch(
            epoch=e,
            train_loss=1.75 * math.exp(-e / (epochs / 2)) + 0.15,
            train_accuracy=0.98 - 0.75 * math.exp(-e / (epochs / 3)),
            val_loss=1.02 + 0.6 * math.exp(-e / (turn / 3)) + 0.012 * max(0, e - turn),
            val_accuracy=best - 0.35 * math.exp(-e / (epochs / 5)) + 0.004 * math.sin(2.1 * e),
            lr=1e-3,
            seconds=11.2,
            images_per_second=2560.0,
        )
        for e in range(1, epochs + 1)
    ]


def made_up_predictions(
    split: str, labels: Sequence[str], counts: Sequence[int], skill: float, seed: int
) -> Predictions:
    """A model that knows a share `skill` of the images; the images depend on `split` and `counts` alone."""
    k, truth = len(labels), np.repeat(np.arange(len(labels)), counts)
    n, rng = len(truth), np.random.default_rng(seed)
    logits = rng.normal(0.0, 1.0, (n, k)) + 0.6 * np.asarray(counts) / max(counts)
    logits[np.arange(n), truth] += np.where(rng.random(n) < skill, 2.6, 0.2)
    raw = np.exp(logits)
    repeated = np.arange(n) % 12 == 0
    return Predictions(
        split=split,
        label_names=tuple(labels),
        names=np.array([f"{split}/{i}.png" for i in range(n)], dtype=np.str_),
        hashes=np.array([f"{split}{i}" for i in range(n)], dtype=np.str_),
        labels=truth.astype(np.int64),
        probabilities=(raw / raw.sum(axis=1, keepdims=True)).astype(np.float32),
        in_train=repeated,
        in_val=np.full(n, split == "val") | (np.arange(n) % 30 == 1),
    )


def made_up_card(recipe: Recipe, labels: Sequence[str], history: Sequence[Epoch], val_images: int, seed: int) -> Card:
    best = max(history, key=lambda row: row.val_accuracy)
    training = Training(
        data="fer2013.zip",
        fingerprint="5196275ab108e25f" * 4,
        train_images=28709,
        val_images=val_images,
        seed=seed,
        epochs=len(history),
        best_epoch=best.epoch,
        best_value=best.val_accuracy,
        device="NVIDIA H200",
        precision="bf16-mixed",
        minutes=len(history) * 0.21,
        versions={"torch": "2.13.0"},
        commit=None,
    )
    return Card(
        recipe=recipe.name,
        labels=tuple(labels),
        preprocess=recipe.data.preprocess,
        parameters=405_319,
        training=training,
    )


def made_up_report(
    runs: Sequence[tuple[str, str, float, int]],
    labels: Sequence[str] = FER7.labels,
    counts: Sequence[int] = FEW,
    *,
    test: bool = True,
    draws: int = 20,
    epochs: int = 12,
) -> StudyReport:
    """A report on `runs` = (name, recipe, skill, seed), each with val and, when `test`, test and pooled."""
    splits = ("val", "test", "pooled") if test else ("val",)
    reports, predicted = [], []
    for i, (name, recipe_name, skill, seed) in enumerate(runs):
        recipe = Recipe.load(recipe_name, [f"seed={seed}"])
        by_split = {s: made_up_predictions(s, labels, counts, skill, 10 * i + j) for j, s in enumerate(("val", "test"))}
        by_split["pooled"] = pool(by_split["val"], by_split["test"])
        history = made_up_history(epochs + 3 * i, best=0.3 + 0.5 * skill, turn=max(2, epochs // 3))
        card = made_up_card(recipe, labels, history, sum(counts), seed)
        evaluations = {s: score(by_split[s], name, draws=draws) for s in splits}
        reports.append(RunReport(name, recipe, card, history, evaluations))
        predicted.append((name, by_split))
    comparisons = (
        {s: compare_predictions([(name, by[s]) for name, by in predicted], draws=draws) for s in splits}
        if len(runs) > 1
        else {}
    )
    shown = {"train": 8, "val": 1, "test": 1} if test else {"train": 8, "val": 1}
    data = DataReport(
        source="fer2013.zip",
        fingerprint="5196275ab108e25f" * 4,
        labels=tuple(labels),
        counts={s: {label: times * n for label, n in zip(labels, counts, strict=True)} for s, times in shown.items()},
        repeated={"test images that also stand in train": 300} if test else {},
        leak_free={"test": int(predicted[0][1]["test"].leak_free.sum())} if test else {},
    )
    commands = ["mien train cnn-v2 --data fer2013.zip --out runs/cnn-v2", "mien study runs/* --data fer2013.zip"]
    environment = {"mien": "0.1.0", "torch": "2.13.0", "machine": "2 cores, Linux"}
    return StudyReport("Facial emotion on FER2013", commands, data, reports, comparisons, environment)


THREE_RUNS = (("cnn-v1", "cnn-v1", 0.45, 0), ("cnn-v2", "cnn-v2", 0.62, 0), ("cnn-v2.1", "cnn-v2.1", 0.60, 0))


@pytest.fixture
def make_report() -> Callable[..., StudyReport]:
    """`made_up_report`, for reports of any shape."""
    return made_up_report


@pytest.fixture(scope="session")
def report() -> StudyReport:
    """Three runs on FER7 with test and pooled."""
    return made_up_report(THREE_RUNS, counts=PRIVATE_TEST)
