"""What the device computes equals Preprocess, to 1/255."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mien.preprocess import Preprocess
from mien.recipes.sections import Augment
from mien.training.prepare import prepare

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
HALF = {"mean": (0.5,), "std": (0.5,)}


@pytest.mark.parametrize("stored", [(48, 48), (48, 48, 3), (30, 40)])
@pytest.mark.parametrize(
    "how",
    [
        Preprocess(size=48, color="gray", **HALF),
        Preprocess(size=64, color="gray", **HALF),
        Preprocess(size=48, color="rgb", **IMAGENET),
        Preprocess(size=112, color="rgb", **IMAGENET),
        Preprocess(size=224, color="rgb", **IMAGENET),
    ],
    ids=lambda how: f"{how.color}{how.size}",
)
def test_device_path_equals_preprocess(stored: tuple[int, ...], how: Preprocess) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, *stored), dtype=np.uint8)
    on_device = prepare(torch.from_numpy(images), how).numpy()
    expected = how(list(images))
    assert on_device.shape == expected.shape == (5, how.channels, how.size, how.size)
    difference = np.abs(on_device - expected) * np.array(how.std).reshape(1, -1, 1, 1)  # back to 0–1
    assert difference.max() <= 1.01 / 255


def test_layout_is_channels_last() -> None:
    images = torch.zeros(2, 48, 48, 3, dtype=torch.uint8)
    ready = prepare(images, Preprocess(size=48, color="rgb", **IMAGENET))
    assert ready.is_contiguous(memory_format=torch.channels_last)


def test_changes_are_computed_in_float32_under_autocast() -> None:
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (16, 48, 48), dtype=np.uint8))
    changes = Augment(flip=0.5, rotate=10, gamma=0.9, blur=0.9, resolution=0.9, noise=0.9, jpeg=0.9, erase=0.5)
    shown = []
    for half in (False, True):
        torch.manual_seed(3)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            shown.append(prepare(pixels, Preprocess(size=48, color="gray", **HALF), changes))
    assert shown[1].dtype == torch.float32
    assert torch.equal(*shown)
