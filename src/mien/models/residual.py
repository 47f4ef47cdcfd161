"""A residual network for small faces.

Shapes: B images, C channels, S pixels, K classes.

Source: He et al. 2016, "Deep Residual Learning"; the shortcut that averages before its 1x1 convolution is ResNet-D of
He et al. 2019, "Bag of Tricks"; squeeze-and-excitation is Hu et al. 2018. Every stage halves the
side of its images in its first block.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from mien.recipes.sections import Residual

_LEAST_VARIANCE = 0.01  # of normalized input, which is about 1 wide


class ResidualNet(nn.Module):
    """Images `(B, C, S, S)` → logits `(B, K)`."""

    def __init__(self, channels: int, classes: int, how: Residual) -> None:
        super().__init__()
        layers: list[nn.Module] = [_Standardize()] if how.standardize else []
        layers += [*_conv(channels, how.stem, 3, stride=how.stem_stride), nn.ReLU(inplace=True)]
        before = how.stem
        for width, depth in zip(how.widths, how.depths, strict=True):
            for place in range(depth):
                layers.append(_Block(before, width, 2 if place == 0 else 1, how))
                before = width
        self.body = nn.Sequential(*layers)
        self.dropout = nn.Dropout(how.dropout)
        self.classifier = nn.Linear(before, classes)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """What the classifier sees: `(B, C, S, S)` → `(B, last width)`."""
        pooled: torch.Tensor = self.dropout(self.body(images).mean(dim=(2, 3)))
        return pooled

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.classifier(self.features(images))
        return logits


class _Standardize(nn.Module):
    """Each channel of each image to mean 0 and deviation 1; a blank image stays near 0."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        change = images - images.mean(dim=(2, 3), keepdim=True)
        return change * (change.square().mean(dim=(2, 3), keepdim=True) + _LEAST_VARIANCE).rsqrt()


class _Block(nn.Module):
    """Two 3x3 convolutions beside the shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, how: Residual) -> None:
        super().__init__()
        self.change = nn.Sequential(
            *_conv(inputs, outputs, 3, stride=stride),
            nn.ReLU(inplace=True),
            *_conv(outputs, outputs, 3),
            *([_Squeeze(outputs)] if how.squeeze else []),
        )
        self.shortcut = _shortcut(inputs, outputs, stride)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.change(images) + self.shortcut(images))


class _Squeeze(nn.Module):
    """Weighs each channel by what all of them are on average."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = max(width // 8, 8)
        self.weigh = nn.Sequential(nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, width), nn.Sigmoid())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        weights: torch.Tensor = self.weigh(images.mean(dim=(2, 3)))
        return images * weights[:, :, None, None]


class _Halve(nn.Module):
    """Means of 2x2 pixels; an odd side's last pixels are means of what is there.

    The same as `AvgPool2d(2, ceil_mode=True)`, which onnxruntime computes in another memory layout: with it, a fifth of
    the time of a small network went into changing layouts.
    """

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        odd_rows, odd_columns = images.shape[2] % 2, images.shape[3] % 2
        if odd_rows or odd_columns:
            images = functional.pad(images, (0, odd_columns, 0, odd_rows), mode="replicate")
        return functional.avg_pool2d(images, 2)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    layers: list[nn.Module] = [_Halve()] if stride > 1 else []
    if inputs != outputs:
        layers += _conv(inputs, outputs, 1)
    return nn.Sequential(*layers)


def _conv(inputs: int, outputs: int, side: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, side, stride, padding=side // 2, bias=False)
    return [convolution, nn.BatchNorm2d(outputs)]
