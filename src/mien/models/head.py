"""Head: from a backbone's features to logits, their last layer by its rows, and from logits to probabilities.

Shapes: B images, O outputs: the classes of one head, or of several side by side.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from mien.recipes.sections import HeadLayers

_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}


def head(features: int, classes: int, how: HeadLayers) -> nn.Sequential:
    """`(B, features)` → logits `(B, classes)`: per hidden width linear, batch norm, activation, dropout; then linear.

    Source: the study's `CustomClassifier` in V1.3 (512, 256), V1.5 (512, 256, 128, 64) and V1.6.7 (with batch norm).

    >>> head(384, 7, HeadLayers(hidden=(512,), dropout=0.5))
    Sequential(
      (0): Linear(in_features=384, out_features=512, bias=True)
      (1): ReLU()
      (2): Dropout(p=0.5, inplace=False)
      (3): Linear(in_features=512, out_features=7, bias=True)
    )
    """
    layers: list[nn.Module] = []
    width = features
    for units in how.hidden:
        layers.append(nn.Linear(width, units))
        if how.batch_norm:
            layers.append(nn.BatchNorm1d(units))
        layers.append(_ACTIVATIONS[how.activation]())
        if how.dropout:
            layers.append(nn.Dropout(how.dropout))
        width = units
    return nn.Sequential(*layers, nn.Linear(width, classes))


def last_layer(network: nn.Module) -> str:
    """Name of the linear layer whose rows are the answers; of a network without members."""
    names: list[str] = [name for name, part in network.named_modules() if isinstance(part, nn.Linear)]
    return names[-1]


def keep_outputs(network: nn.Module, columns: slice) -> None:
    """Let `network` answer with these of its outputs alone; an ensemble lets each of its members do so."""
    members = getattr(network, "members", None)
    if members is not None:
        for member in members:
            keep_outputs(member, columns)
        network.widths = None  # type: ignore[assignment]  # one head is left
        return
    last = network.get_submodule(last_layer(network))
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight = nn.Parameter(last.weight[columns].clone())
        last.bias = nn.Parameter(last.bias[columns].clone())
    last.out_features = len(last.weight)


def probabilities(
    network: nn.Module, images: torch.Tensor, *, mirror: bool, widths: Sequence[int] | None = None
) -> torch.Tensor:
    """`(B, O)` for images `(B, C, S, S)`; with `mirror` the mean over each image and its mirror image.

    `widths`: outputs of each head, whose probabilities sum to 1 by themselves; left out, all are of one head.
    """
    answer = _softmax(network(images), widths)
    return (answer + _softmax(network(images.flip(-1)), widths)) / 2 if mirror else answer


def _softmax(logits: torch.Tensor, widths: Sequence[int] | None) -> torch.Tensor:
    if widths is None or len(widths) == 1:
        return logits.float().softmax(dim=1)
    return torch.cat([head.softmax(dim=1) for head in torch.split(logits.float(), list(widths), dim=1)], dim=1)
