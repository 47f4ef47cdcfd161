"""Convolutional networks of the study, for square inputs of S pixels and K classes.

Source: "CNN and Vision Transformer Pre-trained Models for Facial Emotion Recognition" (slides), CNN V1 and V2.
"""

from __future__ import annotations

from torch import nn


def cnn_v1(channels: int, size: int, classes: int) -> nn.Sequential:
    """Two plain convolution blocks and two linear layers; no batch norm, no dropout.

    The study shows what its first CNN reaches, not its layers: these are ours.
    """
    grid = size // 4
    return nn.Sequential(
        *_plain_block(channels, 32),
        *_plain_block(32, 64),
        nn.Flatten(),
        nn.Linear(64 * grid * grid, 128),
        nn.ReLU(),
        nn.Linear(128, classes),
    )


def cnn_v2(channels: int, size: int, classes: int) -> nn.Sequential:
    """Four blocks with batch norm, dropout .5 after the second and fourth, one linear layer: the study's `FERModel`.

    At 48 pixels the linear layer has 256 x 3 x 3 = 2,304 inputs.
    """
    grid = size // 16
    return nn.Sequential(
        *_norm_block(channels, 32),
        *_norm_block(32, 64),
        nn.Dropout(0.5),
        *_norm_block(64, 128),
        *_norm_block(128, 256),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(256 * grid * grid, classes),
    )


def _plain_block(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]


def _norm_block(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]
