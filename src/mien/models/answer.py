"""Answer: what a network says of images, as probabilities.

Shapes: B images, K classes.
"""

from __future__ import annotations

import torch
from torch import nn


def probabilities(network: nn.Module, images: torch.Tensor, *, mirror: bool) -> torch.Tensor:
    """`(B, K)` for images `(B, C, S, S)`; with `mirror` the mean over each image and its mirror image."""
    answer: torch.Tensor = network(images).float().softmax(dim=1)
    return (answer + network(images.flip(-1)).float().softmax(dim=1)) / 2 if mirror else answer
