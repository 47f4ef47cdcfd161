"""Made-up but plausible runs, scored by the real evaluation, for the tests of pictures and pages."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from mien.cards import Card, Training
from mien.evaluation.classes import class_tests
from mien.evaluation.compare import compare_predictions
from mien.evaluation.evaluate import score
from mien.evaluation.latency import Latency
from mien.labels import FER7
from mien.predictions import Predictions, pool
from mien.recipes.recipe import Recipe
from mien.recipes.sections import Pretrained
from mien.report import style
from mien.report.content import DataReport, NotRun, RunReport, StudyReport
from mien.report.families import questions
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


def made_up_recipe(name: str, seed: int) -> Recipe:
    """As a study completes it where only dinov2-small is at hand."""
    settings = [f"seed={seed}"]
    if isinstance(Recipe.load(name).model, Pretrained):
        settings += [
            "data.preprocess.size=112",
            "data.preprocess.mean=[0.5,0.5,0.5]",
            "data.preprocess.std=[0.2,0.2,0.2]",
        ]
        settings += ["model.backbone=../shared/models/dinov2-small"] if name.startswith("vit") else []
    return Recipe.load(name, settings)


def architecture(recipe: Recipe) -> str | None:
    """As the config of the backbone would say it."""
    if not isinstance(recipe.model, Pretrained):
        return None
    known = {"resnet-50": "resnet", "efficientnet-lite0": "efficientnet-lite0", "dinov2-small": "dinov2"}
    return known.get(recipe.model.backbone.rpartition("/")[2], "vit")


def made_up_card(recipe: Recipe, labels: Sequence[str], history: Sequence[Epoch], val_images: int, seed: int) -> Card:
    best = max(history, key=lambda row: row.val_accuracy)
    training = Training(
        data="fer2013.zip",
        fingerprint="1800e4590929427e2b40c63dd39e9c5f" if tuple(labels) == FER7.labels else "5196275ab108e25f" * 2,
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
        preprocess=recipe.preprocess,
        backbone=recipe.model.backbone.rpartition("/")[2] if isinstance(recipe.model, Pretrained) else None,
        architecture=architecture(recipe),
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
        recipe = made_up_recipe(recipe_name, seed)
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
        fingerprint="1800e4590929427e2b40c63dd39e9c5f" if tuple(labels) == FER7.labels else "5196275ab108e25f" * 2,
        labels=tuple(labels),
        counts={s: {label: times * n for label, n in zip(labels, counts, strict=True)} for s, times in shown.items()},
        repeated={"test images that also stand in train": 300} if test else {},
        leak_free={"test": int(predicted[0][1]["test"].leak_free.sum())} if test else {},
    )
    asked = dict.fromkeys(name for names in questions(reports) for name in names)
    shown_tests = {name: by["test" if test else "val"] for name, by in predicted if name in asked}
    commands = ["mien train cnn-v2 --data fer2013.zip --out runs/cnn-v2", "mien study runs/* --data fer2013.zip"]
    environment = {"mien": "0.1.0", "torch": "2.13.0", "machine": "2 cores, Linux"}
    return StudyReport(
        "Facial emotion on FER2013", commands, data, reports, comparisons, environment,
        class_tests=class_tests({name: shown_tests[name] for name in asked}),
    )  # fmt: skip


def made_up_study(**options: Any) -> StudyReport:
    """A study as the project means it: CNNs, ViTs with and without pre-training, a pre-trained CNN; timed."""
    report = made_up_report(WHOLE_STUDY, **options)
    runs = [
        with_cost(run, minutes, millions, ms) for run, (minutes, millions, ms) in zip(report.runs, COSTS, strict=True)
    ]
    missing = [NotRun(Recipe.load(name), why) for name, why in MISSING]
    return replace(report, runs=runs, not_run=missing)


def with_cost(
    run: RunReport, minutes: float, millions: float, ms: float | None, device: str = "2 CPU cores"
) -> RunReport:
    training = run.card.training.model_copy(update={"minutes": minutes, "device": device, "precision": "bfloat16"})
    card = run.card.model_copy(update={"training": training, "parameters": round(1e6 * millions)})
    return replace(run, card=card, latency=Latency(ms, 0.6 * ms, 32, "2 CPU cores") if ms else None)


THREE_RUNS = (("cnn-v1", "cnn-v1", 0.45, 0), ("cnn-v2", "cnn-v2", 0.62, 0), ("cnn-v2.1", "cnn-v2.1", 0.60, 0))

WHOLE_STUDY = (
    ("cnn-v1", "cnn-v1", 0.45, 0),
    ("cnn-v2", "cnn-v2", 0.60, 0),
    ("cnn-v2-s1", "cnn-v2", 0.61, 1),
    ("cnn-v2.1", "cnn-v2.1", 0.59, 0),
    ("efficientnet-lite0-ft-112px", "efficientnet-lite0-ft", 0.62, 0),
    ("vit-scratch", "vit-scratch", 0.20, 0),
    ("vit-scratch-tuned", "vit-scratch-tuned", 0.43, 0),
    ("vit-v1.3-dinov2-small-112px", "vit-v1.3", 0.63, 0),
    ("vit-v1.3-frozen-dinov2-small-112px", "vit-v1.3-frozen", 0.48, 0),
    ("vit-v1.5-dinov2-small-112px", "vit-v1.5", 0.64, 0),
    ("vit-v1.6-dinov2-small-112px", "vit-v1.6", 0.66, 0),
    ("vit-v1.6.6-dinov2-small-112px", "vit-v1.6.6", 0.67, 0),
    ("vit-v1.6.7-dinov2-small-112px", "vit-v1.6.7", 0.68, 0),
    ("vit-v1.6.7-layer-decay-dinov2-small-112px", "vit-v1.6.7-layer-decay", 0.70, 0),
    ("vit-v1.6.7-weight-decay-dinov2-small-112px", "vit-v1.6.7-weight-decay", 0.68, 0),
)
COSTS = (  # minutes, million parameters, milliseconds for one face
    (4.2, 1.2, 0.6), (42.0, 0.4, 1.1), (41.2, 0.4, 1.1), (29.3, 0.4, 1.1), (98.0, 4.1, 11.0), (12.0, 1.22, 3.2),
    (31.0, 1.22, 3.2), (310.0, 22.3, 19.0), (24.0, 22.3, 18.8), (318.0, 22.3, 19.2), (180.0, 22.3, 19.1),
    (176.0, 22.3, 19.0), (171.0, 22.3, 19.3), (420.0, 22.3, 19.2), (169.0, 22.3, 19.0),
)  # fmt: skip
MISSING = (
    ("resnet50-ft", "model.backbone microsoft/resnet-50: is not in the local cache and the Hugging Face hub cannot be "
     "reached. Pass a local folder (--set model.backbone=PATH)"),
    ("vit-v1.6.7-dropout", ""),
)  # fmt: skip


@pytest.fixture(scope="session")
def whole_study() -> StudyReport:
    """Fifteen runs of four families, with two recipes not run."""
    return made_up_study()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are composed but not drawn, for tests of the words."""
    monkeypatch.setattr(style, "png_bytes", lambda figure: b"\x89PNG")


@pytest.fixture
def words(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even composed."""
    figures = ("report.data.label_distribution", "report.curves.curves", "report.curves.loss_against_accuracy",
               "report.scores.confusion", "report.scores.per_class", "studies.cost.accuracy_against_cost")  # fmt: skip
    for name in figures:
        monkeypatch.setattr(f"mien.{name}", lambda *_: Figure())


@pytest.fixture
def make_report() -> Callable[..., StudyReport]:
    """`made_up_report`, for reports of any shape."""
    return made_up_report


@pytest.fixture(scope="session")
def report() -> StudyReport:
    """Three runs on FER7 with test and pooled."""
    return made_up_report(THREE_RUNS, counts=PRIVATE_TEST)
