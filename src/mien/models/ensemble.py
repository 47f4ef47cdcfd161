"""An ensemble: networks that see the same images and give their mean probability.

Shapes: B images, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

_LEAST = 1e-30  # probability, so that its logarithm is a number


class EnsembleNet(nn.Module):
    """Images `(B, C, S, S)` → logits `(B, K)` whose softmax is the mean of the members' probabilities."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        answers = [member(images).float().softmax(dim=1) for member in self.members]
        return torch.stack(answers).mean(dim=0).clamp(min=_LEAST).log()
