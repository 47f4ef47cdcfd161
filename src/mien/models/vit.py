"""A small vision transformer for training from fresh weights.

Source: Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words", with a convolution as the patch embedding and the mean
over the patches instead of a class token; the study's "Convolutional Layer + Transformer Encoder + Fully Connected
Layer". Post-norm is Vaswani et al. 2017, pre-norm Xiong et al. 2020. Shapes: B images, T patches, D width, K classes.
"""

from __future__ import annotations

import torch
from torch import nn

from mien.errors import InputError
from mien.recipes.sections import Vit


class ScratchVit(nn.Module):
    """Images `(B, C, S, S)` → logits `(B, K)`; S must be a multiple of the patch."""

    def __init__(self, channels: int, size: int, classes: int, how: Vit) -> None:
        super().__init__()
        check_patch(size, how.patch, "data.preprocess.size")
        self.stem = nn.Conv2d(channels, how.width, how.patch, stride=how.patch)
        self.positions = nn.Parameter(0.02 * torch.randn(1, (size // how.patch) ** 2, how.width))
        layer = nn.TransformerEncoderLayer(
            how.width,
            how.heads,
            dim_feedforward=4 * how.width,
            dropout=how.dropout,
            activation="gelu",
            batch_first=True,
            norm_first=how.norm == "pre",
        )
        final = nn.LayerNorm(how.width) if how.norm == "pre" else None
        self.encoder = nn.TransformerEncoder(layer, how.depth, norm=final, enable_nested_tensor=False)
        for part in self.encoder.layers:  # torch copies one layer: without this all would begin with the same weights
            part.apply(_fresh)
        self.classifier = nn.Linear(how.width, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens_BTD = self.stem(images).flatten(2).transpose(1, 2) + self.positions
        logits: torch.Tensor = self.classifier(self.encoder(tokens_BTD).mean(dim=1))
        return logits


def check_patch(size: int, patch: int, key: str) -> None:
    """Raise `InputError` unless `patch` divides `size`."""
    if size % patch == 0:
        return
    below, above = size // patch * patch, (size // patch + 1) * patch
    nearest = f"{below} or {above}" if below else str(above)
    raise InputError(f"{key} is {size}, which the model's patch of {patch} pixels does not divide. Nearest: {nearest}")


def _fresh(part: nn.Module) -> None:
    if isinstance(part, nn.Linear):
        nn.init.xavier_uniform_(part.weight)
        nn.init.zeros_(part.bias)
    elif isinstance(part, nn.MultiheadAttention):
        nn.init.xavier_uniform_(part.in_proj_weight)
