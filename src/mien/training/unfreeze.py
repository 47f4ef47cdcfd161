"""Unfreeze: which parts of a backbone train in which epoch. Frozen parts get no gradient and stay in eval mode."""

from __future__ import annotations

from typing import Any

from torch import nn

from mien.errors import InputError
from mien.models.pretrained import Backbone, PretrainedClassifier
from mien.recipes.recipe import Recipe
from mien.recipes.sections import Unfreeze


def check_unfreeze(network: nn.Module, recipe: Recipe) -> None:
    """Raise `InputError` when the recipe names more blocks than the backbone has."""
    if not isinstance(network, PretrainedClassifier) or recipe.unfreeze.last == "all":
        return
    there = len(network.backbone.blocks)
    named = recipe.unfreeze.blocks(recipe.epochs)
    if named != "all" and named > there:
        raise InputError(
            f"recipe '{recipe.name}': unfreeze names {named} blocks, the backbone has {there}. "
            f"Name at most {there}, or use: --set unfreeze=all"
        )


def set_phase(network: nn.Module, how: Unfreeze, epoch: int) -> None:
    """Make `network` ready to train in `epoch` (counted from 1): gradients and train mode where `how` says so."""
    network.train()
    if not isinstance(network, PretrainedClassifier):
        return
    backbone = network.backbone
    trained = _trained_units(backbone, how, epoch)
    backbone.requires_grad_(False)
    if how.blocks(epoch) != "all":
        backbone.eval()
    for unit in trained:
        for parameter in backbone.units[unit]:
            parameter.requires_grad_(True)
        for part in backbone.parts(unit):
            part.train()


def parameter_groups(network: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """What the run trains at any time, for the optimizer, each with its learning rate; the head comes first.

    Layer-wise decay gives unit u of n + 1 the rate lr · decay^(n + 1 - u): ELECTRA, Clark et al. 2020, section 3.1 and
    BEiT, Bao et al. 2022, appendix.
    """
    how = recipe.optimizer
    if not isinstance(network, PretrainedClassifier):
        return [{"params": list(network.parameters()), "lr": how.lr}]
    backbone = network.backbone
    groups: list[dict[str, Any]] = [{"params": list(network.head.parameters()), "lr": how.lr}]
    for unit in sorted(_trained_units(backbone, recipe.unfreeze, recipe.epochs), reverse=True):
        if backbone.units[unit]:
            rate = how.lr * how.layer_decay ** (len(backbone.units) - 1 - unit)
            groups.append({"params": backbone.units[unit], "lr": rate})
    return groups


def frozen_depth(network: nn.Module, recipe: Recipe) -> int | None:
    """How many blocks, from the bottom, give the same for an image in every epoch; None when not one does."""
    if not isinstance(network, PretrainedClassifier) or recipe.data.augment.on:
        return None
    released = recipe.unfreeze.blocks(recipe.epochs)
    if released == "all":
        return None
    depth = len(network.backbone.blocks) - released
    return depth if depth or not released else None


def _trained_units(backbone: Backbone, how: Unfreeze, epoch: int) -> list[int]:
    blocks, top = how.blocks(epoch), len(backbone.units) - 1
    if blocks == "all":
        return list(range(top + 1))
    return list(range(top - blocks, top + 1)) if blocks else []
