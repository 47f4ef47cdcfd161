"""An ensemble: networks that see the same images and give their mean probability.

Shapes: B images, O outputs: the classes of one head, or of several side by side.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from mien.models.head import probabilities

_LEAST = 1e-30  # probability, so that its logarithm is a number


class EnsembleNet(nn.Module):
    """Images `(B, C, S, S)` → logits `(B, O)` whose softmax, head by head, is the mean of the members' probabilities.

    A member that is `mirrored` answers with the mean over each image and its mirror image. `widths`: outputs of each
    head; left out, all are of one.
    """

    def __init__(
        self, members: Sequence[nn.Module], mirrored: Sequence[bool] = (), widths: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.widths = widths
        self._mirrored = tuple(mirrored) or (False,) * len(members)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        answers = [
            probabilities(member, images, mirror=mirrored, widths=self.widths)
            for member, mirrored in zip(self.members, self._mirrored, strict=True)
        ]
        return torch.stack(answers).mean(dim=0).clamp(min=_LEAST).log()
