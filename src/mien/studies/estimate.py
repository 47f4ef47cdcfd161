"""Estimate: about how long a recipe trains here, from a few timed steps on empty images.

For the order of a study and a word to the person who starts it; not a measurement that anything quotes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from mien.models.build import build
from mien.models.pretrained import PretrainedClassifier
from mien.recipes.recipe import Recipe
from mien.training.features import split_at
from mien.training.hardware import Hardware, synchronize
from mien.training.unfreeze import check_unfreeze, frozen_depth, set_phase

_BATCH = 8


def estimate_seconds(recipe: Recipe, classes: int, train_images: int, val_images: int, hardware: Hardware) -> float:
    """Seconds for all epochs of a completed `recipe`, if nothing stops it early. Loads its network."""
    with torch.random.fork_rng(devices=[]):
        network = build(recipe.model, recipe.preprocess, classes).to(hardware.device)
    check_unfreeze(network, recipe)
    depth = frozen_depth(network, recipe)
    batch = min(_BATCH, recipe.data.batch_size)
    images = torch.zeros(batch, recipe.preprocess.channels, recipe.preprocess.size, recipe.preprocess.size)
    shown = images.to(hardware.device)
    once = 0.0
    if depth is not None:
        assert isinstance(network, PretrainedClassifier)
        hidden = split_at(network.eval(), depth, shown)
        if hidden is None:  # as in a training, all of it is then done in every epoch
            depth = None
        else:
            once = _seconds(partial(_forward, network, shown, depth), hardware) / batch * (train_images + val_images)
            shown = hidden
    first, last = (_epoch(network, recipe, epoch, shown, depth, hardware) / batch for epoch in (1, recipe.epochs))
    return once + recipe.epochs * ((first + last) / 2 * train_images + min(first, last) / 3 * val_images)


def _forward(network: PretrainedClassifier, images: torch.Tensor, depth: int) -> None:
    with torch.no_grad():
        network.frozen_part(images, depth)


def _epoch(
    network: nn.Module, recipe: Recipe, epoch: int, shown: torch.Tensor, depth: int | None, hardware: Hardware
) -> float:
    """Seconds of a training step as it is in `epoch`."""
    set_phase(network, recipe.unfreeze, epoch)
    labels = torch.zeros(len(shown), dtype=torch.long, device=shown.device)

    def step() -> None:
        if depth is None:
            logits = network(shown)
        else:
            assert isinstance(network, PretrainedClassifier)
            logits = network.moving_part(shown, depth)
        functional.cross_entropy(logits.float(), labels).backward()  # type: ignore[no-untyped-call]

    return _seconds(step, hardware)


def _seconds(work: Callable[[], None], hardware: Hardware) -> float:
    """The faster of two calls, after one to warm up."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        with torch.autocast(hardware.device, torch.bfloat16, hardware.precision == "bfloat16"):
            work()
        synchronize(hardware.device)
        times.append(time.perf_counter() - began)
    return min(times[1:])
