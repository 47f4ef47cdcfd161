"""Quicker: a network rearranged so that a CPU trains it in less time, to the same function of the same weights.

What it is worth, by network: docs/experiments.md, "Speed of training".
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

_VALUES = 2**16  # of a piece of a random word: a rate is kept to half of one of them
_PIECES = 4  # in a word of 64 bits
_LEAST_WORD = -(2**63)


def quicker(network: nn.Module) -> nn.Module:
    """`network`, rearranged in place for training on a CPU. Names and shapes of its weights stay."""
    for part in network.modules():
        if isinstance(part, nn.Sequential):
            _pool_before_relu(part)
        for name, child in part.named_children():
            if type(child) is nn.Dropout:  # that within torch's attention is no layer, and stays
                setattr(part, name, QuickDropout(child.p))
    return network


def _pool_before_relu(layers: nn.Sequential) -> None:
    """The largest of some values, but at least 0, comes out either way, with the same gradients: of fewer values."""
    for at, (one, next_one) in enumerate(pairwise(list(layers))):
        if isinstance(one, nn.ReLU) and isinstance(next_one, nn.MaxPool2d) and not next_one.return_indices:
            layers[at], layers[at + 1] = next_one, one


class QuickDropout(nn.Dropout):
    """torch's `Dropout`, but a CPU draws four elements of the mask from each random word; torch draws one by one."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """`input` of any shape. The mask follows from torch's seed and from how `input` lies in memory."""
        dropped = round(self.p * _VALUES)
        if not self.training or dropped in (0, _VALUES) or input.device.type != "cpu":
            return super().forward(input)
        words = torch.empty(-(-input.numel() // _PIECES), dtype=torch.int64).random_(_LEAST_WORD, None)
        kept = words.view(torch.int16)[: input.numel()] >= dropped - _VALUES // 2
        factor = torch.empty_like(input)
        _in_memory(factor).copy_(kept.view(_in_memory(factor).shape))
        return input * factor.div_(1 - dropped / _VALUES)


def _in_memory(tensor: torch.Tensor) -> torch.Tensor:
    """The same numbers, with their axes as they lie in memory: a copy in another order takes longer than the mask."""
    last = tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return tensor.permute(0, 2, 3, 1) if last else tensor
