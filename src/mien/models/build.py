"""The one place that turns a recipe's model section into a network."""

from __future__ import annotations

from torch import nn

from mien.errors import InputError
from mien.models.cnn import cnn_v1, cnn_v2
from mien.preprocess import Preprocess
from mien.recipes.recipe import Model

_BUILDERS = {"cnn-v1": (cnn_v1, 4), "cnn-v2": (cnn_v2, 16)}  # and the smallest input size


def build(model: Model, preprocess: Preprocess, classes: int) -> nn.Module:
    """A network with fresh weights from torch's generator; seed that first. Input (B, C, S, S), logits (B, K)."""
    builder, smallest = _BUILDERS[model.kind]
    if preprocess.size < smallest:
        raise InputError(
            f"{model.kind} needs images of at least {smallest} pixels, data.preprocess.size is {preprocess.size}"
        )
    return builder(preprocess.channels, preprocess.size, classes)


def count_parameters(network: nn.Module) -> int:
    """Number of trainable numbers."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
