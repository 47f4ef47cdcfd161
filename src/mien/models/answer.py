"""Answer: what a network says of images, as probabilities.

Shapes: B images, O outputs: the classes of one head, or of several side by side.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


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
