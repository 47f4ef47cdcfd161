"""The one place that turns a recipe's model section into a network, and completes what a checkpoint is to say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from mien.errors import InputError
from mien.models import checkpoints
from mien.models.cnn import cnn_v1, cnn_v2
from mien.models.ensemble import EnsembleNet
from mien.models.head import head
from mien.models.pretrained import Backbone, PretrainedClassifier
from mien.models.residual import ResidualNet
from mien.models.vit import ScratchVit
from mien.preprocess import Preprocess
from mien.recipes.recipe import Recipe
from mien.recipes.sections import Cnn, Ensemble, Network, Pretrained, Residual, Vit

_CNNS = {"cnn-v1": (cnn_v1, 4), "cnn-v2": (cnn_v2, 16)}  # and the smallest input size


def complete(recipe: Recipe) -> Recipe:
    """The recipe with size, color, mean and std from the checkpoint where it leaves them out.

    Raises `InputError` for a checkpoint that is not at hand, and where neither says a value.
    """
    model, said = recipe.model, recipe.data.preprocess
    if not isinstance(model, Pretrained):
        return recipe
    if said.color == "gray" and not checkpoints.takes_gray(model.backbone):
        checkpoints.native_input(model.backbone)  # raises where it is no network at all, which no color would mend
        raise InputError(f"recipe '{recipe.name}': this pre-trained backbone needs data.preprocess.color rgb")
    if said.missing:
        filled = said.filled(checkpoints.native_input(model.backbone, said.color or "rgb"))
        data = recipe.data.model_copy(update={"preprocess": filled})
        recipe = recipe.model_copy(update={"data": data})
    recipe.preprocess  # noqa: B018 - raises where neither says a value
    return recipe


def build(
    model: Network, preprocess: Preprocess, widths: int | Sequence[int], config: dict[str, Any] | None = None
) -> nn.Module:
    """A network that maps images (B, C, S, S) to logits (B, O).

    `widths`: its classes, or those of each of its heads, whose logits stand side by side: O is their sum.
    Fresh weights come from torch's generator: seed that first. A backbone comes with its pre-trained weights, or with
    `config` (a `Backbone.config`) as the bare network that a run's weights are loaded into.
    """
    heads = (widths,) if isinstance(widths, int) else tuple(widths)
    if isinstance(model, Ensemble):
        configs = config["members"] if config else [None] * len(model.members)
        members = [build(one, preprocess, heads, its) for one, its in zip(model.members, configs, strict=True)]
        return EnsembleNet(members, model.mirrored, heads)
    classes = sum(heads)
    if isinstance(model, Cnn):
        return _cnn(model, preprocess, classes)
    if isinstance(model, Residual):
        _check_size(model.kind, model.smallest, preprocess)
        return ResidualNet(preprocess.channels, classes, model)
    if isinstance(model, Vit):
        return ScratchVit(preprocess.channels, preprocess.size, classes, model)
    backbone: Backbone = (
        checkpoints.load(model, preprocess.size, preprocess.channels)
        if config is None
        else checkpoints.rebuild(model, preprocess.size, config)
    )
    return PretrainedClassifier(backbone, head(backbone.width, classes, model.head))


def _cnn(model: Cnn, preprocess: Preprocess, classes: int) -> nn.Module:
    builder, smallest = _CNNS[model.kind]
    _check_size(model.kind, smallest, preprocess)
    return builder(preprocess.channels, preprocess.size, classes)


def _check_size(kind: str, smallest: int, preprocess: Preprocess) -> None:
    if preprocess.size < smallest:
        raise InputError(
            f"{kind} needs images of at least {smallest} pixels, data.preprocess.size is {preprocess.size}"
        )


def count_parameters(network: nn.Module) -> int:
    """Number of learned numbers, frozen ones included; what the output does not depend on is left out."""
    if isinstance(network, PretrainedClassifier):
        used = [parameter for unit in network.backbone.units for parameter in unit]
        return sum(p.numel() for p in (*used, *network.head.parameters()))
    return sum(p.numel() for p in network.parameters())
