"""Faces and a recipe that train in a second."""

from __future__ import annotations

from pathlib import Path

import pytest

from mien import FaceSet, Recipe


@pytest.fixture(scope="package")
def faces(drawn_zip: Path) -> FaceSet:
    return FaceSet.open(drawn_zip, size=48)


@pytest.fixture
def recipe() -> Recipe:
    """Everything random is on: order, sampler, dropout, augmentation, mixing; and a moving average of the weights."""
    return Recipe.load(
        "cnn-v2",
        [
            "epochs=4",
            "data.imbalance=sampler",
            "data.augment={flip: 0.5, rotate: 10, erase: 0.5, mixup: 0.2}",
            "average=0.9",
            "schedule={name: cosine, warmup_epochs: 1}",
            "early_stopping.patience=3",
        ],
    )
